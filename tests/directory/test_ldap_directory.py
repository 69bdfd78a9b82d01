"""The directory of a real LDAP server: who is found, who may log in, and what happens when it cannot be asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import Ldap, parse
from engine.directory import Account, Alias, Group, Limit, Said, Unavailable, may_send_as, pool
from engine.directory.ldap import LdapDirectory, number
from engine.directory.ldap_connection import LdapConnection
from tests.support.programs import Certificates, marks
from tests.support.server import BASE, PASSWORD, merged, toml
from tests.support.slapd import Slapd, slapd
from tests.support.threads import all_at_once

pytestmark = marks("slapd", "slapadd")

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd") / "server") as server:
        yield server


def opened(server: Slapd, scheme: str = "ldap", **changes: Any) -> LdapDirectory:
    table = server.settings(scheme, **changes)
    config = parse(toml(merged(BASE, {"directory": {"ldap": table}})), server.folder / "pipeline.toml")
    assert isinstance(config.directory, Ldap)
    return LdapDirectory(config.directory, ["example.org", "second.test"])


@pytest.fixture(scope="module", params=["ldap", "ldaps"])
def directory(server: Slapd, request: pytest.FixtureRequest) -> Iterator[LdapDirectory]:
    directory = opened(server, request.param)
    yield directory
    directory.close()


def test_accounts(directory: LdapDirectory) -> None:
    ann = directory.find("Ann+tag@Example.org")
    assert isinstance(ann, Account)
    assert (ann.address, ann.send_as) == (ANN, ("@partner.test", "boss@example.org"))
    assert directory.account(ANN) == ann
    assert directory.find("a.nn@example.org") == Alias("a.nn@example.org", (ANN,))
    assert directory.account("a.nn@example.org") is None
    bob, robert = directory.account(BOB), directory.account("robert@example.org")
    assert bob is not None
    assert robert == replace(bob, address="robert@example.org"), "one mailbox for both"
    assert 0 < bob.id < 2**63
    assert bob.id != ann.id
    assert number(b"\x01" * 16) != number(b"\x02" * 16)


def test_groups(directory: LdapDirectory) -> None:
    """Its members are names of entries, one of which is gone, or addresses."""
    team = directory.find("Team@example.org")
    assert team == Group("team@example.org", ("Ann@example.org", BOB, "chiefs@example.org"))
    assert directory.find("whoever@second.test") == Group("@second.test", ("Ann@example.org",))
    assert directory.account("team@example.org") is None


def test_aliases_that_hold_addresses(server: Slapd) -> None:
    directory = opened(
        server, group_filter="(&(objectClass=nisMailAlias)(mail={local}@{domain}))",
        member_attribute="rfc822MailMember", members="address",
    )  # fmt: skip
    assert directory.find("sales@example.org") == Group("sales@example.org", (BOB, "Far@elsewhere.test"))
    directory.close()


def test_quotas(server: Slapd) -> None:
    directory = opened(server, quota_attribute="roomNumber", quota_messages_attribute="departmentNumber")
    ann, bob = directory.account(ANN), directory.account(BOB)
    assert ann is not None
    assert bob is not None
    assert directory.limits(ann) == [[Said("account", Limit(5 * 2**30, 1000))]]
    assert directory.limits(bob) == [[Said("account", Limit())]]
    directory.close()
    directory = opened(server, quota_attribute="description")
    with pytest.raises(Unavailable, match="quota of ann"):
        directory.account(ANN)
    directory.close()


@pytest.mark.parametrize("address", ["nobody@example.org", "*@example.org", "o*@example.org", ")(uid=*@example.org"])
def test_nobody(directory: LdapDirectory, address: str) -> None:
    assert directory.find(address) is None
    assert directory.verify(address, PASSWORD) is None


def test_an_address_may_hold_what_filters_are_made_of(directory: LdapDirectory) -> None:
    assert isinstance(directory.find("o*dd@example.org"), Account)


@pytest.mark.parametrize(
    ("login", "password", "good"),
    [
        (ANN, PASSWORD, True),
        ("robert@example.org", PASSWORD, True),
        (ANN, "wrong", False),
        (ANN, "", False),  # a bind without a password succeeds (RFC 4513 5.1.2)
        ("team@example.org", PASSWORD, False),
        ("ann@elsewhere.test", PASSWORD, False),
        ("ann", PASSWORD, False),
    ],
)
def test_logins(directory: LdapDirectory, login: str, password: str, good: bool) -> None:
    account = directory.verify(login, password)
    assert account == (directory.account(login) if good else None)
    assert not directory.holds_keys
    assert directory.verify_app_password(login, password, "smtp") is None


@pytest.mark.parametrize("login", [ANN, "nobody@example.org", "team@example.org", "x@elsewhere.test", "garbage"])
def test_nobody_can_tell_by_what_is_asked_who_is_there(
    directory: LdapDirectory, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    names: list[str] = []
    bind = LdapConnection.bind
    monkeypatch.setattr(LdapConnection, "bind", lambda self, dn, password: names.append(dn) or bind(self, dn, password))
    assert directory.verify(login, "wrong") is None
    assert len([name for name in names if "postroad" not in name]) == 1


def test_in_whose_name_an_account_may_send(directory: LdapDirectory) -> None:
    names = [ANN, "a.nn@example.org", "team@example.org", "boss@example.org", "x@partner.test", BOB]
    assert [may_send_as(directory, ANN, name) for name in names] == [True, True, True, True, True, False]
    assert may_send_as(directory, BOB, "robert@example.org")


MISCONFIGURED = [
    ({"base": "dc=nowhere,dc=org"}, "there is no dc=nowhere|result 32"),
    ({"bind_dn": "cn=stranger,dc=example,dc=org"}, "does not let cn=stranger,dc=example,dc=org in"),
    ({"id_attribute": "employeeNumber"}, "has no employeeNumber"),
    ({"account_filter": "(|(objectClass=person)(mail={address}))"}, "is both"),
    ({"trust": "other"}, "TLS failed"),
]


@pytest.mark.parametrize(("changes", "why"), MISCONFIGURED)
def test_what_is_misconfigured_turns_nobody_away(server: Slapd, tmp_path: Path, changes: Any, why: str) -> None:
    if "trust" in changes:
        changes = {"trust": str(Certificates(tmp_path).authority)}
    directory = opened(server, **changes)
    with pytest.raises(Unavailable, match=why):
        directory.find("ann@example.org")
    directory.close()


def test_two_entries_of_one_address_are_nobody_s_mailbox(directory: LdapDirectory) -> None:
    with pytest.raises(Unavailable, match="is both"):
        directory.find("twins@example.org")


def test_a_server_that_comes_and_goes(server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PAUSE", 0.0)
    directory = opened(server, cache=0)
    assert directory.find(BOB)
    server.stop()
    try:
        with pytest.raises(Unavailable):
            directory.find(BOB)
        with pytest.raises(Unavailable):
            directory.verify(BOB, PASSWORD)
    finally:
        server.start()
    assert directory.find(BOB)
    directory.close()


def test_a_server_that_says_nothing_is_not_waited_for(server: Slapd) -> None:
    directory = opened(server, timeout="500ms")
    with server.held_up(), pytest.raises(Unavailable, match=r"no answer|timed out"):
        directory.find(BOB)
    directory.close()


def test_the_second_server_stands_in_for_the_first(server: Slapd) -> None:
    table = server.settings()
    directory = opened(server, servers=["ldap://127.0.0.1:1", *table["servers"]])
    assert directory.find(BOB)
    directory.close()


def test_many_threads_at_once(directory: LdapDirectory) -> None:
    found = all_at_once(lambda: directory.look_up("bob", "example.org"))
    assert found == [directory.account(BOB)] * 160
