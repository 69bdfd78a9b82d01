"""The queue by the API: what is there, page by page, and what becomes of it."""

import pytest
import trio

from engine.drawing.pipeline import drawn
from tests.support.api import CONFIG, api_of, ended


async def all_pages(program, **query):
    found, cursor = [], ""
    while True:
        page = (await program.get("/queue/messages", params={**query, "cursor": cursor, "limit": 40})).json()
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            return found


async def test_pages_have_every_message_once_in_order(tmp_path):
    async with api_of(tmp_path, messages=150) as api, api.with_scopes("queue:read") as program:
        found = [one["id"] for one in await all_pages(program)]
        assert len(set(found)) == 150
        assert found == sorted(found)


async def test_conditions_choose_and_counts_agree(tmp_path):
    async with api_of(tmp_path, messages=150) as api, api.with_scopes("queue:read") as program:
        which = ["state == 'waiting'", "attempts > 3"]
        found = await all_pages(program, which=which)
        assert found
        assert all(one["state"] == "waiting" and one["attempts"] > 3 for one in found)
        counted = await program.get("/queue/count", params={"which": which})
        assert counted.json() == {"messages": len(found)}
        groups = (await program.get("/queue/groups", params={"which": which, "by": "state"})).json()
        assert [(one["name"], one["messages"]) for one in groups["groups"]] == [("waiting", len(found))]


async def test_what_cannot_be_meant_is_said_with_its_place(tmp_path):
    async with api_of(tmp_path, messages=1) as api, api.with_scopes("queue:read", "queue:write") as program:
        wrong = [
            await program.get("/queue/messages", params={"which": "size > banana"}),
            await program.get("/queue/messages", params={"limit": "0"}),
            await program.get("/queue/messages", params={"limit": "1.5"}),
            await program.get("/queue/messages", params=[("limit", "1"), ("limit", "2")]),
            await program.get("/queue/messages", params={"lmit": "1"}),
            await program.get("/queue/messages", params={"cursor": "!"}),
            await program.get("/queue/messages", params={"which": "(" * 490}),
            await program.post("/queue/orders", json={"order": "delete"}),
            await program.post("/queue/orders", json={"order": "delete", "all": True, "wich": []}),
            await program.post("/queue/orders", json={"order": "drop", "all": True}),
            await program.post("/queue/orders", json={"order": "reroute", "all": True}),
            await program.post("/queue/orders", json={"order": "reroute", "all": True, "lane": "nowhere"}),
            await program.post("/queue/orders", json={"order": "bounce", "all": True, "text": "two\nlines"}),
        ]
        assert [one.status_code for one in wrong] == [422] * len(wrong), [one.text for one in wrong]
        assert all(one.json()["mistakes"] for one in wrong)
        assert (await program.get("/queue/count")).json() == {"messages": 1}


async def test_what_is_no_json_is_refused(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("queue:write") as program:
        as_json = {"content-type": "application/json"}
        assert (await program.post("/queue/orders", content=b"{")).status_code == 415
        assert (await program.post("/queue/orders", content=b"{", headers=as_json)).status_code == 400
        assert (await program.post("/queue/orders", content=b"[" * 60_000, headers=as_json)).status_code in (400, 422)
        assert (await program.post("/queue/orders", content=b"\xff", headers=as_json)).status_code == 400
        too_much = b'{"order": "hold", "which": ["' + b"x" * 70_000 + b'"]}'
        assert (await program.post("/queue/orders", content=too_much, headers=as_json)).status_code == 413


async def test_orders_are_done_and_tell_how_many(tmp_path):
    async with api_of(tmp_path, messages=60) as api, api.with_scopes("queue:read", "queue:write") as program:
        which = ["state == 'waiting'"]
        count = (await program.get("/queue/count", params={"which": which})).json()["messages"]
        counted = await program.post("/queue/orders", json={"order": "hold", "which": which, "dry_run": True})
        assert (await ended(program, counted))["result"] == {
            "order": "hold", "selected": count, "done": 0, "open": 0, "dry_run": True, "left_out": [],
        }  # fmt: skip
        done = await ended(program, await program.post("/queue/orders", json={"order": "hold", "which": which}))
        assert (done["state"], done["result"]["done"], done["done"]) == ("done", count, count)
        assert (await program.get("/queue/count", params={"which": which})).json() == {"messages": 0}
        released = await program.post("/queue/orders", json={"order": "release", "all": True})
        assert (await ended(program, released))["result"]["done"] >= count


async def test_ids_that_cannot_be_meant_are_told(tmp_path):
    async with api_of(tmp_path, messages=60) as api, api.with_scopes("queue:read", "queue:write") as program:
        (held, *_) = await all_pages(program, which=["state == 'waiting'"])
        nobody = "01J9ZK3V5Q8W2R7T4Y6N0BCDEF"
        order = {"order": "release", "which": [held["id"], nobody], "dry_run": True}
        told = (await ended(program, await program.post("/queue/orders", json=order)))["result"]["left_out"]
        assert told == [{"id": held["id"], "why": "it waits"}, {"id": nobody, "why": "there is no such message"}]


async def test_one_message_is_shown_whole(tmp_path):
    async with api_of(tmp_path, messages=3) as api, api.with_scopes("queue:read") as program:
        (first, *_) = await all_pages(program)
        shown = await program.get(f"/queue/messages/{first['id']}")
        assert {name: shown.json()[name] for name in first} == first
        assert shown.json()["facts"]["spf.result"] == "pass"
        assert shown.json()["header"].startswith("Received: from mail.sender.example")
        again = await program.get(f"/queue/messages/{first['id']}", headers={"if-none-match": shown.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await program.get("/queue/messages/01J9ZK3V5Q8W2R7T4Y6N0BCDEF")).status_code == 404
        assert (await program.get("/queue/messages/x")).status_code == 404


async def test_an_order_with_a_key_is_given_once(tmp_path):
    async with api_of(tmp_path, messages=20) as api, api.with_scopes("queue:read", "queue:write") as program:
        order, key = {"order": "delete", "all": True}, {"idempotency-key": "a-1"}
        first = await ended(program, await program.post("/queue/orders", json=order, headers=key))
        again = await program.post("/queue/orders", json=order, headers=key)
        assert (first["result"]["done"], again.json()) == (20, first)
        other = await program.post("/queue/orders", json={**order, "dry_run": True}, headers=key)
        assert other.status_code == 422
        new = await program.post("/queue/orders", json=order, headers={"idempotency-key": "a-2"})
        assert (await ended(program, new))["result"]["done"] == 0


async def test_jobs_are_told_to_whoever_began_them_alone(tmp_path):
    async with (
        api_of(tmp_path, messages=2) as api,
        api.with_scopes("queue:write") as one,
        api.with_scopes("queue:write") as other,
    ):
        answer = await one.post("/queue/orders", json={"order": "hold", "all": True})
        place, begun = answer.headers["location"].removeprefix("/api/v1"), await ended(one, answer)
        assert (await one.get(place)).json() == begun
        assert (await one.get("/jobs")).json() == [begun]
        assert (await other.get(place)).status_code == 404
        assert (await other.delete(place)).status_code == 404
        assert (await other.get("/jobs")).json() == []


async def test_long_work_is_told_of_while_it_goes_on_and_stops_when_it_is_to(tmp_path):
    async with api_of(tmp_path) as api:
        token, _ = api.api.tokens.add("long", ["queue:read"])

        async def count(progress):
            for number in range(10_000):
                progress.result = {"counted": number}
                progress.told(number, 10_000)
                await trio.sleep(0.01)

        begun = await api.api.jobs.begun(token.id, "count", count)
        assert begun.state == "running"
        api.api.jobs.stop(token.id, begun.id)
        with trio.fail_after(60):
            while (told := api.api.jobs.get(token.id, begun.id)).state == "running":
                await trio.sleep(0.05)
        assert told.state == "stopped"
        assert 0 < told.done < 10_000
        assert bytes(told.result) == b'{"counted":%d}' % told.done


async def test_what_broke_off_says_why(tmp_path):
    from engine.links.request import Unanswered
    from engine.web.api.jobs import Jobs

    async def broken(_):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)

    async def refuse():
        raise Unanswered("mail-0 does not answer")

    async with api_of(tmp_path) as api:
        told = await api.api.jobs.begun("t", "broken", broken)
        while told.state == "running":
            await trio.sleep(0.05)
            told = api.api.jobs.get("t", told.id)
        assert (told.state, told.problem.status, told.problem.detail) == ("failed", 503, "mail-0 does not answer")

        async def never(_):
            await trio.sleep_forever()

        left = await api.api.jobs.begun("t", "never", never)
        api.api.jobs.close()
        with Jobs.open(api.site.role.data, "web") as after:
            assert after.get("t", left.id).state == "interrupted"
            assert after.get("t", told.id).state == "failed"


# The queue as a whole


async def test_the_queue_is_verified(tmp_path):
    async with api_of(tmp_path, messages=30) as api, api.with_scopes() as program:
        found = await ended(program, await program.post("/queue/verifications"))
        assert (found["state"], found["result"]["messages"], found["result"]["problems"]) == ("done", 30, [])


async def test_what_was_deleted_by_mistake_comes_back_and_is_held(tmp_path):
    async with api_of(tmp_path, messages=30) as api, api.with_scopes() as program:
        before = {one["id"]: one for one in (await program.get("/queue/messages")).json()["items"]}
        taken = await ended(program, await program.post("/queue/snapshots", json={"name": "evening"}))
        assert (taken["state"], taken["result"]["messages"]) == ("done", 30), taken
        (listed,) = (await program.get("/queue/snapshots")).json()
        assert (listed["name"], listed["octets"]) == ("evening", taken["result"]["octets"])
        assert (await program.post("/queue/snapshots", json={"name": "evening"})).status_code == 409

        some = list(before)[:12]
        await ended(program, await program.post("/queue/orders", json={"order": "delete", "which": some}))
        assert (await program.get("/queue/count")).json() == {"messages": 18}
        restored = await ended(program, await program.post("/queue/snapshots/evening/restoration"))
        assert restored["result"] == {"messages": 30, "present": 18, "put_back": 12}, restored
        after = {one["id"]: one for one in (await program.get("/queue/messages")).json()["items"]}
        assert after.keys() == before.keys()
        assert {one for one in after if after[one]["state"] == "held"} == set(some) | {
            one for one in before if before[one]["state"] == "held"
        }
        again = await ended(program, await program.post("/queue/snapshots/evening/restoration"))
        assert again["result"]["put_back"] == 0
        verified = await ended(program, await program.post("/queue/verifications"))
        assert verified["result"]["problems"] == []
        waiting = [one for one in some if before[one]["state"] == "waiting"]
        freed = await ended(program, await program.post("/queue/orders", json={"order": "release", "which": waiting}))
        assert freed["result"]["done"] == len(waiting)

        assert (await program.delete("/queue/snapshots/evening")).status_code == 204
        assert (await program.delete("/queue/snapshots/evening")).status_code == 404
        assert (await program.post("/queue/snapshots/evening/restoration")).status_code == 404
        assert (await program.get("/queue/snapshots")).json() == []


async def test_a_snapshot_that_is_none_changes_nothing(tmp_path):
    async with api_of(tmp_path, messages=3) as api, api.with_scopes() as program:
        folder = api.site.role.data / "snapshots"
        folder.mkdir()
        (folder / "bad.tar.gz").write_bytes(b"no snapshot")
        found = await ended(program, await program.post("/queue/snapshots/bad/restoration"))
        assert (found["state"], found["problem"]["status"]) == ("failed", 409)
        assert "is no snapshot of a queue" in found["problem"]["detail"]
        assert (await program.get("/queue/count")).json() == {"messages": 3}


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a%2f..%2fb", "a" * 65, "a%0a"])
async def test_names_of_snapshots_lead_nowhere_else(tmp_path, name):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        assert (await program.post("/queue/snapshots", json={"name": name})).status_code in (404, 422)
        assert (await program.delete(f"/queue/snapshots/{name}")).status_code in (404, 405)


async def test_no_snapshot_without_room(tmp_path):
    text = CONFIG + '\n[queue]\nreserve = "1000000 GB"\n'
    async with api_of(tmp_path, text, messages=3) as api, api.with_scopes() as program:
        refused = await program.post("/queue/snapshots", json={"name": "a"})
        assert (refused.status_code, "room enough" in refused.text) == (409, True)


async def test_links_are_listed_by_the_names_that_a_tap_takes(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        found = (await program.get("/measures/links")).json()
        assert [one["name"] for one in found] == list(drawn(api.site.role.config).links)
        assert {"name": "inbound/queue", "lane": "inbound", "stages": ["queue"]} in found
