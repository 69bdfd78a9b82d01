"""How the server does, and how mail leaves, by the API."""

from engine.net.zone import Zone, serve_zone
from engine.runtime.services import MEASURES_SERVICE
from engine.web.collecting import Collected
from tests.support.api import CONFIG, api_of


def collected(stored: float, *, accepts: float = 1) -> Collected:
    """What two workers measure, of which one does not answer."""
    samples = [
        ("postroad_revision", (), 3.0),
        ("postroad_queue_accepts", (("shard", "0"),), accepts),
        ("postroad_queue_messages", (("state", "waiting"),), 5.0),
        ("postroad_link_messages_total", (("link", "inbound/queue"),), stored),
        ("postroad_stage_messages_total", (("stage", "route"), ("verdict", "passed")), stored),
    ]
    return Collected(["mail-0", "mail-1"], {"mail-0": samples}, {})


async def test_rates_are_those_of_the_time_that_is_asked_for(tmp_path, autojump_clock):
    async with api_of(tmp_path) as api, api.with_scopes("measures:read") as program:
        rounds = iter([collected(100), collected(150)])

        async def now() -> Collected:
            return next(rounds)

        api.site.context.collected = now
        told = await program.get("/measures", params={"seconds": 5})
        assert told.status_code == 200, told.text
        assert round(told.json()["seconds"]) == 5
        assert told.json()["queue"] == {"waiting": 5}
        rates = {one["name"]: one["rate"] for one in told.json()["links"] + told.json()["stages"]}
        assert round(rates["inbound/queue"]) == round(rates["route"]) == 10


async def test_workers_and_health_are_told_with_what_is_wrong(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("measures:read") as program:
        api.site.collected = collected(1, accepts=0)
        health = (await program.get("/measures/health")).json()
        assert (health["ready"], health["revision"]) == (False, 0)
        assert health["reasons"][0] == "mail-1 does not answer"
        assert "no more room" in health["reasons"][1]
        assert (await program.get("/measures/workers")).json() == [
            {"name": "mail-0", "answers": True, "revision": 3},
            {"name": "mail-1", "answers": False, "revision": None},
        ]


async def test_sites_are_those_of_all_workers_that_answer(tmp_path):
    site = {"site": "mx.far.test", "source": None, "connections": 2, "limit": 5, "waiting": 7, "paused_until": 100.0}

    def sites(worker):
        return [site] if worker == "mail-0" else []

    async with api_of(tmp_path) as api, api.with_scopes("measures:read") as program:
        assert (await program.get("/measures/sites")).json() == []
        api.site.answers.known[MEASURES_SERVICE, "sites"] = sites
        assert (await program.get("/measures/sites")).json() == [
            {
                "site": "mx.far.test", "source": "", "connections": 2, "limit": 5, "waiting": 7,
                "paused_until": "1970-01-01T00:01:40Z", "last_reply": "",
            },
        ]  # fmt: skip


async def test_shaping_is_explained_and_sites_are_suspended(tmp_path, nursery):
    zone = Zone("com", {"example": {"MX": "10 mx.example.net."}, "none": {"MX": "0 ."}})
    address = await nursery.start(serve_zone, zone)
    config = CONFIG + f'\n[dns]\nservers = ["{address}"]\n'
    async with api_of(tmp_path, config) as api, api.with_scopes("shaping:read", "shaping:write") as program:
        told = (await program.get("/shaping", params={"domain": "example.com"})).json()
        assert told["hosts"] == ["mx.example.net"]
        assert {one["name"] for one in told["values"]} >= {"connections", "pause"}
        by_hand = await program.get("/shaping", params={"domain": "example.com", "mx": ["MX.other.test."]})
        assert by_hand.json()["hosts"] == ["mx.other.test"]
        assert (await program.get("/shaping", params={"domain": "nobody.com"})).status_code == 404
        assert (await program.get("/shaping", params={"domain": "none.com"})).status_code == 409
        assert (await program.get("/shaping", params={"domain": "\N{SNOWMAN}.test"})).status_code == 422

        begun = await program.post("/shaping/actions", json={"site": "*.Example.net", "seconds": 60})
        assert (begun.status_code, begun.json()["site"], begun.json()["name"]) == (201, "*.example.net", "by hand")
        assert (await program.get("/shaping/actions")).json() == [begun.json()]
        assert (await program.post("/shaping/actions", json={"site": " "})).status_code == 422
        place = f"/shaping/actions/{begun.json()['id']}"
        assert (await program.delete(place)).status_code == 204
        assert (await program.delete(place)).status_code == 404
        assert (await program.get("/shaping/actions")).json() == []
