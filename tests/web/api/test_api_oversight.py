"""Oversight by the API: the log, grants and holds are told to tokens that may see them, and nothing can be done."""

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


async def test_it_takes_the_scope_and_all_domains(tmp_path):
    async with api_of(tmp_path) as api:
        for scopes, options in ((("accounts:read",), {}), (("oversight:read",), {"domains": ("example.org",)})):
            async with api.with_scopes(*scopes, **options) as program:
                for name in ("entries", "grants", "holds"):
                    assert (await program.get(f"/oversight/{name}")).status_code == 403
