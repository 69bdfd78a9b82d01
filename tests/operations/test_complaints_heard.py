"""Who complains about mail of a running server gets no more of it, and others hear of that."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.net.zone import Zone
from tests.feedback import complaint_samples as samples
from tests.support.background import dns, smtp_server
from tests.support.http_server import HttpServer
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

NEWS, FBL, STRANGER = "news@example.org", "fbl@example.org", "127.0.0.9"
BOB, EVE, ANN = "bob@far.example", "eve@far.example", "ann@far.example"


class Post(NamedTuple):
    server: Postroad
    remote: Remote  # that takes the mail of far.example
    hook: HttpServer

    def complain(self, octets: bytes) -> None:
        """From outside, without a signature."""
        with self.server.dialogue(STRANGER) as client:
            client.start(FBL, sender="").content(octets)

    def rcpt(self, to: str, beginning: str) -> str:
        with self.server.dialogue() as client:
            client.ask("EHLO client.test", "250")
            client.ask(f"MAIL FROM:<{NEWS}>", "250")
            return client.ask(f"RCPT TO:<{to}>", beginning)

    def posted(self) -> list[dict[str, Any]]:
        return [event for asked in list(self.hook.asked) for event in json.loads(asked.body)["events"]]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    for name in ("secret", "links"):
        (tmp_path / name).write_text(f"a long {name}\n")
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.example", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote()))
        hook = stack.enter_context(HttpServer(lambda _: b"").serving())
        settings = {
            "dns": {"servers": [address]},
            "verp": {"address": "bounces@example.org", "secret_file": "secret", "senders": [NEWS]},
            "webhook": {"crm": {"url": f"http://127.0.0.1:{hook.port}/", "secret_file": "secret", "retry": ["100ms"]}},
            "suppression": {},
            "lane": {
                "inbound": {
                    "stages": [
                        "accept", "authenticate", "suppress", "queue", "returned_mail", "incoming_reports", "route",
                    ]
                },
                "remote": {"stages": ["bulk_mail", "return_path", "resolve", "relay"]},
            },
            "stage": {
                "accept": {"relay_networks": ["127.0.0.1"]},
                "resolve": {"port": remote.port},
                "incoming_reports": {"complaints": [FBL], "link_secrets": "links", "workers": 1},
                "bulk_mail": {
                    "do": "add", "senders": [NEWS], "url": "https://example.org/leave", "secret_file": "links",
                    "list_id": "news.example.org",
                },
            },
        }  # fmt: skip
        server = stack.enter_context(Postroad(tmp_path, settings)).account(FBL)
        yield Post(server, remote, hook)


def test_who_complains_gets_no_more(post: Post) -> None:
    server = post.server
    server.send(letter("news"), BOB, EVE, ANN, sender=NEWS)
    until(lambda: len(post.remote.received) >= 3, "three messages")
    sent = {one.recipients[0]: one for one in post.remote.received}

    # Bob's provider says nothing of him, but returns the sender that we made for him.
    hidden = f"Feedback-Type: abuse\nUser-Agent: Far/1\nVersion: 1\nOriginal-Mail-From: <{sent[BOB].sender}>\n"
    post.complain(samples.arf(hidden, samples.copied("redacted@far.example")))
    told = server.wait_for("complaint", recipient=BOB)
    assert (told["by"], told["kind"], told["redacted"]) == ("verp", "abuse", True)
    assert server.wait_for("delivered", to=BOB)["id"].startswith(told["message"])
    server.wait_for("suppressed", to=BOB)
    assert "the recipient has called mail of ours spam" in post.rcpt(BOB, "550 5.7.1")

    # Eve's returns the whole message, in which our link is for her alone.
    whole = sent[EVE].content.decode().replace("\r\n", "\n").replace(sent[EVE].sender, "x@example.org")
    post.complain(
        samples.attached(f"X-HmXmrOriginalRecipient: <hidden@far.example>\n{whole}", "From: staff@hotmail.com")
    )
    told = server.wait_for("complaint", recipient=EVE)
    assert (told["by"], told["form"]) == ("link", "jmrp")
    server.wait_for("suppressed", to=EVE)
    post.rcpt(EVE, "550 5.7.1")

    # Of Ann somebody says so, without a proof.
    post.complain(samples.arf(f"Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\nOriginal-Rcpt-To: <{ANN}>\n"))
    assert server.wait_for("complaint", recipient=ANN)["by"] == "said"
    events = until(lambda: len(found := post.posted()) >= 3 and found, "the webhook to be told")
    assert {(one["event"], one["to"], one["class"], one.get("permanent", False)) for one in events} == {
        ("complaint", BOB, "complaint", True),
        ("complaint", EVE, "complaint", True),
        ("complaint", ANN, "complaint", False),
    }
    post.rcpt(ANN, "250")
    done = server.command("bounces", "list", "--event", "complaint", "--json")
    assert {one["to"] for one in json.loads(done.stdout)} == {BOB, EVE, ANN}
    assert server.command("suppression", "check", BOB).returncode == 1
    assert server.command("suppression", "check", ANN).returncode == 0

    # What is none goes to the mailbox.
    post.complain(letter("I am on holiday"))
    assert len(server.mail_for(FBL)) == 1
