"""`postroad explain` on a running server, as an operator would: past and queued mail, with the server stopped too."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

ANN, BOB, FAR, SLOW, GONE = "ann@example.net", "bob@example.org", "fay@far.test", "slow@far.test", "gone@far.test"
SCRIPT = {f"RCPT {GONE}": "550 5.1.1 User unknown", f"RCPT {SLOW}": ["451 4.7.1 Come again", "250 2.1.5 Ok"]}

NOTE = """
'''Notes a fact, parks what calls itself odd, and refuses what calls itself bad.'''
from engine import Message, Quarantine, Reject

async def note(message: Message):
    subject = message.header("Subject")
    if subject == "bad":
        return Reject("not such a thing")
    return Quarantine("it calls itself odd") if subject == "odd" else message.with_fact("note.length", len(subject))
"""


class Post(NamedTuple):
    server: Postroad
    remote: Remote

    def explain(self, which: str, *arguments: str) -> list[dict[str, Any]]:
        done = self.server.command("explain", "--json", *arguments, which)
        return list(json.loads(done.stdout)) if done.returncode == 0 else []

    def story(self, which: str, fate: str, *kinds: str) -> dict[str, Any]:
        """The story of a message, once it has come so far, and each process has told what it knows: these ``kinds``."""

        def told() -> list[dict[str, Any]]:
            return [one for one in self.explain(which) if one["fate"] == fate and all(of(one, k) for k in kinds)]

        return dict(until(told, f"{which} to be {fate}, with {kinds}")[0])

    def send(self, subject: str, *to: str) -> str:
        """Send a message; its id."""
        with self.server.smtp() as client:
            client.ehlo()
            client.mail(ANN)
            for one in to:
                client.rcpt(one)
            code, said = client.data(f"Message-ID: <{subject}@mua.test>\r\n".encode() + letter(subject))
        assert code == 250
        return said.decode().rpartition(" ")[2]

    def refused(self) -> None:
        """A recipient whom there is not, and a message that is refused."""
        with self.server.smtp() as client:
            client.ehlo()
            client.mail(ANN)
            assert client.rcpt("nobody@example.org")[0] == 550
            client.rcpt(BOB)
            assert client.data(letter("bad"))[0] == 550


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote(script=SCRIPT)))
        settings = {
            "dns": {"servers": [address]},
            "lane": {"inbound": {"stages": ["accept", "note", "queue", "route"]}},
            "stage": {
                "note": {"use": "filters/note.py", "workers": 1},
                "resolve": {"port": remote.port},
                "relay": {"retry": ["1h"]},
            },
        }
        server = Postroad(tmp_path, settings, note=NOTE).account(BOB)
        yield Post(stack.enter_context(server), remote)


def of(story: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in story["history"] if entry["kind"] == kind]


def picked(entry: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in names)


def test_relayed_mail_with_its_stages_facts_workers_and_the_whole_reply(post: Post) -> None:
    identity = post.send("hello", FAR)
    kinds = "arrived", "sent", "attempted"
    story = post.story(identity, "delivered", *kinds)
    assert picked(story, "from", "to", "queue", "next") == (ANN, [FAR], None, "nothing, it is done with.")
    (arrived,), (sent,), (attempted,) = (of(story, kind) for kind in kinds)
    assert picked(arrived, "what", "revision", "lane") == ("accepted", 1, "inbound")
    assert picked(arrived["session"], "peer", "helo", "protocol") == ("127.0.0.1", "client.example.net", "ESMTP")
    (step,) = arrived["legs"][0]["steps"]
    assert picked(step, "stage", "verdict", "worker", "facts") == ("note", "changed", "note-0", {"note.length": 5})
    site = f"mx.far.test:{post.remote.port}"
    assert picked(sent, "host", "address", "to", "site") == ("mx.far.test", "127.0.0.1", [FAR], site)
    assert picked(sent, "tls", "policy") == ("in the clear, The server offers no TLS", "opportunistic")
    assert sent["replies"] == ["250 2.0.0 Ok: queued"]
    assert re.fullmatch(r"mail-[01]", sent["worker"])
    steps = [step for leg in attempted["legs"] for step in leg["steps"]]
    assert [step["stage"] for step in steps] == ["route", "resolve", "relay"]
    assert steps[1]["facts"]["resolve.site"] == site
    (outcome,) = attempted["outcomes"]
    assert picked(outcome, "to", "what", "reply", "remote") == (FAR, "delivered", sent["replies"][0], "mx.far.test")
    shown = post.server.command("explain", identity)
    assert shown.returncode == 0
    assert "mx.far.test [127.0.0.1] for fay@far.test" in shown.stdout
    assert shown.stdout.endswith("Next: nothing, it is done with.\n")


def test_an_alias_that_leads_here_and_elsewhere(post: Post) -> None:
    assert post.server.command("alias", "add", "both@example.org", BOB, FAR).returncode == 0
    identity = post.send("hello", "both@example.org")
    until(lambda: of(post.explain(identity)[0], "attempted") if post.explain(identity) else [], "the end of it")
    (story,) = post.explain(identity)
    (placed,) = of(story, "placed")
    assert picked(placed, "to", "places", "what", "worker") == (BOB, ["INBOX"], "delivered to mailbox", "mailboxes")
    outcomes = {
        one["to"]: one["original"] for one in of(story, "attempted")[0]["outcomes"] if one["what"] == "delivered"
    }
    assert outcomes == {BOB: "both@example.org", FAR: "both@example.org"}
    (found,) = post.explain(FAR)  # who was never named by the sender finds it too
    assert found["id"] == identity


def test_deferred_then_delivered_and_what_is_next(post: Post) -> None:
    identity = post.send("hello", SLOW)
    story = post.story(identity, "deferred")
    assert story["queue"]["attempts"] == 1
    assert re.match(r"attempt 2 at \S+Z \(in \d+ minutes\)\. `postroad queue retry", story["next"])
    assert of(story, "sent")[0]["replies"] == ["451 4.7.1 Come again"]
    assert of(story, "attempted")[0]["outcomes"][0]["reply"] == "451 4.7.1 Come again"
    post.server.stop()
    assert post.explain(identity)[0]["history"] == story["history"]
    post.server.start()
    assert post.server.command("queue", "retry", identity).returncode == 0
    story = post.story(identity, "delivered")
    assert [one["number"] for one in of(story, "attempted")] == [1, 2]
    assert "tried now" in [one["what"] for one in of(story, "noted")]


def test_a_bounce_and_its_report_are_linked_both_ways(post: Post) -> None:
    identity = post.send("hello", GONE)
    story = post.story(identity, "failed")
    assert of(story, "attempted")[0]["outcomes"][0]["reply"] == "550 5.1.1 User unknown"
    (child,) = story["children"]
    assert picked(child, "why", "from", "to") == ("report", "", [ANN])
    (report,) = post.explain(child["id"])
    assert report["parent"] == {"id": identity, "why": "report"}
    assert post.explain(report["message_id"])[0]["id"] == child["id"]


def test_refused_mail_and_a_client_turned_away(post: Post) -> None:
    post.refused()
    rows = until(lambda: len(found := post.explain(ANN)) == 2 and found, "two lines")
    assert sorted(row["what"] for row in rows) == ["refused", "turned away: 5.1.1 no such user here"]
    (refused,) = (row["id"] for row in rows if row["id"])
    (arrived,) = of(post.story(refused, "refused"), "arrived")
    assert arrived["text"] == "not such a thing"


def test_parked_and_released(post: Post) -> None:
    identity = post.send("odd", BOB)
    story = post.story(identity, "accepted")
    assert story["queue"]["state"] == "quarantined"
    assert f"postroad queue release {identity}" in story["next"]
    assert post.server.command("queue", "release", identity).returncode == 0
    story = post.story(identity, "delivered")
    assert [picked(one, "what", "text") for one in of(story, "noted")] == [("released", "it calls itself odd")]


def test_an_address_lists_the_latest_and_a_message_id_shows_all(post: Post) -> None:
    ids = []
    for number in range(5):
        ids.append(post.send(f"number-{number}", BOB))
        post.server.wait_for("delivered", id=ids[-1])  # of two shards the later one may be the quicker
    until(lambda: [row["what"] for row in post.explain(BOB)] == ["delivered"] * 5, "all to be known")
    assert [row["id"] for row in post.explain(BOB, "--last", "3")] == ids[:1:-1]
    assert [row["id"] for row in post.explain(BOB.upper())] == ids[::-1]
    for form in ("<number-2@mua.test>", "number-2@MUA.test"):
        assert [story["id"] for story in post.explain(form)] == [ids[2]]
    text = post.server.command("explain", BOB).stdout.splitlines()
    assert [line.split("\t")[1:3] for line in text] == [[one, "delivered"] for one in ids[::-1]]
    done = post.server.command("explain", "nobody@example.net")
    assert (done.returncode, done.stdout) == (1, "")
    assert "[history] has nothing of nobody@example.net" in done.stderr


def test_the_level_changes_by_a_reload(post: Post) -> None:
    post.server.change({"history": {"level": "off"}})
    assert post.server.reload().returncode == 0
    identity = post.send("hello", SLOW)
    post.server.wait_for("deferred", id=identity)
    (story,) = until(lambda: (found := post.explain(identity)) and found[0]["queue"]["attempts"] and found, "the queue")
    assert picked(story, "history", "fate") == ([], "unknown")
    unknown = post.send("hello", BOB)
    post.server.wait_for("delivered", id=unknown)
    until(lambda: post.server.command("explain", unknown).returncode == 1, "it to be gone")
    assert '`[history] level` is "off"' in post.server.command("explain", unknown).stderr
    post.server.change({"history": {"level": "mail"}})
    assert post.server.reload().returncode == 0
    post.refused()
    post.story(post.send("hello", BOB), "delivered")
    assert post.explain("nobody@example.org") == []
    assert [story["fate"] for story in post.explain(ANN)] == ["delivered"]  # the only message that is known


def test_a_killed_server_knows_what_it_had_written(post: Post) -> None:
    identity = post.send("hello", BOB)
    post.story(identity, "delivered")
    post.server.kill()
    assert post.explain(identity)[0]["fate"] == "delivered"
    post.server.start()
    post.story(post.send("other", BOB), "delivered")
    assert post.explain(identity)[0]["fate"] == "delivered"
