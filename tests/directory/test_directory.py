"""The directory: who is found for which address, in one process and across several."""

import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from engine.directory import (
    Account,
    Alias,
    AlreadyThere,
    DirectoryError,
    Domain,
    Embedded,
    Group,
    InUse,
    Invalid,
    Memory,
    NotFound,
    Unavailable,
    may_send_as,
)

LOCAL = ("example.org", "Bücher.example")


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", LOCAL) as opened:
        yield opened


@pytest.fixture
def peopled(directory: Embedded) -> Embedded:
    directory.add_account("Bob@Example.org")
    directory.add_account("bob+lists@example.org")
    directory.add_account("jörg@bücher.example")
    directory.add_account("new+ton@example.org")
    directory.add_domain("added.test")
    directory.add_account("ann@added.test")
    directory.add_alias("sales@example.org", ["bob@example.org", "Ann@Elsewhere.example"])
    directory.add_alias("@added.test", ["bob@example.org"])
    return directory


FOUND = [
    ("bob@example.org", "bob@example.org"),
    ("BOB@EXAMPLE.ORG", "bob@example.org"),
    ('"bob"@example.org', "bob@example.org"),
    ("bob+anything@example.org", "bob@example.org"),
    ("bob+a+b@example.org", "bob@example.org"),
    ("bob+@example.org", "bob@example.org"),
    ("bob+lists@example.org", "bob+lists@example.org"),  # the account of that very name wins
    ("Bob+Lists@example.org", "bob+lists@example.org"),
    ("bob-tag@example.org", None),
    ("new+ton@example.org", "new+ton@example.org"),
    ("new@example.org", None),
    ("+bob@example.org", None),
    ("jo\u0308rg@BÜCHER.example", "jörg@xn--bcher-kva.example"),
    ("JÖRG+x@xn--bcher-kva.EXAMPLE", "jörg@xn--bcher-kva.example"),
    ("sales@example.org", "sales@example.org"),
    ("sales+eu@example.org", "sales@example.org"),
    ("ann@added.test", "ann@added.test"),
    ("ann+tag@added.test", "ann@added.test"),  # before the catch-all
    ("whoever@Added.test", "@added.test"),
    ("nobody@example.org", None),
    ("bob@elsewhere.example", None),
    ("bob@sub.example.org", None),
    ("bob@[192.0.2.1]", None),
    ("bob", None),
    ("", None),
    ("@added.test", None),
    ("x" * 600 + "@example.org", None),
    ("x@" + "y" * 600, None),
    ("bob\udcff@example.org", None),
    ("org\0bob@example.org", None),
]


@pytest.mark.parametrize(("address", "name"), FOUND)
def test_find(peopled: Embedded, address: str, name: str | None) -> None:
    found = peopled.find(address)
    assert (found.address if found else None) == name


def test_find_with_another_tag_character_or_none(peopled: Embedded) -> None:
    assert peopled.find("bob-tag@example.org", subaddress="-") == peopled.account("bob@example.org")
    assert peopled.find("bob+tag@example.org", subaddress="-") is None
    assert peopled.find("bob+tag@example.org", subaddress="") is None


def test_an_account_is_found_by_its_own_name_only(peopled: Embedded) -> None:
    bob = peopled.account("BOB@example.org")
    assert bob
    assert (bob.address, bob.id, bob.has_password) == ("bob@example.org", 1, False)
    assert peopled.account("bob+tag@example.org") is None
    assert peopled.account("sales@example.org") is None
    assert peopled.account("whoever@added.test") is None


def test_an_alias_keeps_how_foreign_local_parts_are_written(peopled: Embedded) -> None:
    assert peopled.find("sales@example.org") == Alias("sales@example.org", ("bob@example.org", "Ann@elsewhere.example"))


def test_local_domains(peopled: Embedded) -> None:
    for domain in ("example.org", "EXAMPLE.org", "bücher.example", "XN--bcher-kva.example", "Added.TEST"):
        assert peopled.is_local(domain)
    for domain in ("sub.example.org", "org", "", "x" * 600, "*", "b\udcff"):
        assert not peopled.is_local(domain)
    assert peopled.domains() == [
        Domain("example.org", configured=True),
        Domain("xn--bcher-kva.example", configured=True),
        Domain("added.test", configured=False),
    ]


def test_lists_are_in_the_order_of_domains(peopled: Embedded) -> None:
    assert [account.address for account in peopled.accounts()] == [
        "ann@added.test",
        "bob@example.org",
        "bob+lists@example.org",
        "new+ton@example.org",
        "jörg@xn--bcher-kva.example",
    ]
    assert [alias.address for alias in peopled.aliases()] == ["@added.test", "sales@example.org"]


# Changes


def test_an_id_is_never_given_again(directory: Embedded, tmp_path: Path) -> None:
    first = directory.add_account("bob@example.org")
    assert directory.remove_account("BOB@example.org") == first
    assert directory.find("bob@example.org") is None
    second = directory.add_account("bob@example.org")
    directory.remove_account("bob@example.org")
    directory.close()
    with Embedded.open(tmp_path / "directory", LOCAL) as again:
        assert (first.id, second.id, again.add_account("bob@example.org").id) == (1, 2, 3)


def test_who_was_removed_is_a_leaver_until_the_mail_is_gone(directory: Embedded) -> None:
    directory.add_account("bob@example.org")
    directory.add_account("eve@example.org")
    directory.remove_account("bob@example.org")
    directory.remove_account("eve@example.org", keep_mail=True)
    assert directory.leavers() == [1]
    directory.left(1)
    assert directory.leavers() == []
    assert directory.add_account("bob@example.org").id == 3


def test_a_failed_addition_burns_no_id(directory: Embedded) -> None:
    directory.add_account("bob@example.org")
    with pytest.raises(AlreadyThere):
        directory.add_account("bob@example.org")
    assert directory.add_account("ann@example.org").id == 2


REFUSED = [
    (lambda d: d.add_account("bob@example.org"), AlreadyThere, "an account bob@example.org already"),
    (lambda d: d.add_account("BOB@example.org"), AlreadyThere, "an account bob@example.org already"),
    (lambda d: d.add_account("sales@example.org"), AlreadyThere, "postroad alias remove sales@example.org"),
    (lambda d: d.add_account("bob@else.test"), NotFound, "postroad domain add else.test"),
    (lambda d: d.add_account("bob"), Invalid, "user@example.org"),
    (lambda d: d.add_account("@example.org"), Invalid, "user@example.org"),
    (lambda d: d.remove_account("x@example.org"), NotFound, "no such account: x@example.org; add it with postroad acc"),
    (lambda d: d.remove_account("sales@example.org"), NotFound, "no such account"),
    (lambda d: d.remove_account("x"), Invalid, "is no address"),
    (lambda d: d.set_password("x@example.org", "secret"), NotFound, "postroad account add x@example.org"),
    (lambda d: d.set_admin("x@example.org", True), NotFound, "postroad account add x@example.org"),
    (lambda d: d.add_alias("sales@example.org", ["a@b.test"]), AlreadyThere, "an alias sales@example.org already"),
    (lambda d: d.add_alias("bob@example.org", ["a@b.test"]), AlreadyThere, "an account bob@example.org already"),
    (lambda d: d.add_alias("@added.test", ["a@b.test"]), AlreadyThere, "an alias @added.test already"),
    (lambda d: d.add_alias("@else.test", ["a@b.test"]), NotFound, "postroad domain add else.test"),
    (lambda d: d.add_alias("new@example.org", []), Invalid, "at least one address"),
    (lambda d: d.add_alias("new@example.org", ["New@EXAMPLE.org"]), Invalid, "stands for itself"),
    (lambda d: d.add_alias("new@example.org", ["somebody"]), Invalid, "'somebody' is no address"),
    (lambda d: d.add_alias("new@example.org", ["@example.org"]), Invalid, "is no address"),
    (lambda d: d.remove_alias("bob@example.org"), NotFound, "no such alias: bob@example.org"),
    (lambda d: d.remove_alias("@example.org"), NotFound, "no such alias: @example.org"),
    (lambda d: d.remove_alias("junk"), NotFound, "no such alias"),
    (lambda d: d.add_domain("Example.org"), AlreadyThere, "pipeline.toml"),
    (lambda d: d.add_domain("ADDED.test"), AlreadyThere, "added.test is local already"),
    (lambda d: d.add_domain("no domain"), Invalid, "'no domain' is no domain name"),
    (lambda d: d.remove_domain("example.org"), InUse, "remove it there"),
    (lambda d: d.remove_domain("example.org", force=True), InUse, "remove it there"),
    (lambda d: d.remove_domain("else.test"), NotFound, "no such domain: else.test"),
    (lambda d: d.add_group("team@example.org"), AlreadyThere, "a group team@.*postroad group remove team@example.org"),
    (lambda d: d.add_account("team@example.org"), AlreadyThere, "postroad group remove team@example.org"),
    (lambda d: d.add_group("new@example.org", ["New@example.org"]), Invalid, "stands for itself"),
    (lambda d: d.add_group("new@else.test"), NotFound, "postroad domain add else.test"),
    (lambda d: d.add_group("@example.org"), Invalid, "is no address"),
    (lambda d: d.remove_alias("team@example.org"), NotFound, "no such alias"),
    (lambda d: d.remove_group("sales@example.org"), NotFound, "no such group: sales@example.org; postroad group list"),
    (lambda d: d.change_group("bob@example.org", ["a@b.test"]), NotFound, "no such group"),
    (lambda d: d.change_group("team@example.org", ["a@b.test"], ["x@example.org"]), NotFound, "x@.* is no member"),
    (lambda d: d.change_group("team@example.org", ["team@example.org"]), Invalid, "stands for itself"),
    (lambda d: d.grant("x@example.org", ["a@b.test"]), NotFound, "no such account"),
    (lambda d: d.grant("bob@example.org", ["junk"]), Invalid, "is no address"),
    (lambda d: d.grant("bob@example.org", [], ["a@b.test"]), NotFound, "was not granted to send as a@b.test"),
    (lambda d: d.grant("bob@example.org", [f"a{n}@b.test" for n in range(101)]), Invalid, "100 other names at most"),
    (lambda d: d.remove_domain("added.test"), InUse, r"1 account\(s\) and 1 alias\(es\).*--force"),
]


@pytest.mark.parametrize(("change", "error", "text"), REFUSED)
def test_what_is_refused_changes_nothing(peopled: Embedded, change, error, text: str) -> None:
    peopled.add_group("team@example.org", ["bob@example.org"])
    before = (peopled.domains(), peopled.accounts(), peopled.aliases(), peopled.groups())
    with pytest.raises(error, match=text) as caught:
        change(peopled)
    assert isinstance(caught.value, DirectoryError)
    assert (peopled.domains(), peopled.accounts(), peopled.aliases(), peopled.groups()) == before


def test_aliases_come_and_go(peopled: Embedded) -> None:
    assert peopled.add_alias("Two@example.org", ["a@b.test", "a@B.test", "c@d.test"]).targets == (
        "a@b.test",
        "c@d.test",
    )
    peopled.remove_alias("two@EXAMPLE.org")
    assert peopled.find("two@example.org") is None
    peopled.remove_alias("@Added.test")
    assert peopled.find("whoever@added.test") is None


def test_members_of_a_group_come_and_go(directory: Embedded) -> None:
    directory.add_group("Team@example.org")
    assert directory.find("team@example.org") == Group("team@example.org", ())
    directory.change_group("team@example.org", ["Ann@example.org", "Far@Elsewhere.test"])
    directory.change_group("TEAM@example.org", ["ann@Example.org", "bob@example.org"], ["far@elsewhere.test"])
    group = Group("team@example.org", ("Ann@example.org", "bob@example.org"))
    assert directory.change_group("team@example.org") == group
    assert (directory.groups(), directory.aliases()) == ([group], [])
    assert directory.find("team+tag@example.org") == group
    directory.remove_group("team@example.org")
    assert (directory.find("team@example.org"), directory.groups()) == (None, [])


SENDERS = [
    ("bob@example.org", True),
    ("BOB+tag@Example.org", True),
    ("chief@example.org", True),  # an alias for one that is granted
    ("Boss@example.org", True),
    ("boss+tag@example.org", True),
    ("any@partner.test", True),
    ("x@sub.partner.test", False),
    ("team@example.org", True),
    ("all@example.org", True),  # a group of groups
    ("others@example.org", False),
    ("ann@example.org", False),
    ("boss@other.test", False),
    ("partner.test", False),
]


@pytest.mark.parametrize(("sender", "may"), SENDERS)
def test_in_whose_name_an_account_may_send(directory: Embedded, sender: str, may: bool) -> None:
    for name in ("ann", "bob", "boss"):
        directory.add_account(f"{name}@example.org")
    directory.add_alias("chief@example.org", ["boss@example.org"])
    directory.add_group("team@example.org", ["ann@example.org", "bob+list@example.org"])
    directory.add_group("all@example.org", ["others@example.org", "team@example.org"])
    directory.add_group("others@example.org", ["ann@example.org"])
    granted = directory.grant("bob@example.org", ["BOSS@example.org", "@Partner.test"])
    assert granted.send_as == ("boss@example.org", "@partner.test")
    assert may_send_as(directory, "bob@example.org", sender) is may
    assert not may_send_as(directory, "nobody@example.org", sender)
    directory.grant("bob@example.org", [], ["boss@example.org", "@partner.test"])
    assert directory.account("bob@example.org") == replace(granted, send_as=())
    by_grant = re.search("boss|chief|partner", sender, re.IGNORECASE)
    assert may_send_as(directory, "bob@example.org", sender) is (may and not by_grant)


def test_a_closed_domain_keeps_all_and_finds_nothing(peopled: Embedded) -> None:
    ann = peopled.account("ann@added.test")
    peopled.remove_domain("added.test", force=True)
    assert not peopled.is_local("added.test")
    assert peopled.find("ann@added.test") is None
    assert peopled.find("whoever@added.test") is None
    assert peopled.account("ann@added.test") is None
    assert ann in peopled.accounts()
    peopled.add_domain("added.test")
    assert peopled.account("ann@added.test") == ann
    assert peopled.find("whoever@added.test")


def test_an_empty_domain_goes_without_force(directory: Embedded) -> None:
    directory.add_domain("added.test")
    directory.add_domain("added.test2")
    directory.add_account("ann@added.test2")  # another domain, though its name begins alike
    directory.remove_domain("added.test")
    assert not directory.is_local("added.test")


# The postmaster (RFC 5321 4.5.1)


def test_the_postmaster_is_made_on_first_need_and_cannot_log_in(directory: Embedded) -> None:
    assert directory.accounts() == []
    found = directory.find("Postmaster@bücher.example")
    assert isinstance(found, Account)
    assert (found.address, found.has_password) == ("postmaster@example.org", False)
    for address in ("postmaster", "POSTMASTER", "postmaster@example.org", "postmaster+x@bücher.example"):
        assert directory.find(address) == found
    assert directory.accounts() == [found]
    assert directory.verify("postmaster@example.org", "") is None


def test_the_postmaster_can_be_given_a_password(directory: Embedded) -> None:
    directory.find("postmaster")
    assert directory.set_password("postmaster@example.org", "a password").has_password
    assert directory.verify("postmaster@example.org", "a password")


def test_the_oldest_admin_of_the_domain_is_postmaster(directory: Embedded) -> None:
    zoe = directory.add_account("zoe@bücher.example", admin=True)
    ann = directory.add_account("ann@bücher.example", admin=True)
    assert directory.find("postmaster@bücher.example") == zoe
    directory.set_admin("zoe@bücher.example", admin=False)
    assert directory.find("postmaster@bücher.example") == ann
    directory.remove_account("ann@bücher.example")
    found = directory.find("postmaster@bücher.example")
    assert found
    assert found.address == "postmaster@example.org"


def test_an_admin_of_another_domain_is_not_asked(directory: Embedded) -> None:
    directory.add_account("ann@bücher.example", admin=True)
    found = directory.find("postmaster@example.org")
    assert found
    assert found.address == "postmaster@example.org"


def test_an_account_alias_or_catch_all_comes_before_the_admin(directory: Embedded) -> None:
    directory.add_account("ann@bücher.example", admin=True)
    directory.add_alias("@bücher.example", ["ann@bücher.example"])
    assert directory.find("postmaster@bücher.example") == Alias(
        "@xn--bcher-kva.example", ("ann@xn--bcher-kva.example",)
    )
    directory.add_alias("postmaster@bücher.example", ["x@elsewhere.test"])
    found = directory.find("postmaster@bücher.example")
    assert found
    assert found.address == "postmaster@xn--bcher-kva.example"


def test_the_first_domain_s_alias_serves_the_others(directory: Embedded) -> None:
    alias = directory.add_alias("postmaster@example.org", ["x@elsewhere.test"])
    assert directory.find("postmaster@bücher.example") == alias
    assert directory.find("postmaster") == alias
    assert directory.accounts() == []


def test_no_postmaster_elsewhere(directory: Embedded) -> None:
    assert directory.find("postmaster@elsewhere.test") is None
    assert directory.find("postmasters@example.org") is None
    assert directory.accounts() == []


def test_the_first_added_domain_where_none_is_configured(tmp_path: Path) -> None:
    with Embedded.open(tmp_path / "directory") as directory:
        assert directory.find("postmaster") is None
        directory.add_domain("b.test")
        found = directory.find("postmaster")
        assert found
        assert found.address == "postmaster@b.test"


# The store


def test_the_folder_is_private(directory: Embedded, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "directory" / "data.mdb").stat().st_mode) == 0o600


def test_read_only_reads_and_changes_nothing(peopled: Embedded, tmp_path: Path) -> None:
    peopled.close()
    with Embedded.open(tmp_path / "directory", LOCAL, read_only=True) as directory:
        assert directory.find("bob@example.org")
        assert directory.find("postmaster") is None
        with pytest.raises(Unavailable, match="reading only"):
            directory.add_domain("other.test")


def test_read_only_needs_a_directory(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="directory"):
        Embedded.open(tmp_path / "directory", read_only=True)
    assert not (tmp_path / "directory").exists()


def test_a_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "other")):
        pass
    with pytest.raises(Unavailable, match="cannot read the directory"):
        Embedded.open(tmp_path / "other", read_only=True)


def test_a_configured_domain_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="'not a domain'"):
        Embedded.open(tmp_path / "directory", ["not a domain"])


def test_a_closed_directory_says_so(directory: Embedded) -> None:
    directory.close()
    with pytest.raises(Unavailable):
        directory.find("bob@example.org")


def test_a_full_map_is_told_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.directory.embedded.rows.MAP_SIZE", 2**18)
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_alias("small@example.org", ["x@elsewhere.test"])
        with pytest.raises(Unavailable, match="as large as its map_size"):
            directory.add_alias("large@example.org", [f"{number}@elsewhere.test" for number in range(20_000)])
        assert directory.find("small@example.org")
        assert directory.find("large@example.org") is None


CHANGE = """
import sys
from pathlib import Path
from engine.directory import Embedded
with Embedded.open(Path(sys.argv[1]), ["example.org"]) as directory:
    getattr(directory, sys.argv[2])(*sys.argv[3:])
"""


def elsewhere(path: Path, *change: str) -> None:
    subprocess.run([sys.executable, "-c", CHANGE, str(path), *change], check=True, timeout=60)


def test_what_another_process_changes_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    with Embedded.open(path, ["example.org"]) as directory:
        assert directory.find("bob@example.org") is None
        elsewhere(path, "add_account", "bob@example.org")
        bob = directory.account("bob@example.org")
        assert bob
        assert directory.add_account("ann@example.org").id == bob.id + 1
        elsewhere(path, "add_domain", "added.test")
        assert directory.is_local("added.test")
        elsewhere(path, "remove_account", "bob@example.org")
        assert directory.find("bob@example.org") is None

        state = directory.state
        assert directory.state == state
        elsewhere(path, "remove_domain", "added.test")
        assert directory.state != state


def test_the_state_is_another_one_when_other_domains_are_local(directory: Embedded) -> None:
    state = directory.state
    directory.set_local(["elsewhere.example"])
    assert directory.state != state


def test_a_memory_holds_what_was_found_in_one_state_and_not_too_much() -> None:
    memory: Memory[str, int] = Memory(2)
    memory.put(1, "a", 10)
    memory.put(1, "b", 20)
    assert (memory.get(1, "a"), memory.get(1, "b"), memory.get(1, "c")) == (10, 20, None)
    assert memory.get(2, "a") is None
    memory.put(1, "c", 30)
    assert memory.get(1, "c") == 30
    assert len(memory) <= 2
    memory.put(2, "a", 11)
    assert (memory.get(2, "a"), memory.get(2, "c"), memory.get(1, "a")) == (11, None, None)
