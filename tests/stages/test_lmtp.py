"""The stage lmtp against real sockets: what each answer and each fault of the store leads to, for each recipient."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trustme

from engine import Defer, Delivered, Duration, Each, Envelope, Message, MessageId, Recipient, Reject
from engine.message import Octets
from engine.net.names import Hostname
from stages.lmtp import Lmtp
from tests.support.remote import DROP, USUAL, Remote, serving

A, B, C = "a@example.org", "b@example.org", "c@example.org"
CONTENT = b"Subject: hello\r\n\r\nHello\r\n.dot\r\n"


def letter(*to: str, content: bytes = CONTENT) -> Message:
    recipients = tuple(Recipient(address) for address in to or (B,))
    return Message(MessageId.new(), Envelope("s@example.net", recipients), Octets(content))


@asynccontextmanager
async def lmtp(remote: Remote, **settings: object) -> AsyncIterator[Lmtp]:
    remote.lmtp = True
    async with (
        serving(remote),
        Lmtp(Hostname("mx.example.org"), **{"host": f"127.0.0.1:{remote.port}", **settings}) as stage,  # type: ignore[arg-type]
    ):
        yield stage


async def outcomes(remote: Remote, *to: str, **settings: object) -> dict[str, type]:
    """What kind of verdict each recipient has."""
    async with lmtp(remote, **settings) as stage:
        verdict = await stage(letter(*to))
    return dict.fromkeys(to, type(verdict)) | (
        {address: type(one) for address, one in verdict.verdicts.items()} if isinstance(verdict, Each) else {}
    )


async def test_says_lhlo_and_hears_one_reply_for_each() -> None:
    remote = Remote()
    async with lmtp(remote) as stage:
        assert await stage(letter(A, B)) == Delivered("250 2.0.0 Ok: queued", "127.0.0.1", tell="nothing")
    assert remote.commands == [
        "LHLO mx.example.org",
        f"MAIL FROM:<s@example.net> SIZE={len(CONTENT)}",
        f"RCPT TO:<{A}>",
        f"RCPT TO:<{B}>",
        "DATA",
        "QUIT",
    ]
    assert [(got.recipients, got.content) for got in remote.received] == [((A,), CONTENT), ((B,), CONTENT)]


@pytest.mark.parametrize("extensions", [(), USUAL, (*USUAL, "CHUNKING")], ids=["none", "usual", "with CHUNKING"])
async def test_each_recipient_has_the_outcome_that_the_store_gave_it(extensions: tuple[str, ...]) -> None:
    script = {f". {A}": "452 4.2.2 Over quota", f". {C}": "550 5.2.0 No", "RCPT d@example.org": "550 5.1.1 Who?"}
    remote = Remote(script, extensions=extensions)
    async with lmtp(remote) as stage:
        verdict = await stage(letter(A, B, C, "d@example.org"))
        assert isinstance(verdict, Each)
        found = verdict.verdicts
        assert isinstance(found[A], Defer)
        assert found[A].reply == "452 4.2.2 Over quota"
        assert found[B] == Delivered(
            "250 2.0.0 Ok: queued", "127.0.0.1", tell="nothing" if "DSN" in extensions else "delivered"
        )
        assert isinstance(found[C], Reject)
        assert isinstance(found["d@example.org"], Reject)
        assert isinstance(await stage(letter(B)), Delivered)
    assert remote.connections == 1
    assert [got.recipients for got in remote.received] == [(B,), (B,)]


async def test_no_recipient_is_accepted() -> None:
    remote = Remote({"RCPT": "550 5.1.1 Who?"})
    assert await outcomes(remote, A, B) == {A: Reject, B: Reject}


async def test_many_messages_use_few_connections() -> None:
    remote = Remote()
    async with lmtp(remote, connections=2) as stage, trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(stage, letter(A, B))
    assert len(remote.received) == 100
    assert remote.most_open <= 2


async def test_more_recipients_than_a_transaction_has() -> None:
    remote = Remote()
    everybody = [f"u{number}@example.org" for number in range(5)]
    assert await outcomes(remote, *everybody, recipients_per_transaction=2) == dict.fromkeys(everybody, Delivered)
    assert sum(command.startswith("MAIL") for command in remote.commands) == 3


async def test_a_store_that_speaks_no_lmtp_is_not_spoken_to_by_smtp() -> None:
    remote = Remote({"LHLO": "500 5.5.1 What?"})
    assert await outcomes(remote, B) == {B: Defer}
    assert {command.split()[0] for command in remote.commands} == {"LHLO"}


# -- the store breaks off


@pytest.mark.parametrize("step", ["CONNECT", "LHLO", "MAIL", "RCPT", f"RCPT {C}", "DATA", "CONTENT", "."])
@pytest.mark.parametrize("extensions", [(), USUAL], ids=["one by one", "pipelined"])
async def test_dropped_before_any_answer_nobody_is_lost_or_served_twice(step: str, extensions: tuple[str, ...]) -> None:
    remote = Remote({step: DROP}, extensions=extensions)
    async with lmtp(remote) as stage:
        assert isinstance(await stage(letter(A, B, C)), Defer)
        remote.script = {}
        await trio.sleep(1.1)  # the address is left alone for so long
        assert isinstance(await stage(letter(A, B, C)), Delivered)
    assert sorted(got.recipients for got in remote.received) == [(A,), (B,), (C,)]


@pytest.mark.parametrize("extensions", [(), USUAL], ids=["one by one", "pipelined"])
@pytest.mark.parametrize("fault", [DROP, "421 4.3.2 Going down", b"what?\r\n"], ids=["drops", "421", "nonsense"])
async def test_who_was_answered_before_the_end_is_not_tried_again(fault: object, extensions: tuple[str, ...]) -> None:
    script = {"RCPT d@example.org": "550 5.1.1 Who?", f". {A}": "550 5.2.0 No", f". {C}": fault}
    remote = Remote(script, extensions=extensions)  # type: ignore[arg-type]
    found = await outcomes(remote, A, B, C, "d@example.org", "e@example.org")
    assert found == {A: Reject, B: Delivered, C: Defer, "d@example.org": Reject, "e@example.org": Defer}
    assert [got.recipients for got in remote.received].count((B,)) == 1


async def test_answers_count_that_come_in_one_piece_with_nonsense() -> None:
    remote = Remote({f". {A}": b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\nwhat?\r\n"})
    assert await outcomes(remote, A, B, C) == {A: Delivered, B: Delivered, C: Defer}


async def test_dropped_between_messages_costs_nothing() -> None:
    remote = Remote({"MAIL": ("250 Ok", DROP, "250 Ok")})
    async with lmtp(remote) as stage:
        for _ in range(3):
            assert isinstance(await stage(letter(A, B)), Delivered)
    assert len(remote.received) == 6
    assert remote.connections == 2


async def test_a_store_that_is_away_is_told_from_one_that_refuses() -> None:
    remote = Remote()
    async with serving(remote):
        port = remote.port
    async with Lmtp(Hostname("mx.example.org"), host=f"127.0.0.1:{port}", retry=(Duration("1m"),)) as stage:
        verdict = await stage(letter(A, B))
    assert isinstance(verdict, Defer)
    assert verdict.unreached
    assert verdict.code == "4.4.1"
    assert 50 < (verdict.retry_after or 0) < 70


async def test_a_name_without_an_address_defers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    async with Lmtp(Hostname("mx.example.org"), host="store.example.org") as stage:
        verdict = await stage(letter())
    assert isinstance(verdict, Defer)
    assert verdict.code == "4.4.3"
    assert "store.example.org" in verdict.log


# -- settings


async def test_a_unix_socket(tmp_path: Path) -> None:
    remote = Remote(lmtp=True)
    path = str(tmp_path / "lmtp")
    async with serving(remote, path), Lmtp(Hostname("mx.example.org"), socket=path) as stage:
        assert await stage(letter()) == Delivered("250 2.0.0 Ok: queued", path, tell="nothing")


async def test_under_tls() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    remote = Remote(extensions=(*USUAL, "STARTTLS"), tls=context)
    assert await outcomes(remote, A, B, tls="require") == {A: Delivered, B: Delivered}
    assert [got.encrypted for got in remote.received] == [True, True]
    assert remote.commands.count("LHLO mx.example.org") == 2  # RFC 3207 4.2
    assert await outcomes(Remote(), A, tls="require") == {A: Defer}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "one of them"),
        ({"host": "a", "socket": "/b"}, "one of them"),
        ({"host": "a:b"}, "no host and port"),
        ({"socket": "run/lmtp"}, "whole path"),
        ({"socket": "/run/lmtp", "tls": "require"}, "no TLS"),
        ({"host": "a", "connections": 0}, "at least 1"),
        ({"host": "a", "retry": ()}, "at least one delay"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    assert [said in text for text in Lmtp.check(**settings)] == [True]
    with pytest.raises(ValueError, match=said):
        Lmtp(Hostname("mx.example.org"), **settings)  # type: ignore[arg-type]


# -- a store that wants a login


WILLY = "AHdpbGx5AHNlY3JldA=="  # of RFC 4616, in base64
OFFERS = (*USUAL, "STARTTLS", "AUTH PLAIN")


@dataclass
class Store:
    """What is known of a store: who vouches for it, and who we are to it. ``server`` is its side of TLS."""

    server: ssl.SSLContext
    trust: Path
    login_file: Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    (tmp_path / "login").write_text("willy\nsecret\n")
    return Store(context, tmp_path / "authority.pem", tmp_path / "login")


async def test_the_password_goes_to_a_verified_store_and_after_tls(store: Store) -> None:
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, OFFERS, store.server)
    async with lmtp(remote, login_file=store.login_file, trust=store.trust) as stage:
        assert isinstance(await stage(letter(A, B)), Delivered)
    assert [line.split()[0] for line in remote.commands[:5]] == ["LHLO", "STARTTLS", "LHLO", "AUTH", "MAIL"]
    assert f"AUTH PLAIN {WILLY}" in remote.commands


@pytest.mark.parametrize("offers", [OFFERS, ("AUTH PLAIN",)], ids=["nobody vouches for it", "no TLS"])
async def test_no_other_store_hears_the_password(store: Store, tmp_path: Path, offers: tuple[str, ...]) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    trust = tmp_path / "other.pem" if "STARTTLS" in offers else store.trust
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, offers, store.server)
    async with lmtp(remote, login_file=store.login_file, trust=trust) as stage:
        assert isinstance(await stage(letter(A)), Defer)
    assert not [line for line in remote.commands if line.startswith(("AUTH", "MAIL"))]


async def test_a_changed_password_is_used_without_a_reload(store: Store) -> None:
    remote = Remote({"AUTH": ["535 5.7.8 No", "235 2.7.0 Welcome"]}, OFFERS, store.server)
    async with lmtp(remote, login_file=store.login_file, trust=store.trust) as stage:
        refused = await stage(letter(A))
        assert isinstance(refused, Defer)
        assert (refused.code, "secret" in str(refused), WILLY in str(refused)) == ("4.7.8", False, False)
        store.login_file.write_text("willy\nanother secret\n")
        await trio.sleep(1.1)  # the address is left alone for so long
        assert isinstance(await stage(letter(A)), Delivered)
        store.login_file.unlink()
        gone = await stage(letter(A))
    assert isinstance(gone, Defer)
    assert gone.log.startswith("login_file: cannot read")
    assert len({line for line in remote.commands if line.startswith("AUTH")}) == 2


async def test_a_login_on_a_unix_socket_needs_no_tls(store: Store, tmp_path: Path) -> None:
    remote = Remote({"AUTH": "235 2.7.0 Welcome"}, ("AUTH PLAIN",), lmtp=True)
    path = str(tmp_path / "lmtp")
    async with serving(remote, path), Lmtp(Hostname("a.test"), socket=path, login_file=store.login_file) as stage:
        assert isinstance(await stage(letter()), Delivered)
    assert f"AUTH PLAIN {WILLY}" in remote.commands


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "store.test", "tls": "never"}, "for this machine alone"),
        ({"host": "store.test", "tls": "require"}, 'tls = "verify" in place of'),
        ({"host": "store.test", "certificate": Path("a.pem")}, "go together"),
        ({"host": "store.test", "login_file": Path("/nowhere")}, "login_file: cannot read /nowhere"),
        ({"host": "store.test", "trust": Path("/nowhere")}, "trust: "),
    ],
)
def test_settings_of_a_login_that_make_no_sense(store: Store, settings: dict[str, object], said: str) -> None:
    login = {} if "certificate" in settings else {"login_file": store.login_file}
    assert [said in text for text in Lmtp.check(**{**login, **settings})] == [True]
