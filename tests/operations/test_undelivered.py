"""What a running server does about mail that is not delivered: the log, webhooks, suppression, and actions."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.http_server import HttpServer
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

GONE, FULL, BOB, ANN = "gone@far.test", "full@far.test", "bob@far.test", "ann@far.test"
SECRET = b"a secret"


class Post(NamedTuple):
    server: Postroad
    remote: Remote  # that takes the mail of far.test
    hook: HttpServer

    def json(self, *arguments: str) -> list[dict[str, object]]:
        done = self.server.command(*arguments)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def send(self, subject: str, *to: str) -> None:
        self.server.send(letter(subject), *to, sender=ANN)

    def rcpt(self, to: str, beginning: str) -> str:
        with self.server.dialogue() as client:
            client.ask("EHLO client.test", "250")
            client.ask("MAIL FROM:<ann@example.net>", "250")
            return client.ask(f"RCPT TO:<{to}>", beginning)

    def posted(self) -> list[dict[str, object]]:
        """What the webhook has taken."""
        taken = [asked for asked in list(self.hook.asked) if asked.status == 200]
        return [event for asked in taken for event in json.loads(asked.body)["events"]]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    (tmp_path / "secret").write_bytes(SECRET)
    script = {f"RCPT {GONE}": "550 5.1.1 User unknown", f"RCPT {FULL}": "452 4.2.2 Mailbox full"}
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote(script=script)))
        hook = stack.enter_context(HttpServer(lambda asked: b"").serving())
        settings = {
            "dns": {"servers": [address]},
            "webhook": {"crm": {"url": f"http://127.0.0.1:{hook.port}/", "secret_file": "secret", "retry": ["100ms"]}},
            "suppression": {"invalid-recipient": {"after": 2}},
            "lane": {"inbound": {"stages": ["accept", "suppress", "queue", "route"]}},
            "stage": {"resolve": {"port": remote.port}, "relay": {"retry": ["1h"]}},
        }
        yield Post(stack.enter_context(Postroad(tmp_path, settings)), remote, hook)


def test_a_recipient_who_is_not_there_is_noted_posted_and_then_suppressed(post: Post) -> None:
    post.send("one", GONE, FULL, BOB)
    site = f"mx.far.test:{post.remote.port}"
    noted = until(lambda: len(found := post.json("bounces", "list", "--json")) >= 2 and found, "two lines of the log")
    assert {(one["to"], one["event"], one["class"], one["domain"], one["site"]) for one in noted} == {
        (GONE, "failed", "invalid-recipient", "far.test", site),
        (FULL, "deferred", "mailbox-full", "far.test", site),
    }
    assert all(BOB not in str(one) for one in noted)
    until(lambda: len(post.posted()) >= 2, "the webhook to be told")
    for asked in post.hook.asked:
        now, mac = (part.partition("=")[2] for part in asked.headers["Postroad-Signature"].split(","))
        assert hmac.new(SECRET, now.encode() + b"." + asked.body, hashlib.sha256).hexdigest() == mac
    assert {(event["to"], event["class"]) for event in post.posted()} == {
        (GONE, "invalid-recipient"),
        (FULL, "mailbox-full"),
    }

    post.rcpt(GONE, "250")
    post.send("two", GONE)
    post.server.wait_for("suppressed", to=GONE)
    assert "5.1.1" in post.rcpt(GONE, "550")
    post.rcpt(FULL, "250")
    assert post.server.command("suppression", "check", GONE).returncode == 1
    assert post.server.command("suppression", "remove", GONE).returncode == 0
    post.rcpt(GONE, "250")


def test_a_webhook_that_does_not_answer_holds_up_no_mail_and_is_told_later(post: Post) -> None:
    post.hook.status = 500
    post.send("one", GONE)
    post.server.wait_for("webhook-failed", webhook="crm")
    post.send("two", BOB)
    until(lambda: any(one.recipients == (BOB,) for one in post.remote.received), "mail at far.test")
    post.server.kill()
    until(lambda: not post.hook.open, "the webhook to have heard all that was asked")
    post.hook.status = 200
    post.server.start()
    until(post.posted, "the webhook to be told")
    assert [event["to"] for event in post.posted()] == [GONE]


def test_a_site_is_suspended_and_let_go_on(post: Post) -> None:
    done = post.server.command("shaping", "suspend", "mx.far.test", "--for", "1h")
    assert done.returncode == 0, done.stderr
    post.send("held", BOB)
    post.server.wait_for("line-held")
    assert post.remote.connections == 0
    (action,) = post.json("shaping", "actions", "--json")
    post.server.kill()
    post.server.start()
    assert post.json("shaping", "actions", "--json") == [action]
    assert post.server.command("shaping", "lift", str(action["id"])).returncode == 0
    post.server.wait_for("lines-let-go", lines=1, actions=[action["id"]])
    until(lambda: [one.recipients for one in post.remote.received] == [(BOB,)], "mail at far.test")
    post.server.wait_for("shaping-action-over", id=action["id"])


def test_what_a_site_says_leads_to_an_action(post: Post) -> None:
    listed = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"
    post.remote.script = {"MAIL": listed}
    post.server.account("postmaster@example.org")
    for number in range(5):
        post.send(str(number), BOB)
    action = post.server.wait_for("shaping-action", name="spamhaus")
    assert (action["site"], action["action"], action["reply"]) == (
        f"mx.far.test:{post.remote.port}", "suspend", listed,
    )  # fmt: skip
    (mail,) = post.server.mail_for("postmaster@example.org")
    assert b"postroad shaping lift " + action["id"].encode() in mail
    until(lambda: any(one["event"] == "action" for one in post.posted()), "the webhook to be told")
    post.remote.script = {}
    post.send("held", BOB)
    until(lambda: any(one["line"] for one in post.json("queue", "list", "--json")), "mail in the site's line")
    post.server.wait_for("line-held")  # told once for the line: by this one, or by the last of the five
    assert post.remote.received == []
