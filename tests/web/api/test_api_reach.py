"""A token that is limited to some domains knows of nothing in others, and does nothing there."""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import trio
from hypothesis import given
from hypothesis import strategies as st

from engine import Envelope, MessageId, Recipient, Session
from engine.abuse import Habits
from engine.history.entries import Arrived, Attempted, Born, Outcome
from engine.history.reading import Told
from engine.history.story import Story
from engine.login import Sender
from engine.message import Octets
from engine.operations.explaining import is_within
from engine.operations.reach import Reach
from engine.queue.store import WAITING, Record, Shard
from engine.storage.batch import committed
from engine.units import Rate
from tests.support.api import api_of, ended
from tests.support.examples import examples

OURS, THEIRS, FAR = "example.org", "example.net", "far.test"
"""The domain that the token is limited to, another one of this server, one of nobody here."""

ADDRESSES = st.builds(
    "{}@{}".format, st.sampled_from(["ann", "bob"]), st.sampled_from([OURS, THEIRS, FAR, "Example.ORG"])
)

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["", f"eve@{OURS}", f"eve@{THEIRS}"]),  # who handed it in
        ADDRESSES,  # what stands in MAIL FROM, which says nothing
        st.lists(ADDRESSES, min_size=1, max_size=3, unique=True),
    ),
    min_size=1,
    max_size=8,
)


def may_be_known(login: str, recipients: list[str]) -> bool:
    domains = {one.rpartition("@")[2].lower() for one in recipients}
    if domains == {OURS}:
        return True
    return login.endswith(f"@{OURS}") and THEIRS not in domains


def put(data: Path, messages) -> dict[str, bool]:
    """The ids of messages in a queue, and whether they may be known of."""
    now, found = time.time(), {}
    with closing(Shard(data, 0, map_size=2**26)) as shard, committed(shard.environment) as batch:
        for login, sender, recipients in messages:
            record = Record(
                MessageId.new(now),
                Envelope(
                    sender, tuple(map(Recipient, recipients)), Session("192.0.2.1", login=login),
                    MappingProxyType({}), b"", now,
                ),
                "inbound", 9, state=WAITING, due=now + 3600, decided=now, reason="later",
            )  # fmt: skip
            shard.put_new(batch, record, Octets(b"A: b\r\n\r\nc"))
            found[str(record.id)] = may_be_known(login, recipients)
    return found


@given(MESSAGES)
@examples(25)
def test_of_the_queue_it_sees_and_changes_what_is_of_its_domains_alone(messages):
    with tempfile.TemporaryDirectory() as folder:
        trio.run(look, Path(folder), messages)


async def look(folder: Path, messages) -> None:
    known = put(folder / "var", messages)
    wanted = {identity for identity, may in known.items() if may}
    async with api_of(folder) as api:
        scopes = ("queue:read", "queue:write", "history:read")
        async with api.with_scopes(*scopes, domains=[OURS]) as ours, api.with_scopes("queue:read") as all_of_it:
            for which in ([], ["age >= 0s"], list(known)):
                listed = (await ours.get("/queue/messages", params={"which": which})).json()
                assert {one["id"] for one in listed["items"]} == wanted
                counted = (await ours.get("/queue/count", params={"which": which})).json()
                assert counted["messages"] == len(wanted)
                grouped = (await ours.get("/queue/groups", params={"which": which, "by": "sender"})).json()
                assert grouped["all"]["messages"] == len(wanted)
            for identity, may in known.items():
                assert (await ours.get(f"/queue/messages/{identity}")).status_code == (200 if may else 404)
                assert (await ours.get(f"/history/messages/{identity}")).status_code == (200 if may else 404)
            counted = await ours.post("/queue/orders", json={"order": "hold", "which": list(known), "dry_run": True})
            left_out = (await ended(ours, counted))["result"]["left_out"]
            assert {one["id"]: one["why"] for one in left_out} == {
                identity: "there is no such message" for identity in known if identity not in wanted
            }
            for which in ({"which": list(known)}, {"which": ["state == 'waiting'"]}, {"all": True}):
                done = await ended(ours, await ours.post("/queue/orders", json={"order": "delete", **which}))
                assert done["result"]["done"] == len(wanted)
                wanted = set()
            left = (await all_of_it.get("/queue/messages")).json()["items"]
            assert {one["id"] for one in left} == {identity for identity, may in known.items() if not may}


def story(*entries) -> Story:
    return Story(MessageId(bytes(16)), tuple(Told(one, "mail-0") for one in entries))


def arrived(login: str, *to: str) -> Arrived:
    session = ("192.0.2.1", "there.test", "ESMTPSA", "TLSv1.3", login)
    return Arrived(bytes(16), 2.0, 1.0, "accepted", "inbound", 1, f"x@{OURS}", to, 9, session=session)


def attempted(*to: str, original: str = "") -> Attempted:
    return Attempted(
        bytes(16), 3.0, 2.5, 1, 1, "", outcomes=tuple(Outcome(one, "delivered", original=original) for one in to)
    )


def test_a_way_that_leads_to_others_is_not_told():
    reach = Reach(frozenset({OURS}), lambda domain: domain in (OURS, THEIRS))
    mine, theirs, far = f"ann@{OURS}", f"bob@{THEIRS}", f"cid@{FAR}"
    part = Born(b"1" * 16, 3.0, bytes(16), "split", "", (theirs,))
    told = {
        "mine": story(arrived("", mine), attempted(mine)),
        "sent": story(arrived(mine, far), attempted(far)),
        "forged": story(arrived("", theirs)),
        "to both": story(arrived("", mine, theirs)),
        "sent to them": story(arrived(mine, theirs)),
        "by their alias": story(arrived(mine, f"list@{OURS}"), attempted(theirs, original=f"list@{OURS}")),
        "with a part for them": Story(MessageId(bytes(16)), story(arrived("", mine)).told, (part,)),
        "nobody knows whose": story(),
    }
    assert {name for name, one in told.items() if is_within(reach, one)} == {"mine", "sent"}
    assert all(is_within(Reach(), one) for one in told.values())


async def test_bans_rates_and_suspects_of_others_are_not_told_nor_lifted(tmp_path):
    async with api_of(tmp_path) as api:
        role, mine, theirs = api.site.role, f"ann@{OURS}", f"bob@{THEIRS}"
        for peer in (f"203.0.113.{number}" for number in range(60)):
            for address in (mine, theirs):
                role.logins.guard.failed(peer, address, None)
        for address in (mine, theirs):
            await Habits(role.tables).suspect(address, ["recipients: many"], "192.0.2.1")
            role.rates.take(Sender("account", address, (Rate("1/1h"),)), 1)
        paths = ("/bans", "/rates", "/suspects")
        async with api.with_scopes(domains=[OURS]) as ours, api.with_scopes() as all_of_it:
            for path in paths:
                name = "account" if path == "/suspects" else "name"
                assert {one[name] for one in (await ours.get(path)).json()} == {mine}, path
                assert {mine, theirs} <= {one[name] for one in (await all_of_it.get(path)).json()}, path
            for path in ("/bans", "/rates"):
                for who in (theirs, "203.0.113.0/24"):
                    assert (await ours.delete(path, params={"who": who})).status_code == 404, path
                assert (await ours.delete(path, params={"who": mine})).status_code == 200, path
            assert (await ours.delete(f"/suspects/{theirs}")).status_code == 404
            assert (await ours.delete(f"/suspects/{mine}")).status_code == 204
            for path in paths:
                assert mine not in (await all_of_it.get(path)).text, path
                assert theirs in (await all_of_it.get(path)).text, path


async def test_who_is_kept_out_by_hand(tmp_path):
    async with api_of(tmp_path) as api:
        mine, theirs = f"ann@{OURS}", f"bob@{THEIRS}"
        async with api.with_scopes(domains=[OURS]) as ours, api.with_scopes() as all_of_it:
            made = await ours.post("/bans", json={"who": mine, "seconds": 600})
            assert (made.status_code, [(one["kind"], one["name"]) for one in made.json()]) == (201, [("account", mine)])
            for who in (theirs, "203.0.113.7"):
                assert (await ours.post("/bans", json={"who": who})).status_code == 403, who
            assert (await all_of_it.post("/bans", json={"who": "203.0.113.7"})).status_code == 201
            for who in ("0.0.0.0/0", "nobody"):
                assert (await all_of_it.post("/bans", json={"who": who})).status_code == 422, who
            found = {one["name"] for one in (await all_of_it.get("/bans")).json()}
            assert found == {mine, "203.0.113.7/32"}
            assert (await ours.delete("/bans", params={"who": mine})).status_code == 200


async def test_what_the_dns_should_have_of_a_domain(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("domains:read", domains=[OURS]) as ours:
        lines = (await ours.get(f"/domains/{OURS}/records")).json()
        assert any(line.startswith(f"{OURS}. IN MX ") for line in lines)
        for path in ("records", "presence"):
            assert (await ours.get(f"/domains/{THEIRS}/{path}")).status_code in (403, 404), path
            assert (await ours.get(f"/domains/{FAR}/{path}")).status_code in (403, 404), path
