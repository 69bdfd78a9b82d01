"""Holds: recorded with who and why, kept by the mailboxes, and made again where they are an older copy."""

import contextlib

import pytest

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
