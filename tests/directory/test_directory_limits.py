"""Who says how much an account may hold: itself, a group, its domain, in this order, and what is kept of it."""

from pathlib import Path

import lmdb
import pytest

from engine.directory import (
    UNSAID,
    Account,
    Allowed,
    DomainLimits,
    Embedded,
    Limit,
    NotFound,
    Said,
    Unavailable,
    allowed,
)
from engine.directory.elsewhere import limit

BOB, ANN = "bob@example.org", "ann@added.test"
STAFF, CHIEFS = "staff@example.org", "chiefs@example.org"
BY_STAFF, BY_CHIEFS, BY_DOMAIN = f"group {STAFF}", f"group {CHIEFS}", "domain example.org"


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", ["example.org"]) as opened:
        opened.add_domain("added.test")
        for address in (BOB, ANN):
            opened.add_account(address)
        opened.add_group(STAFF, ["Bob@Example.org", ANN])
        opened.add_group(CHIEFS, [BOB])
        yield opened


def of(directory: Embedded, address: str) -> Allowed:
    account = directory.account(address)
    assert account is not None
    return allowed(directory.limits(account))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, Allowed()),
        ({"example.org": Limit(9, 90)}, Allowed(9, 90, BY_DOMAIN, BY_DOMAIN)),
        ({"example.org": Limit(9, 90), STAFF: Limit(5)}, Allowed(5, 90, BY_STAFF, BY_DOMAIN)),
        ({STAFF: Limit(5, 50), CHIEFS: Limit(7, 20)}, Allowed(7, 50, BY_CHIEFS, BY_STAFF)),
        ({STAFF: Limit(5), CHIEFS: Limit(0)}, Allowed(0, 0, BY_CHIEFS, "")),
        ({STAFF: Limit(5, 5), BOB: Limit(0, 3), "example.org": Limit(9)}, Allowed(0, 3, "account", "account")),
        ({BOB: Limit(None, 3), "EXAMPLE.org": Limit(9, 9)}, Allowed(9, 3, BY_DOMAIN, "account")),
        ({"added.test": Limit(9, 90)}, Allowed()),
    ],
)
def test_the_nearest_counts(directory: Embedded, said: dict[str, Limit], found: Allowed) -> None:
    for name, one in said.items():
        directory.limit(name, one)
    assert of(directory, BOB) == found
    for name in said:
        directory.limit(name, UNSAID)
    assert of(directory, BOB) == Allowed()
    assert (directory.domain_limits("example.org"), directory.group_limit(STAFF)) == (DomainLimits(), UNSAID)


def test_a_change_of_members_counts_at_once(directory: Embedded) -> None:
    directory.limit(STAFF, Limit(5))
    assert of(directory, ANN).octets == 5
    directory.change_group(STAFF, removed=[ANN])
    assert of(directory, ANN).octets == 0
    directory.remove_group(STAFF)
    directory.add_group(STAFF, [ANN])
    assert of(directory, ANN).octets == 0, "the new group of this name is another one"


def test_totals(directory: Embedded) -> None:
    directory.limit_total("Added.test", Limit(100, None))
    directory.limit("added.test", Limit(messages=5))
    assert directory.totals() == {"added.test": Limit(100, None)}
    account = directory.account(ANN)
    assert account is not None
    assert directory.numbers("added.test") == [account.id]
    assert of(directory, ANN) == Allowed(0, 5, "", "domain added.test")
    directory.limit_total("added.test", UNSAID)
    assert directory.totals() == {}


@pytest.mark.parametrize("name", ["nobody@example.org", "elsewhere.test", "alias@example.org"])
def test_of_whom_there_is_nothing_to_say(directory: Embedded, name: str) -> None:
    directory.add_alias("alias@example.org", [BOB])
    with pytest.raises(NotFound):
        directory.limit(name, Limit(1))


def test_a_domain_that_went_takes_its_limits_along_unless_it_is_only_closed(directory: Embedded) -> None:
    directory.limit("added.test", Limit(5))
    directory.remove_domain("added.test", force=True)
    directory.add_domain("added.test")
    assert of(directory, ANN).octets == 5
    directory.remove_account(ANN)
    directory.remove_domain("added.test")
    directory.add_domain("added.test")
    directory.add_account(ANN)
    assert of(directory, ANN).octets == 0


def test_a_directory_that_knew_no_limits_yet(directory: Embedded, tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "old"), max_dbs=6) as copy, directory._environment.begin() as txn:
        for name in (b"domains", b"accounts", b"aliases", b"admins", b"counters"):
            with copy.begin(write=True, db=copy.open_db(name)) as new:
                for key, value in txn.cursor(directory._environment.open_db(name, txn)):
                    new.put(key, value)
    with Embedded.open(tmp_path / "old", ["example.org"]) as old:
        assert of(old, BOB) == Allowed()
        old.limit(BOB, Limit(5))
        assert of(old, BOB).octets == 5


@pytest.mark.parametrize(
    ("size", "messages", "read"),
    [
        (None, None, UNSAID), ("5 GB", None, Limit(5 * 10**9)), ("5G", "10", Limit(5 * 2**30, 10)), (7, 8, Limit(7, 8)),
    ],
)  # fmt: skip
def test_what_servers_keep(size: object, messages: object, read: Limit) -> None:
    assert limit(BOB, size, messages) == read


@pytest.mark.parametrize(("size", "messages"), [("much", None), (-1, None), (None, "few"), (None, [1])])
def test_what_cannot_be_read_is_no_limit(size: object, messages: object) -> None:
    with pytest.raises(Unavailable, match="quota of bob"):
        limit(BOB, size, messages)


def test_an_account_says_it_itself() -> None:
    assert allowed([[Said("account", Account(1, BOB, 0.0, limit=Limit(1, 2)).limit)]]) == Allowed(
        1, 2, "account", "account"
    )
