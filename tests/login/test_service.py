"""What becomes of a login: the same answer after the same time to all who are wrong."""

import dataclasses
import ipaddress
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from engine.directory import Account, Embedded, Unavailable, passwords
from engine.login import Guard, Logins, Visitor, service
from engine.protocols.sasl import Certificate, Challenge, Credentials, KeysWanted, Offer, Proof, Scram
from engine.protocols.scram import Keys
from tests.login.conftest import PASSWORD
from tests.support import scram

ANN, FAR, HOME = "ann@example.org", "203.0.113.9", "192.0.2.7"


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(service, "event", lambda name, **values: seen.append({"event": name, **values}))
    return seen


@pytest.fixture
def logins(directory: Embedded, guard: Guard, events: list[dict[str, Any]]) -> Logins:
    return Logins(directory, guard)


def by_password(password: str, login: str = ANN) -> Credentials:
    return Credentials("PLAIN", login, password)


async def by_scram(visitor: Visitor, password: str, login: str = ANN) -> Account | None:
    """A whole login by SCRAM."""
    exchange, client = Offer(("SCRAM-SHA-256",)).begin("SCRAM-SHA-256"), scram.Client(login, password)
    assert isinstance(exchange, Scram)
    wanted = exchange.step(client.first)
    assert isinstance(wanted, KeysWanted)
    keys = await visitor.answer(wanted)
    assert isinstance(keys, Keys)
    step = exchange.step(client.final(exchange.take(keys).data))
    if isinstance(step, Challenge):
        step = exchange.step(b"")
    assert isinstance(step, Proof)
    account = await visitor.answer(step)
    assert not isinstance(account, Keys)
    return account


async def test_the_right_password_lets_in_at_once(logins: Logins, events, autojump_clock) -> None:
    start = trio.current_time()
    account = await logins.visitor("smtp", FAR).answer(by_password(PASSWORD))
    assert isinstance(account, Account)
    assert account.address == ANN
    assert await by_scram(logins.visitor("pop3", FAR), PASSWORD) == account
    assert trio.current_time() == start
    assert events == [
        {"event": "login", "peer": FAR, "ok": True, "address": ANN, "app_password": None, "why": None} | how
        for how in ({"service": "smtp", "mechanism": "PLAIN"}, {"service": "pop3", "mechanism": "SCRAM-SHA-256"})
    ]


@pytest.mark.parametrize("login", [ANN, "nobody@example.org", "silent@example.org", "garbage"])
@pytest.mark.parametrize("way", ["PLAIN", "SCRAM"])
async def test_all_who_are_wrong_wait_twice_as_long_each_time(
    logins: Logins, directory: Embedded, checked, autojump_clock, *, login: str, way: str
) -> None:
    directory.add_account("silent@example.org")
    logins.guard.settings = service_settings(logins, network_guesses=100, account_guesses=100)
    waited = []
    for number in range(6):
        visitor, start = logins.visitor("smtp", FAR), trio.current_time()
        if way == "SCRAM":
            assert await by_scram(visitor, f"wrong {number}", login) is None
        else:
            assert await visitor.answer(by_password(f"wrong {number}", login)) is None
        waited.append(trio.current_time() - start)
    assert waited == pytest.approx([1, 2, 4, 8, 8, 8])
    assert len(checked) == (6 if way == "PLAIN" else 0)


def service_settings(logins: Logins, **changes: int) -> Any:
    return dataclasses.replace(logins.guard.settings, **changes)


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM"])
async def test_who_is_kept_out_cannot_get_in_even_with_the_right_password(
    logins: Logins, directory: Embedded, checked, *, events, autojump_clock, way: str
) -> None:
    salt = directory.keys(ANN).salt
    for number in range(3):
        await logins.visitor("smtp", FAR).answer(by_password(f"wrong {number}"))
    (banned,) = [event for event in events if event["event"] == "banned"]
    assert (banned["network"], banned["guesses"]) == ("203.0.113.9/32", 3)
    visitor, start = logins.visitor("pop3", FAR), trio.current_time()
    if way == "SCRAM":
        assert await by_scram(visitor, PASSWORD) is None
        keys = await visitor.answer(KeysWanted("SCRAM-SHA-256", ANN))
        assert isinstance(keys, Keys)
        assert keys.salt == salt
    else:
        assert await visitor.answer(by_password(PASSWORD)) is None
    assert trio.current_time() - start == pytest.approx(service.LONGEST)
    assert len(checked) == 3, "nothing is spent on the banned"
    assert events[-1]["why"] == "the network is banned"
    assert await logins.visitor("smtp", HOME).answer(by_password(PASSWORD))


async def test_its_own_people_still_get_in_while_all_the_world_guesses(logins: Logins, autojump_clock) -> None:
    assert await logins.visitor("smtp", HOME).answer(by_password(PASSWORD))
    for number in range(5):
        await logins.visitor("smtp", f"198.51.100.{number}").answer(by_password("wrong"))
    assert await logins.visitor("smtp", FAR).answer(by_password(PASSWORD)) is None
    assert await by_scram(logins.visitor("smtp", FAR), PASSWORD) is None
    assert await logins.visitor("smtp", HOME).answer(by_password(PASSWORD))
    assert await by_scram(logins.visitor("pop3", HOME), PASSWORD)


async def test_an_app_password_lets_in_where_it_is_good_for_and_is_told(
    logins: Logins, directory: Embedded, *, events, checked, clock, autojump_clock
) -> None:
    password = directory.add_app_password(ANN, "phone", ["smtp"])
    account = directory.account(ANN)
    assert account
    (made,) = directory.app_passwords(ANN)
    assert logins.guard.last_use(account.id, made.created) is None
    assert await logins.visitor("smtp", HOME).answer(by_password(password)) == account
    assert checked == []
    assert await by_scram(logins.visitor("smtp", HOME), password) == account
    assert [event["app_password"] for event in events] == ["phone", "phone"]
    assert logins.guard.last_use(account.id, made.created) == clock.now
    assert await logins.visitor("pop3", HOME).answer(by_password(password)) is None
    assert await by_scram(logins.visitor("pop3", HOME), password) is None


async def test_an_app_password_that_was_right_waits_for_nobody_until_it_is_revoked(
    logins: Logins, directory: Embedded, monkeypatch: pytest.MonkeyPatch, autojump_clock
) -> None:
    password = directory.add_app_password(ANN, "phone", ["smtp"])
    visitor = logins.visitor("smtp", HOME)
    assert await visitor.answer(by_password(password)) is not None
    others = (logins.visitor("smtp", FAR), logins.visitor("pop3", HOME))

    async def guess(*, task_status: trio.TaskStatus[None]) -> None:
        async with logins.turn(logins.guard.network(HOME)), logins.turn(logins.guard.network(FAR)):
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as guessers:
        await guessers.start(guess)
        with trio.fail_after(5):
            assert await visitor.answer(by_password(password)) is not None
        for other in others:  # something is to be noted; it is not good there
            with trio.move_on_after(5) as waiting:
                await other.answer(by_password(password))
            assert waiting.cancelled_caught
        guessers.cancel_scope.cancel()
    assert await others[0].answer(by_password(password)) is not None
    assert await others[1].answer(by_password(password)) is None
    directory.revoke_app_password(ANN, "phone")
    assert await visitor.answer(by_password(password)) is None


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM"])
async def test_an_app_password_opens_an_account_at_which_all_the_world_guesses(
    logins: Logins, directory: Embedded, checked, autojump_clock, way: str
) -> None:
    password = directory.add_app_password(ANN, "phone")
    for number in range(5):
        await logins.visitor("smtp", f"198.51.100.{number}").answer(by_password("wrong"))
    visitor = logins.visitor("smtp", FAR)
    for right, wanted in ((PASSWORD, False), (password, True)):
        found = await (by_scram(visitor, right) if way == "SCRAM" else visitor.answer(by_password(right)))
        assert bool(found) is wanted
    assert len(checked) == 5


async def test_with_a_second_factor_only_app_passwords_open_mail(
    logins: Logins, directory: Embedded, checked, autojump_clock
) -> None:
    directory.set_totp(ANN, bytes(20))
    password = directory.add_app_password(ANN, "phone")
    visitor = logins.visitor("smtp", HOME)
    assert await visitor.answer(by_password(PASSWORD)) is None
    assert len(checked) == 1, "it takes as long as for any other"
    assert await by_scram(visitor, PASSWORD) is None
    assert await visitor.answer(by_password(password))
    assert await by_scram(visitor, password)


async def test_a_program_with_an_old_password_is_one_guesser(logins: Logins, autojump_clock) -> None:
    for _ in range(10):
        assert await logins.visitor("pop3", FAR).answer(by_password("the old one")) is None
    assert logins.guard.bans() == []
    assert await logins.visitor("pop3", FAR).answer(by_password(PASSWORD))


async def test_many_connections_of_one_network_guess_no_more_than_one(logins: Logins, checked, autojump_clock) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(logins.visitor("smtp", FAR).answer, by_password(f"wrong {number}"))
    assert len(checked) == 3
    assert logins._turns == {}


async def test_a_storm_from_one_network_leaves_room_for_another(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passwords are checked at once, whoever has many connections."""
    checking, done = [], threading.Event()

    def matches(_: str, password: str) -> bool:
        checking.append(password)
        done.wait()
        return True

    monkeypatch.setattr(passwords, "matches", matches)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(logins.visitor("smtp", FAR).answer, by_password("far"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(logins.visitor("smtp", HOME).answer, by_password("home"))
        while len(checking) < 2:
            await trio.sleep(0.001)
        done.set()
    assert sorted(checking[:2]) == ["far", "home"]


async def test_who_is_allowed_waits_for_nothing(logins: Logins, autojump_clock) -> None:
    logins.guard.settings = service_settings(logins, allow_networks=(ipaddress.ip_network("203.0.113.0/24"),))
    start = trio.current_time()
    for number in range(5):
        assert await logins.visitor("smtp", FAR).answer(by_password(f"wrong {number}")) is None
    assert trio.current_time() == start
    assert await logins.visitor("smtp", FAR).answer(by_password(PASSWORD))


async def test_a_full_disk_refuses_no_right_password(logins: Logins, monkeypatch, events, autojump_clock) -> None:
    def full(*_: object) -> None:
        raise Unavailable("no room")

    monkeypatch.setattr(logins.guard, "_change", full)
    start = trio.current_time()
    assert await logins.visitor("smtp", FAR).answer(by_password(PASSWORD))
    assert await logins.visitor("smtp", FAR).answer(by_password("wrong")) is None
    assert trio.current_time() - start == pytest.approx(service.LONGEST)
    assert [event["event"] for event in events] == ["login", "guess-not-counted", "login"]


def test_remembered_guesses_are_bounded(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_REPEATED", 10)
    for number in range(30):
        assert not logins.is_repeated(FAR, by_password(str(number)))
    assert len(logins._wrong) == 10
    assert logins.is_repeated(FAR, by_password("29"))
    assert not logins.is_repeated(HOME, by_password("29"))


async def test_fail2ban_can_read_who_guesses(directory: Embedded, guard: Guard, capfd, autojump_clock) -> None:
    """By the lines of docs/operating.md; what a guesser says cannot pass for an address."""
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    (pattern,) = re.findall(r"^failregex = (.*)$", page, re.MULTILINE)
    failed = re.compile(pattern.replace("<HOST>", r"(?P<host>[0-9a-f.:]+)"))
    logins = Logins(directory, guard)
    forged = 'x","event":"login","process":"x","peer":"192.0.2.99","ok":false'
    await logins.visitor("smtp", FAR).answer(by_password("wrong", forged))
    await logins.visitor("smtp", HOME).answer(by_password(PASSWORD))
    found = [failed.search(line) for line in capfd.readouterr().err.splitlines()]
    assert [one and one["host"] for one in found] == [FAR, None]


BOB = "bob@example.org"


@pytest.mark.parametrize(
    ("login", "addresses", "wanted"),
    [
        ("", (ANN,), ANN),
        (ANN, (ANN,), ANN),
        ("Ann@EXAMPLE.org", (ANN,), ANN),
        ("", ("Ann@Example.ORG",), ANN),
        ("", (ANN, "ANN@example.org"), ANN),
        ("", ("ann@elsewhere.example", ANN), ANN),
        (BOB, (ANN, BOB), BOB),
        ("kim@bücher.example", ("kim@xn--bcher-kva.example",), "kim@xn--bcher-kva.example"),
        ("", (ANN, BOB), None),
        (BOB, (ANN,), None),
        ("nobody@example.org", (ANN, "nobody@example.org"), None),
        ("ann+tag@example.org", (ANN,), None),
        ("info@example.org", ("info@example.org",), None),  # an alias
        ("garbage", ("rubbish", ANN), None),
        ("", (), None),
    ],
)
async def test_a_certificate_lets_in_the_account_that_it_is_for(
    logins: Logins, directory: Embedded, events, autojump_clock, *, login: str, addresses: tuple[str, ...],
    wanted: str | None,
) -> None:  # fmt: skip
    directory.add_domain("bücher.example")
    directory.add_account(BOB)
    directory.add_account("kim@bücher.example")
    directory.add_alias("info@example.org", [ANN])
    directory.set_totp(ANN, bytes(20))  # a certificate is no password
    start = trio.current_time()
    account = await logins.visitor("smtp", FAR).answer(Certificate("EXTERNAL", login, addresses))
    assert account == (directory.account(wanted) if wanted else None)
    assert trio.current_time() - start == (0.0 if wanted else 1.0)
    (event,) = events
    assert (event["mechanism"], event["address"], event["ok"]) == ("EXTERNAL", login or wanted or "", bool(wanted))
    assert logins.guard.guesses(FAR) == 0


async def test_who_is_suspended_comes_in_by_nothing(
    logins: Logins, directory: Embedded, events, autojump_clock
) -> None:
    visitor, secret = logins.visitor("smtp", FAR), directory.add_app_password(ANN, "phone")
    account = directory.account(ANN)
    assert account is not None
    assert await visitor.answer(by_password(PASSWORD)) is not None
    suspended = directory.suspend(ANN, True)
    for password in (PASSWORD, secret):
        assert await visitor.answer(by_password(password)) is None
        assert await by_scram(logins.visitor("imap", HOME), password) is None
    assert await visitor.answer(Certificate("EXTERNAL", ANN, (ANN,))) is None
    assert not await visitor.proven(suspended, "PASSKEY")
    assert events[-1]["why"] == service.SUSPENDED
    directory.suspend(ANN, False)
    assert await logins.visitor("imap", HOME).answer(by_password(secret)) is not None


async def test_a_banned_network_is_kept_out_with_a_certificate_too(logins: Logins, events, autojump_clock) -> None:
    for number in range(3):
        await logins.visitor("smtp", FAR).answer(by_password(f"guess {number}"))
    assert await logins.visitor("smtp", FAR).answer(Certificate("EXTERNAL", ANN, (ANN,))) is None
    assert events[-1]["why"] == service.BANNED
    assert await logins.visitor("smtp", HOME).answer(Certificate("EXTERNAL", ANN, (ANN,))) is not None


def test_an_operator_says_what_is_offered(logins: Logins) -> None:
    assert logins.mechanisms == ("EXTERNAL", "SCRAM-SHA-256", "PLAIN", "LOGIN")
    wanted = ("LOGIN", "SCRAM-SHA-256", "XOAUTH2", "SCRAM-SHA-256-PLUS")
    logins.guard.settings = dataclasses.replace(logins.guard.settings, mechanisms=wanted)
    assert logins.mechanisms == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "LOGIN"), "in our order, where it can be had"
