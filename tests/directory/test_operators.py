"""What operators do to the directory is told, and who may touch some domains alone touches and sees no others."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config import Login, Quota
from engine.directory import Embedded, Invalid, Limit, NotFound
from engine.lists import Lists, scope_of
from engine.login import Guard
from engine.mailbox import MailboxOwner
from engine.operations import accounts, aliases, domains, lists, mailboxes, quotas, suppressions
from engine.operations.operator import Forbidden, Operator
from engine.suppression import Suppressions

OURS, THEIRS = "example.org", "example.net"
ANN, EVE = f"ann@{OURS}", f"eve@{THEIRS}"
LIMITED = Operator("token:ours", frozenset({OURS}))


class Told:
    """Takes events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, /, **values: Any) -> None:
        self.events.append((name, {key: value for key, value in values.items() if value is not None}))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def root(told: Told) -> Operator:
    return Operator("root", note=told)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", [OURS, THEIRS]) as opened:
        opened.add_account(ANN)
        opened.add_account(EVE)
        opened.add_alias(f"info@{THEIRS}", [EVE])
        opened.add_group(f"staff@{THEIRS}")
        yield opened


@pytest.fixture
def opened_lists(tmp_path: Path) -> Iterator[Lists]:
    with Lists.open(tmp_path) as opened:
        yield opened


CHANGES: dict[str, Callable[[Embedded, Operator], object]] = {
    "add": lambda directory, by: accounts.add(directory, by, f"new@{THEIRS}"),
    "show": lambda directory, by: accounts.shown(directory, by, EVE),
    "find": lambda directory, by: accounts.find(directory, by, EVE),
    "list": lambda directory, by: accounts.listed(directory, by, THEIRS),
    "password": lambda directory, by: accounts.set_password(directory, by, EVE, "x"),
    "admin": lambda directory, by: accounts.set_admin(directory, by, EVE, True),
    "send as": lambda directory, by: accounts.grant(directory, by, ANN, [EVE]),
    "send as a domain": lambda directory, by: accounts.grant(directory, by, ANN, [f"@{THEIRS}"]),
    "suspend": lambda directory, by: accounts.suspend(directory, by, EVE, True),
    "roles": lambda directory, by: accounts.set_roles(directory, by, EVE, [f"helpdesk@{THEIRS}"]),
    "roles of others": lambda directory, by: accounts.set_roles(directory, by, ANN, [f"helpdesk@{THEIRS}"]),
    "roles for all": lambda directory, by: accounts.set_roles(directory, by, ANN, ["auditor"]),
    "totp": lambda directory, by: accounts.enable_totp(directory, by, EVE),
    "no totp": lambda directory, by: accounts.disable_totp(directory, by, EVE),
    "app password": lambda directory, by: accounts.add_app_password(directory, by, EVE, "phone"),
    "no app password": lambda directory, by: accounts.revoke_app_password(directory, by, EVE, "phone"),
    "domain": lambda directory, by: domains.add(directory, by, "example.com"),
    "no domain": lambda directory, by: domains.remove(directory, by, THEIRS, force=True),
    "alias": lambda directory, by: aliases.add(directory, by, f"x@{THEIRS}", [ANN]),
    "catch-all": lambda directory, by: aliases.add(directory, by, f"@{THEIRS}", [ANN]),
    "other targets": lambda directory, by: aliases.change(directory, by, f"info@{THEIRS}", [ANN]),
    "no alias": lambda directory, by: aliases.remove(directory, by, f"info@{THEIRS}"),
    "group": lambda directory, by: aliases.add_group(directory, by, f"x@{THEIRS}"),
    "members": lambda directory, by: aliases.change_group(directory, by, f"staff@{THEIRS}", [ANN]),
    "rule": lambda directory, by: aliases.rule_group(directory, by, f"staff@{THEIRS}", "members"),
    "no group": lambda directory, by: aliases.remove_group(directory, by, f"staff@{THEIRS}"),
    "quota": lambda directory, by: quotas.say(directory, by, EVE, Limit(1, 1)),
    "quota of a domain": lambda directory, by: quotas.say(directory, by, THEIRS.upper(), Limit(1, 1)),
    "quota anew": lambda directory, by: quotas.put(directory, by, EVE, Limit(1, 1)),
    "no quota": lambda directory, by: quotas.unset(directory, by, EVE),
    "erase": lambda directory, by: mailboxes.check_free(directory, by, 99),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_domains_are_out_of_reach(directory: Embedded, change: str) -> None:
    state = directory.state
    with pytest.raises(Forbidden):
        CHANGES[change](directory, LIMITED)
    assert directory.state == state


def test_an_account_elsewhere_is_not_removed(directory: Embedded, opened_lists: Lists) -> None:
    with pytest.raises(Forbidden):
        accounts.remove(directory, opened_lists, LIMITED, EVE)
    assert directory.account(EVE)


async def test_other_domains_are_not_seen(directory: Embedded, tmp_path: Path) -> None:
    assert [one.address for one in accounts.listed(directory, LIMITED)] == [ANN]
    assert [one.name for one in domains.listed(directory, LIMITED)] == [OURS]
    assert aliases.listed(directory, LIMITED) == []
    assert aliases.groups(directory, LIMITED) == []
    with MailboxOwner(tmp_path / "mailbox") as owner:
        read = lambda: nullcontext(owner.reader)  # noqa: E731
        assert [one.address for one in quotas.listed(directory, read, Quota(), LIMITED)] == [ANN]
        with pytest.raises(Forbidden):
            quotas.shown(directory, read, Quota(), LIMITED, EVE)


def test_an_alias_may_lead_elsewhere_and_tells_nothing_of_who_is_there(directory: Embedded, root: Operator) -> None:
    nobody = [f"nobody@{THEIRS}", f"nobody@{OURS}"]
    assert aliases.add(directory, LIMITED, f"x@{OURS}", nobody).unknown == (f"nobody@{OURS}",)
    assert aliases.add(directory, root, f"y@{OURS}", nobody).unknown == tuple(nobody)


def test_domains_are_compared_as_the_directory_does(directory: Embedded) -> None:
    by = Operator("token:theirs", frozenset({"xn--bcher-kva.example"}))
    directory.add_domain("bücher.example")
    assert accounts.add(directory, by, "ann@BÜCHER.example").address == "ann@xn--bcher-kva.example"
    with pytest.raises(Forbidden):
        accounts.add(directory, by, f"ann@bücher.example@{OURS}")


def test_lists_of_other_domains_and_of_the_server_are_out_of_reach(opened_lists: Lists, root: Operator) -> None:
    for scope in ("", f"@{THEIRS}", EVE):
        lists.put(opened_lists, root, scope, "block", ["192.0.2.0/24"])
        with pytest.raises(Forbidden):
            lists.put(opened_lists, LIMITED, scope, "allow", ["example.com"])
        with pytest.raises(Forbidden):
            lists.remove(opened_lists, LIMITED, scope, ["192.0.2.0/24"])
        with pytest.raises(Forbidden):
            lists.listed(opened_lists, LIMITED, scope)
    with pytest.raises(Forbidden):
        lists.take_in(opened_lists, LIMITED, [f"allow example.com {ANN}\n", "allow example.com\n"])
    lists.put(opened_lists, LIMITED, scope_of(domain=OURS), "allow", ["example.com"])
    assert [row.scope for row in lists.listed(opened_lists, LIMITED)] == [f"@{OURS}"]
    assert len(lists.listed(opened_lists, root)) == 4


def test_the_suppression_list_is_about_all(tmp_path: Path, root: Operator, told: Told) -> None:
    with Suppressions.open(tmp_path) as opened:
        assert suppressions.add(opened, root, ["Ann@Example.com"], which="complaint")[0].entry == "ann@example.com"
        for refused in (
            lambda: suppressions.add(opened, LIMITED, [ANN]),
            lambda: suppressions.remove(opened, LIMITED, [ANN]),
            lambda: suppressions.says(opened, LIMITED, ANN),
            lambda: suppressions.listed(opened, LIMITED),
            lambda: suppressions.exported(opened, LIMITED),
        ):
            with pytest.raises(Forbidden):
                refused()
        assert suppressions.remove(opened, root, ["ann@example.com", "bob@example.com"]) == {
            "ann@example.com": True,
            "bob@example.com": False,
        }
    assert told.events == [
        ("suppression-added", {"entries": ["ann@example.com"], "by": "root"}),
        ("suppression-removed", {"entries": ["ann@example.com"], "by": "root"}),
    ]


def test_what_is_changed_is_told_without_secrets(
    directory: Embedded, opened_lists: Lists, root: Operator, told: Told, tmp_path: Path
) -> None:
    accounts.add(directory, root, f"bob@{OURS}", "a very secret word", admin=True)
    accounts.set_password(directory, root, f"bob@{OURS}", "another secret word")
    secret = accounts.enable_totp(directory, root, f"bob@{OURS}")
    made = accounts.add_app_password(directory, root, f"bob@{OURS}", "phone", ["imap"])
    with Guard.open(tmp_path / "logins", Login()) as guard:
        (listed,) = accounts.app_passwords(directory, guard, root, f"bob@{OURS}")
    shown = accounts.shown(directory, root, f"bob@{OURS}")
    quotas.say(directory, root, OURS, total=Limit(10, None))
    accounts.remove(directory, opened_lists, root, f"bob@{OURS}", keep_mail=True)
    assert [(name, values.get("what")) for name, values in told.events] == [
        ("account-added", None),
        ("account-changed", "password"),
        ("account-changed", "second factor"),
        ("account-changed", "app password phone"),
        ("quota-set", None),
        ("account-removed", None),
    ]
    assert all(values["by"] == "root" for _, values in told.events)
    known = msgspec.json.encode([told.events, listed, shown]).decode()
    for word in ("secret word", made.password, secret.uri.partition("secret=")[2].partition("&")[0]):
        assert word
        assert word not in known


def test_nothing_is_told_of_what_was_not_done(directory: Embedded, root: Operator, told: Told) -> None:
    for refused, error in (
        (lambda: accounts.add(directory, root, f"x@{OURS}", ""), Invalid),
        (lambda: accounts.set_password(directory, root, f"nobody@{OURS}", "x"), NotFound),
        (lambda: aliases.remove(directory, root, f"nobody@{OURS}"), NotFound),
        (lambda: quotas.say(directory, root, ANN, total=Limit(1, 1)), Invalid),
        (lambda: quotas.say(directory, root, ANN), Invalid),
    ):
        with pytest.raises(error):
            refused()
    assert told.events == []
