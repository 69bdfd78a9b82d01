"""The directory of a real PostgreSQL: who is found, who may log in, and what happens when it cannot be asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import Postgresql as Settings
from engine.config import parse
from engine.directory import Account, Alias, Limit, Login, Unavailable, may_send_as, pool
from engine.protocols import scram as server_scram
from tests.support.postgresql import Postgresql, postgresql
from tests.support.programs import marks
from tests.support.server import BASE, PASSWORD, merged, toml
from tests.support.threads import all_at_once

pytest.importorskip("psycopg")
from engine.directory.postgresql import PostgresqlDirectory

pytestmark = marks("postgres", "initdb")

ANN, BOB, SILENT = "ann@example.org", "bob@example.org", "silent@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgresql]:
    with postgresql(tmp_path_factory.getbasetemp()) as server:
        yield server


def opened(server: Postgresql, secret: Path, **changes: Any) -> PostgresqlDirectory:
    table = server.settings(**changes)
    config = parse(toml(merged(BASE, {"directory": {"postgresql": table}})), server.folder / "pipeline.toml")
    assert isinstance(config.directory, Settings)
    return PostgresqlDirectory(config.directory, ["example.org"], secret=secret)


@pytest.fixture
def directory(server: Postgresql, tmp_path: Path) -> Iterator[PostgresqlDirectory]:
    directory = opened(server, tmp_path / "salt")
    yield directory
    directory.close()


def test_quotas(server: Postgresql, tmp_path: Path) -> None:
    query = "SELECT id, address, {} AS quota_size, id * 10 AS quota_messages FROM accounts WHERE address = %(address)s"
    for size, octets in (("7", 7), ("'5 GB'", 5 * 10**9), ("NULL", None)):
        directory = opened(server, tmp_path / "salt", account_query=query.format(size))
        ann = directory.account(ANN)
        assert ann is not None
        assert ann.limit == Limit(octets, 10)
        directory.close()


def test_people(directory: PostgresqlDirectory) -> None:
    ann = directory.find("Ann+tag@Example.org")
    assert ann == Account(1, ANN, 0.0, send_as=("boss@example.org", "@partner.test"))
    assert directory.account(ANN) == ann
    assert directory.find("team@example.org") == Alias("team@example.org", (ANN, BOB))
    assert directory.find("far@example.org") == Alias("far@example.org", ("X@elsewhere.test",))
    assert directory.find("any@second.test") == Alias("@second.test", (ANN,))
    for nobody in ("nobody@example.org", "'; DROP TABLE accounts; --@example.org", "%@example.org", "x@elsewhere.test"):
        assert directory.find(nobody) is None
    assert [directory.is_local(name) for name in ("Second.test", "elsewhere.test")] == [True, False]
    silent = directory.account(SILENT)
    assert silent is not None
    assert not silent.has_password
    assert [may_send_as(directory, ANN, name) for name in ("team@example.org", "boss@example.org", BOB)] == [
        True, True, False,
    ]  # fmt: skip


def test_queries_of_an_operator(server: Postgresql, tmp_path: Path) -> None:
    directory = opened(
        server, tmp_path / "salt", domain_query="", alias_query="",
        account_query="SELECT id, address FROM accounts WHERE split_part(address, '@', 1) = replace(%(local)s, '.', '')"
        " AND 'example.org' = %(domain)s AND address NOT LIKE 'silent%%'",
    )  # fmt: skip
    assert directory.find("a.nn@example.org") == Alias("a.nn@example.org", (ANN,))
    assert directory.find(ANN) == Account(1, ANN, 0.0, has_password=False)
    assert directory.find(SILENT) is None
    assert directory.find("team@example.org") is None
    assert not directory.is_local("second.test")
    assert directory.verify("a.nn@example.org", PASSWORD) is None
    directory.close()


@pytest.mark.parametrize(
    ("login", "password", "good"),
    [
        (ANN, PASSWORD, True),
        (BOB, PASSWORD, True),
        (ANN, "wrong", False),
        (SILENT, "", False),
        ("team@example.org", PASSWORD, False),
        ("nobody@example.org", PASSWORD, False),
    ],
)
def test_logins_by_password(directory: PostgresqlDirectory, login: str, password: str, good: bool) -> None:
    assert directory.verify(login, password) == (directory.account(login) if good else None)


def test_logins_by_scram(directory: PostgresqlDirectory) -> None:
    assert directory.holds_keys
    keys = directory.keys(ANN)
    right = server_scram.key(PASSWORD, keys.salt, keys.iterations)
    assert keys.keys == (right,)
    ann = directory.account(ANN)
    assert ann is not None
    assert directory.proven(ANN, right) == Login(ann)
    assert directory.proven(ANN, right, main=False) is None
    assert directory.proven(BOB, right) is None
    banned = directory.keys(ANN, main=False)
    assert (banned.salt, banned.iterations) == (keys.salt, keys.iterations)
    assert banned.keys != keys.keys


def test_nobody_can_tell_by_the_salt_who_is_there(server: Postgresql, tmp_path: Path) -> None:
    """It is the same at each try, in each process and after a restart."""
    salts = []
    for _ in range(2):
        directory = opened(server, tmp_path / "salt")
        salts.append([directory.keys(name).salt for name in ("nobody@example.org", "Nobody@example.org", BOB, "x")])
        directory.close()
    assert salts[0] == salts[1]
    assert [len(salt) for salt in salts[0]] == [16] * 4
    assert salts[0][0] == salts[0][1] != salts[0][2]
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


MISCONFIGURED = [
    ({"database": "host=127.0.0.1 port=1 user=postroad"}, "PostgreSQL"),
    ({"account_query": "SELECT id, address FROM people WHERE address = %(address)s"}, '"people" does not exist'),
    ({"account_query": "SELECT id, address FROM accounts WHERE %(address)s <> ''"}, "finds 3 accounts"),
    ({"account_query": "SELECT id FROM accounts WHERE address = %(address)s"}, "gives no id and address"),
    ({"account_query": "SELECT '7' AS id, address FROM accounts WHERE address = %(address)s"}, "gives the id '7'"),
    ({"account_query": "DELETE FROM accounts WHERE address = %(address)s RETURNING id, address"}, "read-only"),
    (
        {
            "account_query": "SELECT pg_sleep(60), id, address FROM accounts WHERE address = %(address)s",
            "timeout": "1s",
        },
        "no answer within 1 s|timeout expired",
    ),
]


@pytest.mark.parametrize(("changes", "why"), MISCONFIGURED)
def test_what_is_misconfigured_turns_nobody_away(server: Postgresql, tmp_path: Path, changes: Any, why: str) -> None:
    directory = opened(server, tmp_path / "salt", **changes)
    with pytest.raises(Unavailable, match=why):
        directory.find(ANN)
    with pytest.raises(Unavailable):
        directory.verify(ANN, PASSWORD)
    directory.close()


def test_keys_that_are_damaged_are_said_to_be(server: Postgresql, tmp_path: Path) -> None:
    query = "SELECT id, address, 'md5' AS scram FROM accounts WHERE address = %(address)s"
    directory = opened(server, tmp_path / "salt", account_query=query)
    with pytest.raises(Unavailable, match=r"the keys of ann@.* cannot be read"):
        directory.keys(ANN)
    directory.close()


def test_a_server_that_comes_and_goes(server: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PAUSE", 0.0)
    directory = opened(server, tmp_path / "salt", cache=0)
    assert directory.find(BOB)
    server.stop()
    try:
        for ask in (lambda: directory.find(BOB), lambda: directory.verify(BOB, PASSWORD), lambda: directory.keys(BOB)):
            with pytest.raises(Unavailable):
                ask()
    finally:
        server.start()
    assert directory.find(BOB)
    directory.close()


def test_many_threads_at_once(directory: PostgresqlDirectory) -> None:
    found = all_at_once(lambda: directory.look_up("bob", "example.org"))
    assert found == [directory.account(BOB)] * 160
