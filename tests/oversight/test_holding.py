"""Holds: recorded with who and why, kept by the mailboxes, and made again where they are an older copy."""

import contextlib

import pytest

from engine.directory import Embedded, NotFound
from engine.links.request import Unanswered
from engine.mailbox.commands import Answer, Hold
from engine.operations import holding
from engine.operations.operator import Forbidden, Operator
from engine.oversight import Refusal, Whose
from engine.oversight.holding import Holding

ANN, BOSS = Whose(1, "ann@example.org"), Operator("boss@example.org", peer="192.0.2.1")


@pytest.fixture
def asked():
    """What the owner of the mailboxes was asked to do."""
    return []


@pytest.fixture
def ways(owner, asked):
    @contextlib.contextmanager
    def read():
        yield owner.reader

    def change(command):
        asked.append(command)
        return Answer()

    return holding.Ways(read, change)


def unanswered(command):
    raise Unanswered("there is no server")


async def test_a_hold_is_recorded_then_told(opened, ways, asked) -> None:
    holding.hold(opened, ways.change, BOSS, ANN, " a case ")
    assert asked == [Hold(account=1, on=True)]
    (row,) = holding.listed(opened, ways.read, BOSS)
    assert (row.account, row.address, row.reason, row.by, row.kept) == (1, ANN.address, "a case", BOSS.name, 0)
    with pytest.raises(Refusal, match="held already"):
        holding.hold(opened, ways.change, BOSS, ANN, "again")
    assert holding.found(opened, "Ann@example.org ") == holding.found(opened, "1") == 1
    assert holding.found(opened, "bob@example.org") is None
    held = holding.lift(opened, ways, BOSS, 1, "closed")
    assert held is not None
    assert held.address == ANN.address
    assert asked[1:] == [Hold(account=1, on=False)]
    assert holding.listed(opened, ways.read, BOSS) == []
    assert [(one.what, one.by, one.peer, one.details["reason"]) for one in opened.entries()] == [
        ("hold-begun", BOSS.name, "192.0.2.1", "a case"),
        ("hold-lifted", BOSS.name, "192.0.2.1", "closed"),
    ]


async def test_what_is_recorded_counts_though_nobody_could_be_told(opened, owner, ways) -> None:
    with pytest.raises(Unanswered, match="it is recorded"):
        holding.hold(opened, unanswered, BOSS, ANN, "a case")
    assert owner.reader.holds() == set()
    await Holding(owner, lambda: opened).agree()
    assert owner.reader.holds() == {1}
    with pytest.raises(Unanswered, match="it is recorded"):
        holding.lift(opened, holding.Ways(ways.read, unanswered), BOSS, 1, "closed")
    await Holding(owner, lambda: opened).agree()
    assert owner.reader.holds() == {1}  # without a record nothing is set free
    assert holding.lift(opened, ways, BOSS, 1, "closed, again") is None
    assert [one.what for one in opened.entries()] == ["hold-begun", "hold-lifted", "hold-lifted"]


async def test_what_is_not_held_cannot_be_lifted(opened, ways) -> None:
    with pytest.raises(Refusal):
        holding.lift(opened, ways, BOSS, 7, "closed")
    assert opened.tip()[0] == 0


@pytest.mark.parametrize("reason", ["", " \n"])
async def test_a_reason_is_needed(opened, ways, asked, reason) -> None:
    with pytest.raises(Refusal, match="reason"):
        holding.hold(opened, ways.change, BOSS, ANN, reason)
    holding.hold(opened, ways.change, BOSS, ANN, "a case")
    with pytest.raises(Refusal, match="reason"):
        holding.lift(opened, ways, BOSS, 1, reason)
    assert len(asked) == 1


async def test_it_is_not_for_those_who_administer_some_domains(opened, ways) -> None:
    some = Operator("admin@example.org", frozenset({"example.org"}))
    with pytest.raises(Forbidden):
        holding.hold(opened, ways.change, some, ANN, "a case")
    with pytest.raises(Forbidden):
        holding.lift(opened, ways, some, 1, "closed")
    with pytest.raises(Forbidden):
        holding.listed(opened, ways.read, some)


# Of domains and groups


@pytest.fixture
def directory(tmp_path):
    with Embedded.open(tmp_path / "directory", ["example.org", "two.example"]) as directory:
        for address in ("ann@example.org", "bob@example.org", "cy@two.example", "dan@two.example"):
            directory.add_account(address)
        directory.add_group("inner@example.org", ["cy@two.example"])
        directory.add_group("team@example.org", ["ann@example.org", "inner@example.org", "x@elsewhere.test"])
        yield directory


def numbers(asked, on=True):
    return [one.account for one in asked if one.on is on]


async def test_a_hold_of_a_domain_is_about_those_who_come_later_too(opened, owner, ways, asked, directory) -> None:
    task = Holding(owner, lambda: opened, directory)
    assert holding.hold_wide(opened, directory, ways.change, BOSS, "Example.ORG", reason="a case") == 2
    assert numbers(asked) == [1, 2]
    with pytest.raises(Refusal, match="held already"):
        holding.hold_wide(opened, directory, ways.change, BOSS, "example.org", reason="again")
    await task.agree()
    assert owner.reader.holds() == {1, 2}
    directory.remove_account("bob@example.org")  # stays held
    late = directory.add_account("late@example.org").id
    await task.hold()
    await task.hold()
    assert owner.reader.holds() == {1, 2, late}
    (row,) = holding.listed(opened, ways.read, BOSS)
    assert (row.kind, row.address, row.accounts, row.account, row.reason) == ("domain", "example.org", 3, 0, "a case")
    assert opened.held() == {1: "ann@example.org", 2: "bob@example.org", late: "late@example.org"}
    assert holding.found(opened, "EXAMPLE.org") == "example.org"
    assert holding.lift_wide(opened, ways.change, BOSS, "example.org", "closed") == [1, 2, late]
    assert numbers(asked, on=False) == [1, 2, late]
    assert [(one.what, one.by, one.about) for one in opened.entries()] == [
        ("hold-begun", BOSS.name, ("example.org",)),
        ("hold-widened", "postroad", ("late@example.org", "example.org")),
        ("hold-lifted", BOSS.name, ("example.org",)),
    ]
    assert opened.unders() == opened.wides() == []


async def test_a_hold_of_a_group_is_about_all_to_whom_it_leads(opened, owner, ways, asked, directory) -> None:
    task = Holding(owner, lambda: opened, directory)
    assert holding.hold_wide(opened, directory, ways.change, BOSS, "Team@example.org", reason="a case") == 2
    directory.change_group("inner@example.org", ["dan@two.example"], ["cy@two.example"])
    await task.hold()
    assert owner.reader.holds() == {1, 3, 4}  # who has left it stays held
    directory.remove_group("team@example.org")
    await task.hold()
    assert holding.lift_wide(opened, ways.change, BOSS, "team@example.org", "closed") == [1, 3, 4]
    with pytest.raises(Refusal):
        holding.lift_wide(opened, ways.change, BOSS, "team@example.org", "closed")
    with pytest.raises(NotFound):
        holding.hold_wide(opened, directory, ways.change, BOSS, "team@example.org", reason="a case")
    with pytest.raises(NotFound):
        holding.hold_wide(opened, directory, ways.change, BOSS, "elsewhere.test", reason="a case")


async def test_what_several_holds_are_about_is_free_after_the_last(opened, owner, ways, asked, directory) -> None:
    holding.hold(opened, ways.change, BOSS, ANN, "one")
    holding.hold_wide(opened, directory, ways.change, BOSS, "example.org", reason="two")
    holding.hold_wide(opened, directory, ways.change, BOSS, "team@example.org", reason="three")
    del asked[:]
    holding.lift(opened, ways, BOSS, 1, "closed")
    assert holding.lift_wide(opened, ways.change, BOSS, "team@example.org", "closed") == [3]
    assert numbers(asked, on=False) == [3]
    await Holding(owner, lambda: opened, directory).agree()
    with pytest.raises(Refusal):  # it is held by the domain, and that has to be lifted
        holding.lift(opened, ways, BOSS, 1, "closed")
    assert holding.lift_wide(opened, ways.change, BOSS, "example.org", "closed") == [1, 2]


async def test_wide_holds_are_not_for_those_who_administer_some_domains(opened, ways, directory) -> None:
    some = Operator("admin@example.org", frozenset({"example.org"}))
    with pytest.raises(Forbidden):
        holding.hold_wide(opened, directory, ways.change, some, "example.org", reason="a case")
    with pytest.raises(Forbidden):
        holding.lift_wide(opened, ways.change, some, "example.org", "closed")
