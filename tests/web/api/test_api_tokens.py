"""Tokens: who may ask for what, from where, until when; and what becomes of those who guess at them."""

import time

import pytest

from engine.login import Tokens
from engine.login.tokens import NameTaken
from engine.shaping.allowances import Allowances
from engine.web.api.callers import Callers
from engine.web.api.problems import Problem
from tests.support.api import api_of


async def test_without_a_token_there_is_nothing_but_the_document(tmp_path):
    async with api_of(tmp_path) as api, api.program() as nobody:
        refused = await nobody.get("/queue/messages")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer realm="postroad"'
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await nobody.get("/openapi.json")).json()["openapi"] == "3.1.0"


async def test_a_token_may_do_what_its_scopes_say_and_no_more(tmp_path):
    async with api_of(tmp_path, messages=3) as api, api.with_scopes("queue:read") as reader:
        assert (await reader.get("/queue/count")).json() == {"messages": 3}
        refused = await reader.post("/queue/orders", json={"order": "delete", "all": True})
        assert refused.status_code == 403
        assert 'scope="queue:write"' in refused.headers["www-authenticate"]
        assert (await reader.get("/queue/count")).json() == {"messages": 3}
        told = await reader.get("/token")
        assert told.json() == {"name": "t0", "scopes": ["queue:read"], "domains": []}


async def test_no_operation_gives_a_token_more_than_it_has(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        paths = (await program.get("/openapi.json")).json()["paths"]
        assert {path: sorted(methods) for path, methods in paths.items() if "token" in path} == {"/token": ["get"]}
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = await program.request(method, "/token", json={"scopes": ["queue:write"]})
            assert refused.status_code == 405


@pytest.mark.parametrize("shown", ["postroad_aaaaaaaaaa_" + "A" * 43, "x", "\N{SNOWMAN}".encode().decode("latin-1")])
async def test_what_is_no_token_of_ours_is_refused(tmp_path, shown):
    async with api_of(tmp_path) as api, api.program() as program:
        refused = await program.get("/token", headers=[(b"authorization", b"Bearer " + shown.encode("latin-1"))])
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]


async def test_a_token_that_is_over_revoked_or_shown_from_elsewhere_is_good_for_nothing(tmp_path):
    async with api_of(tmp_path) as api:
        over = api.token("queue:read", expires=time.time() - 1)
        near = api.token("queue:read", networks=["192.0.2.0/24", "2001:db8::/32"])
        gone = api.token("queue:read", name="gone")
        api.api.tokens.revoke("gone")
        answers = []
        bad = [(over, "192.0.2.1"), (gone, "192.0.2.1"), (near, "198.51.100.1")]
        for token, peer in [*bad, (near, "192.0.2.9"), (near, "2001:db8::1")]:
            async with api.program(token, peer=peer) as program:
                answers.append((await program.get("/token")).status_code)
        assert answers == [401, 401, 401, 200, 200]


async def test_who_guesses_at_tokens_is_kept_out_even_with_a_good_one(tmp_path):
    async with api_of(tmp_path) as api:
        good = api.token("queue:read")
        for number in range(10):
            async with api.program(f"postroad_{'a' * 10}_{number:043d}", peer="203.0.113.7") as guesser:
                assert (await guesser.get("/token")).status_code == 401
        async with api.program(good, peer="203.0.113.7") as kept_out, api.program(good, peer="203.0.113.8") as other:
            assert (await kept_out.get("/token")).status_code == 403
            assert (await other.get("/token")).status_code == 200
        assert [(ban.kind, ban.name) for ban in api.site.role.logins.guard.bans()] == [("network", "203.0.113.7/32")]


async def test_a_program_that_shows_the_same_wrong_token_again_and_again_is_not_kept_out(tmp_path):
    async with api_of(tmp_path) as api, api.program(f"postroad_{'a' * 10}_{'b' * 43}") as program:
        for _ in range(30):
            assert (await program.get("/token")).status_code == 401
        assert api.site.role.logins.guard.bans() == []


async def test_too_many_requests_are_put_off(tmp_path, autojump_clock):
    async with api_of(tmp_path) as api, api.with_scopes("queue:read", rate="3/1m") as program:
        answers = [await program.get("/token") for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 61


async def test_all_processes_count_the_requests_of_a_token_together(tmp_path):
    """Each with its own eyes on the tables that they share."""
    async with api_of(tmp_path) as api:
        tokens, role = api.api.tokens, api.site.role
        _, text = tokens.add("both", ["queue:read"], rate="5/1m")
        processes = [Callers(role.logins, tokens, Allowances(role.tables)) for _ in range(3)]
        shown, said = {"authorization": f"Bearer {text}"}, []
        for number in range(9):
            try:
                await processes[number % 3].of(shown, "192.0.2.1")
                said.append(0)
            except Problem as problem:
                said.append(int(problem.headers["retry-after"]))
        assert said[:5] == [0] * 5
        assert all(0 < wait <= 61 for wait in said[5:])


async def test_the_last_use_is_known(tmp_path):
    async with api_of(tmp_path) as api:
        token = api.token("queue:read")
        assert api.api.tokens.all()[0][1] == 0
        async with api.program(token) as program:
            await program.get("/token")
        assert time.time() - api.api.tokens.all()[0][1] < 60


def test_of_a_token_only_a_digest_is_kept(tmp_path):
    with Tokens.open(tmp_path) as tokens:
        found, text = tokens.add("ci", ["queue:read"])
        assert tokens.of(text) == found
        assert tokens.of(text[:-1] + ("A" if text[-1] != "A" else "B")) is None
        with pytest.raises(NameTaken):
            tokens.add("ci", [])
        with pytest.raises(ValueError, match="no name"):
            tokens.add("a b", [])
    secret = text.rpartition("_")[2].encode()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "tokens").rglob("*") if path.is_file())
    assert found.digest in kept
    assert secret not in kept


def test_a_use_that_was_just_noted_is_not_written_again(tmp_path):
    now = [1000.0]
    with Tokens.open(tmp_path, lambda: now[0]) as tokens:
        found, _ = tokens.add("ci", [])
        assert not tokens.has_noted(found)
        tokens.use(found)
        now[0] += 59
        assert tokens.has_noted(found)
        now[0] += 2
        assert not tokens.has_noted(found)
