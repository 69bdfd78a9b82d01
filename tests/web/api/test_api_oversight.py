"""Oversight by the API: the log, grants and holds are told, and holds begun and lifted, by tokens that may."""

import hashlib

from engine.oversight import Held, Whose
from engine.oversight.entries import FIRST
from tests.support.api import api_of

ANN = Whose(1, "ann@example.org")


async def test_the_log_is_followed_from_a_number_on(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("oversight:read") as program:
        store = api.site.role.oversight
        for number in range(5):
            store.write("searched", "auditor@example.org", [ANN.address], query=f"word {number}")
        lines = list(store.lines())
        first = (await program.get("/oversight/entries", params={"limit": 2})).json()
        assert [one["number"] for one in first] == [1, 2]
        assert [one["before"] for one in first] == [FIRST, hashlib.sha256(lines[0]).hexdigest()]
        assert first[1]["hash"] == hashlib.sha256(lines[1]).hexdigest()
        assert (first[1]["about"], first[1]["details"]) == ([ANN.address], {"query": "word 1"})
        more = (await program.get("/oversight/entries", params={"after": 2})).json()
        assert [one["number"] for one in more] == [3, 4, 5]
        assert (await program.get("/oversight/entries", params={"after": 5})).json() == []


async def test_grants_and_holds_are_told(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("oversight:read") as program:
        store = api.site.role.oversight
        store.ask("auditor@example.org", [ANN], "a leak", seconds=3600, consent=True, tell=False)
        store.hold(Held(account=1, address=ANN.address, reason="a case", by="boss", since=1_800_000_000.0))
        (grant,) = (await program.get("/oversight/grants")).json()
        assert (grant["state"], grant["reason"], grant["addresses"]) == ("waiting", "a leak", [ANN.address])
        (held,) = (await program.get("/oversight/holds")).json()
        assert (held["address"], held["reason"], held["since"]) == (ANN.address, "a case", "2027-01-15T08:00:00Z")


async def test_holds_are_begun_and_lifted(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("oversight:read", "oversight:write") as program:
        directory, held = api.site.directory, api.site.role.owner.reader.holds
        for address in (ANN.address, "bob@example.org", "cy@example.net"):
            directory.add_account(address)
        directory.add_group("team@example.org", ["cy@example.net"])
        for which, numbers in ((ANN.address, {1}), ("team@example.org", {1, 3}), ("example.org", {1, 2, 3})):
            asked = {"which": which, "reason": "a case"}
            answer = await program.post("/oversight/holds", json=asked)
            assert (answer.status_code, held()) == (201, numbers)
            assert (await program.post("/oversight/holds", json=asked)).status_code == 409
        kinds = {one["address"]: (one["kind"], one["accounts"]) for one in answer.json()}
        assert kinds == {
            "example.org": ("domain", 2), "team@example.org": ("group", 1), ANN.address: ("account", 1),
        }  # fmt: skip
        for which in ("nobody@example.org", "elsewhere.test"):
            answer = await program.post("/oversight/holds", json={"which": which, "reason": "a case"})
            assert answer.status_code == 404
        assert (await program.post("/oversight/holds", json={"which": ANN.address, "reason": " "})).status_code == 422
        for which, numbers in (("example.org", {1, 3}), (ANN.address, {3}), ("team@example.org", set())):
            path, reason = f"/oversight/holds/{which}", {"reason": "closed"}
            assert (await program.delete(path)).status_code == 422
            assert (await program.delete(path, params=reason)).status_code == 204
            assert (held(), (await program.delete(path, params=reason)).status_code) == (numbers, 404)
        entries = (await program.get("/oversight/entries")).json()
        assert {one["by"] for one in entries} == {"token:t0"}


async def test_who_may_look_may_not_lift(tmp_path):
    async with api_of(tmp_path) as api:
        api.site.directory.add_account(ANN.address)
        for scopes, options in ((("oversight:read",), {}), (("oversight:write",), {"domains": ("example.org",)})):
            async with api.with_scopes(*scopes, **options) as program:
                asked = {"which": ANN.address, "reason": "a case"}
                assert (await program.post("/oversight/holds", json=asked)).status_code == 403
                answer = await program.delete(f"/oversight/holds/{ANN.address}", params={"reason": "closed"})
                assert answer.status_code == 403


async def test_it_takes_the_scope_and_all_domains(tmp_path):
    async with api_of(tmp_path) as api:
        for scopes, options in ((("accounts:read",), {}), (("oversight:read",), {"domains": ("example.org",)})):
            async with api.with_scopes(*scopes, **options) as program:
                for name in ("entries", "grants", "holds"):
                    assert (await program.get(f"/oversight/{name}")).status_code == 403
