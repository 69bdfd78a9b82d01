"""Mailboxes in a Dovecot: mail comes in here, is handed on by LMTP, and is read there."""

from pathlib import Path

import pytest

from tests.support.dovecot import Dovecot, dovecot
from tests.support.programs import marks
from tests.support.server import Postroad, body, letter, until

pytestmark = marks("dovecot")

BOB, EVE, FULL, GONE = (f"{name}@example.org" for name in ("bob", "eve", "full", "gone"))


def handing_on(folder: Path, **settings: str) -> Postroad:
    """A server that keeps no mailboxes itself, but for that of the sender."""
    changes = {
        "lane": {"store": {"stages": ["lmtp"]}},
        "route": [
            {"to": "ann@example.org", "lane": "local"},
            {"to": "local", "lane": "store"},
            {"to": "*", "lane": "remote"},
        ],
        "stage": {"lmtp": {"retry": ["1s"], **settings}},
    }
    return Postroad(folder, changes)


def mail_of(store: Dovecot, user: str, count: int = 1) -> list[bytes]:
    return until(lambda: len(mail := store.mail(user)) >= count and mail, f"{count} messages of {user}")  # type: ignore[no-any-return]


@pytest.mark.parametrize("by", ["host", "socket"])
def test_mail_is_read_in_dovecot(tmp_path: Path, by: str) -> None:
    with dovecot(BOB, EVE) as store:
        to = {"host": {"host": f"localhost:{store.lmtp}"}, "socket": {"socket": store.socket}}[by]
        with handing_on(tmp_path, **to) as server:
            server.account(BOB, EVE)
            server.send(letter("first", ".dot\r\n..dots"), BOB, EVE)
            mail_of(store, BOB)  # of two workers the later one may be the quicker
            large = letter("large", "line of the large one\r\n" * 50_000)
            server.send(large, BOB)
            for user in (BOB, EVE):
                message = mail_of(store, user)[0]
                assert message.startswith(b"Return-Path: <ann@example.net>\r\n")
                assert b" with LMTP\r\n" in message
                assert body(message) == b".dot\r\n..dots\r\n"
            assert body(mail_of(store, BOB, 2)[1]) == body(large)
            until(lambda: server.queued() == 0, "an empty queue")
            assert [len(store.mail(user)) for user in (BOB, EVE)] == [2, 1]


def test_each_recipient_has_what_dovecot_says(tmp_path: Path) -> None:
    """One has no room, and Dovecot says so behind the content; one is unknown there, and known here."""
    with dovecot(BOB, full=[FULL]) as store, handing_on(tmp_path, host=f"127.0.0.1:{store.lmtp}") as server:
        server.account("ann@example.org", BOB, FULL, GONE)
        server.send(letter("to all"), BOB, FULL, GONE, sender="ann@example.org")
        assert b"Subject: to all" in mail_of(store, BOB)[0]
        (bounce,) = server.mail_for("ann@example.org")
        assert b"Final-Recipient: rfc822; full@example.org" in bounce
        assert b"Status: 5.2.2" in bounce
        assert b"Final-Recipient: rfc822; gone@example.org" in bounce
        assert b"5.1.1" in bounce
        assert len(store.mail(BOB)) == 1


def test_what_waited_for_dovecot_comes_once_it_is_there(tmp_path: Path) -> None:
    with dovecot(BOB, EVE) as store:
        port = store.lmtp
    with handing_on(tmp_path, host=f"127.0.0.1:{port}") as server:
        server.account(BOB, EVE)
        for number in range(10):
            server.send(letter(f"number {number}"), BOB, EVE)
        server.wait_for("deferred", to=BOB)
        with dovecot(BOB, EVE) as store:
            server.change({"stage": {"lmtp": {"host": f"127.0.0.1:{store.lmtp}"}}})
            assert server.reload().returncode == 0
            for user in (BOB, EVE):
                assert len(mail_of(store, user, 10)) == 10
