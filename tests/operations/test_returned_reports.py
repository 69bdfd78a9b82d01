"""What senders of a whole server are told, what comes back to addresses of VERP, and links to leave."""

import re
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.net.zone import Zone
from engine.unsubscribe import Link
from engine.unsubscribe.links import verify
from tests.delivery_status import bounce_samples as samples
from tests.support.background import dns, smtp_server
from tests.support.dsn_grammar import Report, strict
from tests.support.remote import Received, Remote
from tests.support.server import Postroad, letter, until

NEWS, ANN, STRANGER = "news@example.org", "ann@example.org", "127.0.0.9"
BOB, EVE = "bob@far.example", "eve@far.example"


class Post(NamedTuple):
    server: Postroad
    remote: Remote  # that takes the mail of far.example, offers no DSN, and knows no nobody

    def arrived(self, count: int) -> list[Received]:
        until(lambda: len(self.remote.received) >= count, f"{count} messages at far.example")
        return self.remote.received

    def report(self, to: str = ANN) -> Report:
        """The report in somebody's mailbox, without the fields that delivery has put before it."""
        (octets,) = self.server.mail_for(to)
        return strict(octets[octets.index(b"From: ") :])


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    (tmp_path / "secrets").write_text("a long secret\n")
    far = Zone("far.example", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})
    script = {"RCPT nobody@far.example": "550 No such user", "RCPT full@far.example": "552 Too much"}
    with ExitStack() as stack:
        address = stack.enter_context(dns(far))
        remote = stack.enter_context(smtp_server(Remote(script=script, extensions=("PIPELINING", "8BITMIME"))))
        settings = {
            "dns": {"servers": [address]},
            "verp": {"address": "bounces@example.org", "secret_file": "secrets", "senders": [NEWS]},
            "batv": {"secret_file": "secrets", "require": True},
            "delivery_reports": {"domains": {"fr": ["example.org"]}},
            "lane": {
                "inbound": {"stages": ["accept", "queue", "returned_mail", "route"]},
                "remote": {"stages": ["bulk_mail", "return_path", "resolve", "relay"]},
            },
            "stage": {
                "accept": {"relay_networks": ["127.0.0.1"]},
                "resolve": {"port": remote.port},
                "bulk_mail": {
                    "do": "add",
                    "senders": [NEWS],
                    "url": "https://example.org/leave",
                    "secret_file": "secrets",
                    "list_id": "news.example.org",
                },
            },
        }
        server = stack.enter_context(Postroad(tmp_path, settings)).account(ANN)
        assert server.command("alias", "add", "all@example.org", ANN, BOB).returncode == 0
        yield Post(server, remote)


def asked(server: Postroad, to: list[str], notify: str, *options: str, language: str = "") -> None:
    """Send as Ann, who asks to be told."""
    content = (f"Accept-Language: {language}\r\n".encode() if language else b"") + letter("told")
    with server.smtp() as client:
        client.sendmail(ANN, to, content, list(options), [f"NOTIFY={notify}"])


def returned(server: Postroad, to: str, octets: bytes, beginning: str = "250") -> None:
    with server.dialogue(STRANGER) as client:
        client.ask("EHLO mx.far.example", "250")
        client.ask("MAIL FROM:<>", "250")
        client.ask(f"RCPT TO:<{to}>", beginning)
        if beginning == "250":
            client.content(octets)


def test_each_recipient_has_an_address_and_a_link_and_reports_are_tied_to_both(post: Post) -> None:
    server = post.server
    server.send(letter("news"), BOB, EVE, sender=NEWS)
    first, second = sorted(post.arrived(2), key=lambda one: one.recipients)
    assert (first.recipients, second.recipients) == ((BOB,), (EVE,))
    assert re.fullmatch(r"bounces\+[0-9a-z]{24}=bob=far\.example@example\.org", first.sender)
    assert first.sender[:24] == second.sender[:24]  # of the same message
    for one, who in ((first, BOB), (second, EVE)):
        (token,) = re.findall(rb"List-Unsubscribe: <https://example\.org/leave/([\w-]+)>\r\n", one.content)
        link = verify(token.decode(), [b"a long secret"], 4e9, 4e9)
        assert (link.address, link.list) == (who, "news.example.org")
        assert isinstance(link, Link)
        assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in b"\r\n" + one.content

    returned(server, first.sender, samples.POSTFIX)
    told = server.wait_for("returned", recipient=BOB)
    delivered = server.wait_for("delivered", to=BOB)
    assert delivered["id"].startswith(told["message"])
    assert (told["action"], told["status"], told["form"]) == ("failed", "5.1.1", "standard")
    server.wait_for("discarded", id=told["id"])
    returned(server, first.sender.replace("bob", "eve"), samples.POSTFIX, "550 5.1.1")
    returned(server, first.sender, letter("I am out of office"))
    server.wait_for("returned-unread", recipient=BOB)
    server.wait_for("bounce-dropped", to=[first.sender])  # nobody has the address, and nobody is told


def test_a_failure_is_told_in_the_language_of_the_sender(post: Post) -> None:
    asked(post.server, ["nobody@far.example", "full@far.example"], "FAILURE", "RET=FULL", "ENVID=QQ+2B1")
    report = post.report()
    assert report.letter["Subject"] == "Votre message n'a pas pu être remis"
    assert report.letter["Return-Path"] is None
    assert report.message["original-envelope-id"] == "QQ+1"
    assert re.fullmatch(r"dns; \S+ \(127\.0\.0\.1\)", report.message["received-from-mta"])
    assert {(one["final-recipient"], one["status"]) for one in report.recipients} == {
        ("rfc822; nobody@far.example", "5.0.0"),
        ("rfc822; full@far.example", "5.2.2"),
    }
    assert report.returned.get_content_type() == "message/rfc822"


def test_a_success_is_told_as_relayed_where_the_next_server_knows_no_dsn(post: Post) -> None:
    asked(post.server, [BOB], "SUCCESS", "RET=FULL", language="ja")
    report = post.report()
    assert (report.only["action"], report.only["remote-mta"]) == ("relayed", "dns; mx.far.example")
    assert report.letter["Subject"] == "メールを転送しました"
    assert report.returned.get_content_type() == "text/rfc822-headers"
    (there,) = post.arrived(1)
    assert not [command for command in post.remote.commands if "NOTIFY" in command or "RET=" in command]
    assert there.recipients == (BOB,)


def test_of_a_list_the_sender_hears_once(post: Post) -> None:
    asked(post.server, ["all@example.org"], "SUCCESS")
    post.server.wait_for("expanded", to="all@example.org")
    post.arrived(1)
    until(lambda: len(post.server.mail_for(ANN, 2)) == 2, "the message and one report")
    (octets,) = [one for one in post.server.mail_for(ANN, 2) if b"multipart/report" in one]
    report = strict(octets[octets.index(b"From: ") :])
    assert (report.only["action"], report.only["final-recipient"]) == ("expanded", "rfc822; all@example.org")
    assert len(post.server.all("bounce")) == 1


def test_nothing_is_told_where_nobody_wants_it(post: Post) -> None:
    asked(post.server, ["nobody@far.example", BOB], "NEVER")
    post.server.wait_for("failed", to="nobody@far.example")
    post.server.wait_for("delivered", to=BOB)
    assert post.server.all("bounce") == []
    with pytest.raises(smtplib.SMTPSenderRefused):
        asked(post.server, [BOB], "NEVER", "RET=NOTHING")
