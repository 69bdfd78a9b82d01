"""Mail that an alias sends outside, mail that goes out, and the bounces of both that come back."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from engine.authentication.arc import ArcResult, validate_arc
from engine.authentication.fields import split_message
from engine.net.zone import Zone
from tests.authentication.letters import records
from tests.authentication.zone import Asked
from tests.support.background import dns, smtp_server
from tests.support.keys import put_keys
from tests.support.remote import Received, Remote
from tests.support.server import Postroad, letter, until

ANN, OUT, STRANGER = "ann@example.org", "out@example.org", "127.0.0.9"


class Post(NamedTuple):
    server: Postroad
    remote: Remote  # that takes the mail of far.test and elsewhere.test

    def arrived(self, count: int) -> Received:
        """The last one of so many."""
        return list(until(lambda: len(self.remote.received) >= count and self.remote.received, "mail at far.test"))[-1]


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    (tmp_path / "secrets").write_text("a long secret\n")
    here = {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}}
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", here), Zone("elsewhere.test", here)))
        remote = stack.enter_context(smtp_server(Remote(script={"RCPT no@far.test": "550 5.1.1 No"})))
        settings = {
            "dns": {"servers": [address]},
            "srs": {"domain": "example.org", "secret_file": "secrets"},
            "batv": {"secret_file": "secrets", "require": True},
            "lane": {"remote": {"stages": ["return_path", "resolve", "relay"]}},
            "stage": {"accept": {"relay_networks": ["127.0.0.1"]}, "resolve": {"port": remote.port}},
        }
        server = stack.enter_context(Postroad(tmp_path, settings)).account(ANN)
        assert server.command("alias", "add", OUT, "bob@far.test", ANN).returncode == 0
        assert server.command("alias", "add", "gone@example.org", "no@far.test").returncode == 0
        yield Post(server, remote)


def bounced(server: Postroad, to: str, beginning: str) -> None:
    with server.dialogue(STRANGER) as client:
        client.ask("EHLO mx.far.test", "250")
        client.ask("MAIL FROM:<>", "250")
        client.ask(f"RCPT TO:<{to}>", beginning)
        if beginning == "250":
            client.content(letter("returned"))


def test_forwarded_mail_and_its_bounce(post: Post) -> None:
    server = post.server
    with server.dialogue(STRANGER) as client:
        client.start(OUT, sender="someone@elsewhere.test").content(letter("for two"))
    (near,) = server.mail_for(ANN)
    assert near.startswith(b"Return-Path: <someone@elsewhere.test>\r\n")
    far = post.arrived(1)
    assert far.recipients == ("bob@far.test",)
    assert far.sender.startswith("SRS0=")
    assert far.sender.endswith("=elsewhere.test=someone@example.org")
    bounced(server, far.sender.replace("someone", "anyone"), "550 5.1.1")
    bounced(server, far.sender, "250")
    back = post.arrived(2)
    assert (back.sender, back.recipients) == ("", ("someone@elsewhere.test",))

    (server.folder / "secrets").write_text("a new secret\na long secret\n")
    assert server.reload().returncode == 0
    bounced(server, far.sender, "250")
    (server.folder / "secrets").write_text("a new secret\n")
    assert server.reload().returncode == 0
    bounced(server, far.sender, "550 5.1.1")


def test_a_report_of_ours_goes_to_the_sender_itself(post: Post) -> None:
    with post.server.dialogue(STRANGER) as client:
        client.start("gone@example.org", sender="someone@elsewhere.test").content(letter("for nobody"))
    report = post.arrived(1)
    assert (report.sender, report.recipients) == ("", ("someone@elsewhere.test",))


def test_our_own_mail_is_signed_and_other_bounces_are_refused(post: Post) -> None:
    server = post.server
    server.send(letter("from here"), "bob@far.test", sender=ANN)
    sender = post.arrived(1).sender
    assert sender.startswith("prvs=0")
    assert sender.endswith(f"={ANN}")
    bounced(server, ANN, "550 5.7.1 this is no report")
    bounced(server, sender.replace("=ann@", "=bob@"), "550 5.1.1")
    bounced(server, sender, "250")
    assert len(server.mail_for(ANN)) == 1
    server.send(letter("from here"), "no@far.test", sender=ANN)
    assert len(server.mail_for(ANN, 2)) == 2, "a report of our own needs no tag"


def test_forwarded_mail_is_sealed_with_what_we_found(post: Post) -> None:
    put_keys(post.server.folder / "var", "example.org")
    inbound = {"stages": ["accept", "authenticate", "queue", "route"]}
    post.server.change(
        {"lane": {"inbound": inbound, "remote": {"stages": ["sign", "return_path", "resolve", "relay"]}}}
    )
    assert post.server.reload().returncode == 0
    with post.server.dialogue(STRANGER) as client:
        client.start(OUT, sender="someone@elsewhere.test").content(letter("for two"))
    fields, body = split_message([post.arrived(1).content])

    async def validate() -> ArcResult:
        return await validate_arc(fields, body, Asked(records("example.org")), time.time())

    found = trio.run(validate)
    assert (found.result, [one.domain for one in found.sets]) == ("pass", ["example.org"])
    assert found.sets[0].results.startswith("mx.example.org;")
    assert "spf=none" in found.sets[0].results


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"srs": {"secret_file": "none"}}, "cannot read"),
        ({"batv": {"secret_file": "empty"}}, "there is no secret in"),
        ({"srs": {"domain": "a b"}}, "is no domain name"),
        ({"srs": {"domain": None}}, "is required"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, changes: dict[str, dict[str, str]], said: str) -> None:
    (tmp_path / "secrets").write_text("secret")
    (tmp_path / "empty").write_text("\n \n")
    server = Postroad(tmp_path, {"srs": {"domain": "example.org", "secret_file": "secrets"}})
    server.change({"batv": {"secret_file": "secrets"}, "lane": {"remote": {"stages": ["return_path", "relay"]}}})
    assert server.command("check").returncode == 0
    server.change(changes)
    done = server.command("check")
    assert done.returncode == 2
    assert said in done.stderr
