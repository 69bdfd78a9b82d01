"""Oversight by the API: the log, grants and holds are told, and holds begun and lifted, by tokens that may."""

import hashlib

import pytest

from engine.mailbox.commands import Append, Appended, Begin
from engine.mailbox.layout import INBOX
from engine.oversight import Held, Whose
from engine.oversight.entries import FIRST
from tests.support.api import api_of

AUDITOR = "auditor@example.org"
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


def rfc822(subject: str, text: str = "Hello") -> bytes:
    return (
        f"From: Eve <eve@elsewhere.test>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\n{text}\r\n".encode()
    )


@pytest.fixture
async def looking(tmp_path):
    """A site with some mail, and an open grant of the auditor for Ann's."""
    async with api_of(tmp_path) as api:
        directory, owner, store = api.site.directory, api.site.role.owner, api.site.role.oversight
        for address in (ANN.address, "bob@example.org"):
            account = directory.add_account(address)
            await owner.change(Begin(account=account.id))
            some = tuple(Appended(rfc822(f"{account.id}-{number}", "a leaf")) for number in range(60))
            await owner.change(Append(account=account.id, mailbox=INBOX, messages=some))
        for auditor in (AUDITOR, "other@example.org"):
            directory.add_account(auditor)
            directory.set_roles(auditor, ["auditor"])
        store.ask(AUDITOR, [ANN], "a leak", seconds=3600, consent=True, tell=False)
        store.consent(1, "boss")
        yield api


async def searched(api, token, grant=1, **body):
    async with api.program(token) as program:
        return await program.post(f"/oversight/grants/{grant}/searches", json={"query": "subject:1- leaf", **body})


async def test_a_token_searches_by_the_grant_of_its_auditor(looking):
    token = looking.token("oversight:look", name="legal", auditor=AUDITOR)
    first = (await searched(looking, token)).json()
    assert (len(first["items"]), first["mistakes"]) == (50, [])
    assert (first["items"][0]["address"], first["items"][0]["folder"], first["items"][0]["uid"]) == (
        ANN.address, "INBOX", 60,
    )  # fmt: skip
    assert first["items"][0]["people"] == ["Eve"]
    rest = (await searched(looking, token, after=first["next"])).json()
    assert (len(rest["items"]), rest["next"]) == (10, "")
    assert {one["address"] for one in (*first["items"], *rest["items"])} == {ANN.address}
    assert (await searched(looking, token, query="subject:2-")).json()["items"] == []  # what is Bob's is not in it
    entries = list(looking.site.role.oversight.entries(2))
    assert {(one.what, one.by, one.peer, one.details["token"]) for one in entries} == {
        ("searched", AUDITOR, "192.0.2.1", "legal")
    }
    assert [one.details["query"] for one in entries][-1] == "subject:2-"
    assert len(entries) == 3


async def test_no_token_widens_a_grant(looking):
    """Every way to more than the auditor may do by hand is refused, and nothing is searched."""
    store, directory = looking.site.role.oversight, looking.site.directory
    token = looking.token("oversight:look", name="legal", auditor=AUDITOR)
    others = looking.token("oversight:look", name="other", auditor="other@example.org")
    nobodys = looking.token(name="everything")  # all scopes, and no auditor
    of_no_auditor = looking.token("oversight:look", name="bob", auditor="bob@example.org")
    limited = looking.token("oversight:look", name="some", auditor=AUDITOR, domains=("example.org",))
    without = looking.token("oversight:read", "oversight:write", name="reader", auditor=AUDITOR)
    before = store.tip()
    for refused in (others, nobodys, of_no_auditor, limited, without):
        assert (await searched(looking, refused)).status_code == 403
    assert (await searched(looking, token, 99)).status_code == 404
    for place in ("x", "1.F1-1", "1.F1-1.x", "-1.F1-1.1"):
        assert (await searched(looking, token, after=place)).status_code == 422
    assert store.tip() == before
    waiting, _ = store.ask(AUDITOR, [Whose(2, "bob@example.org")], "more", seconds=3600, consent=True, tell=False)
    assert (await searched(looking, token, waiting.number)).status_code == 403
    async with looking.program(nobodys) as program:  # nor is there a way to ask or to consent
        for path in ("/oversight/grants", f"/oversight/grants/{waiting.number}/consent", "/oversight/grants/1"):
            assert (await program.post(path, json={})).status_code in (404, 405)
    before = store.tip()
    for change, back in (
        (lambda: directory.set_roles(AUDITOR, removed=["auditor"]), lambda: directory.set_roles(AUDITOR, ["auditor"])),
        (lambda: directory.suspend(AUDITOR, True), lambda: directory.suspend(AUDITOR, False)),
    ):
        change()
        assert (await searched(looking, token)).status_code == 403
        assert store.tip() == before
        back()
        assert (await searched(looking, token)).status_code == 200
        before = store.tip()
    store.end(1, "boss")
    assert (await searched(looking, token)).status_code == 403


async def test_it_takes_the_scope_and_all_domains(tmp_path):
    async with api_of(tmp_path) as api:
        for scopes, options in ((("accounts:read",), {}), (("oversight:read",), {"domains": ("example.org",)})):
            async with api.with_scopes(*scopes, **options) as program:
                for name in ("entries", "grants", "holds"):
                    assert (await program.get(f"/oversight/{name}")).status_code == 403
