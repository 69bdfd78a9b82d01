"""The stage `habits`: whose mail it parks, by which limits, and what it leaves alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine import Message, Quarantine, Reject, Session
from engine.abuse import Tables
from engine.directory import Embedded
from engine.message import RELEASED
from engine.storage.environment import StorageError
from stages.habits import REASON, Allowance, Habits
from tests.support.messages import message
from tests.support.mmdb import mmdb

ANN, NEWS = "ann@example.org", "news@example.org"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org", "second.test"]) as opened:
        for account in (ANN, NEWS, "eve@second.test"):
            opened.add_account(account)
        opened.add_group("staff@example.org", [ANN])
        yield opened


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse") as tables:
        yield tables


def mail(login: str, *recipients: str, peer: str = "192.0.2.1", score: float | None = None) -> Message:
    found = message(*(recipients or ("x@y.test",)), sender=login)
    found = replace(found, envelope=replace(found.envelope, session=Session(peer=peer, login=login)))
    return found if score is None else found.with_fact("scan.score", score)


def strangers(count: int) -> list[str]:
    return [f"p{number}@d{number}.test" for number in range(count)]


async def test_all_mail_is_parked_from_then_on_until_it_is_lifted(tables: Tables, directory: Embedded) -> None:
    stage = Habits(tables, directory)
    first = mail(ANN)
    assert await stage(first) is first
    assert await stage(mail(ANN, *strangers(300))) == Quarantine(REASON)
    assert await stage(mail(ANN)) == Quarantine(REASON)
    assert isinstance(await stage(mail(NEWS)), Message)
    assert isinstance(await stage(mail(ANN).with_fact(RELEASED, [REASON])), Message)
    assert await stage._habits.lift(ANN)
    assert isinstance(await stage(mail(ANN)), Message)


async def test_who_has_not_logged_in_is_not_watched(tables: Tables, directory: Embedded) -> None:
    stage = Habits(tables, directory)
    assert isinstance(await stage(mail("", *strangers(3000))), Message)
    assert tables["accounts"].local.entries() == []


@pytest.mark.parametrize(
    ("login", "recipients", "parked"),
    [
        (NEWS, 5000, False),
        (ANN, 90, False),
        (ANN, 150, True),
        ("eve@second.test", 5000, False),
    ],
)
async def test_accounts_groups_and_domains_have_limits_of_their_own(
    tables: Tables, directory: Embedded, login: str, recipients: int, *, parked: bool
) -> None:
    allow = (
        Allowance(who="News@EXAMPLE.org".replace("News", "news"), recipients=0, new_recipients=0, domains=0),
        Allowance(who="staff@example.org", recipients=100),
        Allowance(who="second.test", recipients=10_000, new_recipients=10_000, domains=10_000),
    )
    stage = Habits(tables, directory, allow=allow)
    assert isinstance(await stage(mail(login, *strangers(recipients))), Quarantine) == parked


async def test_the_score_of_a_scanner_counts(tables: Tables, directory: Embedded) -> None:
    stage = Habits(tables, directory, spam=2, signals=1)
    said = [await stage(mail(ANN, score=score)) for score in (5.9, 6.0, 7.5, 0.1, 8.0)]
    assert [isinstance(one, Quarantine) for one in said] == [False, False, False, False, True]


async def test_what_is_refused_at_once_counts(
    tables: Tables, directory: Embedded, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = Habits(tables, directory, refused=3)
    session = Session(peer="192.0.2.1", login=ANN)
    for _ in range(12):
        await stage.at_refusal(session, Reject("spam"), True)
        await stage.at_refusal(session, Reject("a recipient"), False)
    assert isinstance(await stage(mail(ANN)), Message), "four times the limit, and no more"
    for _ in range(3):
        await stage.at_refusal(session, Reject("spam"), True)
    assert await stage(mail(ANN)) == Quarantine(REASON)
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (said,) = [one for one in events if one["event"] == "account-suspicious"]
    assert (said["login"], said["peer"], said["reasons"]) == (
        ANN, "192.0.2.1", ["refused: 13 in an hour, usually 0"],
    )  # fmt: skip
    for _ in range(100):  # nobody has logged in
        await stage.at_refusal(Session(peer="192.0.2.1"), Reject("spam"), True)
    assert not await stage._habits.is_suspect("")


async def test_networks_are_about_those_of_providers(tables: Tables, directory: Embedded) -> None:
    stage = Habits(tables, directory, networks=2, signals=1)
    peers = ("192.0.2.1", "192.0.200.7", "198.51.100.1", "192.0.2.1", "2001:db8::1")
    said: list[Any] = [await stage(mail(ANN, peer=peer)) for peer in peers]
    assert [isinstance(one, Quarantine) for one in said] == [False] * 4 + [True]


async def test_a_store_that_fails_stops_no_mail(
    tables: Tables, directory: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(tables["accounts"].local, "change", broken)
    assert isinstance(await Habits(tables, directory)(mail(ANN)), Message)


def test_what_cannot_be_meant() -> None:
    assert list(Habits.check(network_ipv4=40, signals=0, times=0.5)) == [
        "network_ipv4 must be a number of bits from 0 to 32",
        "signals must be at least 1",
        "times must be at least 1",
    ]


async def test_a_rehearsal_counts_nothing_and_parks_what_is_parked(tables: Tables, directory: Embedded) -> None:
    stage = Habits(tables, directory)
    for _ in range(5):
        assert isinstance(await stage.rehearse(mail(ANN, *strangers(300))), Message)
    assert not await stage._habits.is_suspect(ANN)
    assert await stage(mail(ANN, *strangers(300))) == Quarantine(REASON)
    assert await stage.rehearse(mail(ANN)) == Quarantine(REASON)
    released = mail(ANN).with_fact(RELEASED, [REASON])
    assert await stage.rehearse(released) is released


async def test_countries_are_counted_by_a_file(tables: Tables, directory: Embedded, tmp_path: Path) -> None:
    places = {f"10.{number}.0.0/16": {"country": {"iso_code": code}} for number, code in enumerate(("DE", "VN", "SE"))}
    (tmp_path / "countries.mmdb").write_bytes(mmdb(places))
    settings: dict[str, Any] = {"countries": 2, "networks": 0, "signals": 1}
    with Habits(tables, directory, countries_file=tmp_path / "countries.mmdb", **settings) as stage:
        peers = ("10.0.0.1", "10.1.0.1", "10.0.9.9", "192.0.2.1", "2001:db8::1", "10.2.0.1")
        said: list[Any] = [await stage(mail(ANN, peer=peer)) for peer in peers]
        assert [isinstance(one, Quarantine) for one in said] == [False] * 5 + [True]
        assert await stage._habits.is_suspect(ANN)


def test_files_of_countries_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("nothing")
    assert [*Habits.check(countries_file=tmp_path / "none"), *Habits.check(countries_file=tmp_path / "nowhere")] == [
        f"countries_file: {tmp_path}/none: it is no database of MaxMind's format",
        f"countries_file: {tmp_path}/nowhere: No such file or directory",
    ]
    assert list(Habits.check(countries=3)) == ["countries are known by countries_file"]
    (tmp_path / "good").write_bytes(mmdb({"10.0.0.0/8": {"country": "DE"}}))
    assert list(Habits.check(countries_file=tmp_path / "good", countries=3)) == []
