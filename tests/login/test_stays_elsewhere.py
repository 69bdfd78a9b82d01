"""Who is in by a directory that others keep is sent away when that does not know them any more: a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.config import Postgresql as Settings
from engine.config import parse
from engine.login import Guard, Logins, stays
from engine.protocols.sasl import Certificate, Credentials, Question
from tests.support.postgresql import Postgresql, postgresql
from tests.support.programs import marks
from tests.support.server import BASE, PASSWORD, merged, toml

pytest.importorskip("psycopg")
from engine.directory.postgresql import PostgresqlDirectory

pytestmark = marks("postgres", "initdb")

ANN, BOB, PEER = "ann@example.org", "bob@example.org", "192.0.2.7"

MOVED = "UPDATE accounts SET address = 'was-{0}' WHERE address = '{0}'"
"""That the query does not find somebody any more."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    with postgresql(tmp_path_factory.getbasetemp()) as server:
        yield server


@pytest.fixture
def logins(server: Postgresql, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Logins]:
    monkeypatch.setattr(stays, "event", lambda *_, **__: None)
    table = server.settings(cache_for="0s", timeout="2s")
    config = parse(toml(merged(BASE, {"directory": {"postgresql": table}})), tmp_path / "pipeline.toml")
    assert isinstance(config.directory, Settings)
    directory = PostgresqlDirectory(config.directory, ["example.org"], secret=tmp_path / "salt")
    yield Logins(directory, guard)
    directory.close()


async def come(logins: Logins, ended: dict[str, str], name: str, question: Question) -> None:
    visitor = logins.visitor("imap", PEER)
    assert await visitor.answer(question) is not None
    visitor.stay(lambda why: ended.__setitem__(name, why))


async def test_who_is_locked_out_there_is_sent_away_here(server: Postgresql, logins: Logins) -> None:
    ended: dict[str, str] = {}
    await come(logins, ended, "ann", Credentials("PLAIN", ANN, PASSWORD))
    await come(logins, ended, "bob", Credentials("PLAIN", BOB, PASSWORD))
    await come(logins, ended, "bob, by a certificate", Certificate("EXTERNAL", BOB, (BOB,)))
    await logins.stays.look()
    assert ended == {}
    server.obey(f"UPDATE accounts SET password = '' WHERE address = '{BOB}'")
    await logins.stays.look()
    assert ended == {"bob": stays.CHANGED}
    server.obey(MOVED.format(BOB))
    await logins.stays.look()
    assert ended == {"bob": stays.CHANGED, "bob, by a certificate": stays.GONE}
    assert len(logins.stays) == 1


async def test_nobody_is_sent_away_because_the_server_cannot_be_asked(server: Postgresql, logins: Logins) -> None:
    ended: dict[str, str] = {}
    await come(logins, ended, "ann", Credentials("PLAIN", ANN, PASSWORD))
    server.stop()
    try:
        await logins.stays.look()
        assert (ended, len(logins.stays)) == ({}, 1)
    finally:
        server.start()


async def test_it_is_asked_again_as_long_as_somebody_is_in(
    server: Postgresql, logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stays, "AGAIN", 0.01)
    gone = trio.Event()
    visitor = logins.visitor("imap", PEER)
    assert await visitor.answer(Credentials("PLAIN", ANN, PASSWORD)) is not None
    visitor.stay(lambda _: gone.set())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(logins.stays.run)
        server.obey(MOVED.format(ANN))
        await gone.wait()
        nursery.cancel_scope.cancel()
