"""Grants: who may ask and consent, when one is open, and that nothing is done by it without an entry."""

import re

import pytest

from engine.config import Oversight as Settings
from engine.operations import oversight as operations
from engine.operations.operator import Operator
from engine.oversight import NoSuchGrant, Oversight, Refusal, Whose
from engine.oversight.grants import LONGEST_REASON, PATIENCE

ANN, BOB = Whose(1, "ann@example.org"), Whose(2, "bob@example.org")
AUDITOR, SECOND, DAY = "auditor@example.org", "second@example.org", 86400.0


def asked(opened: Oversight, *, consent: bool = True, seconds: float = DAY, by: str = AUDITOR):
    settings = Settings(consent=consent)
    return operations.ask(opened, settings, Operator(by, peer="192.0.2.1"), [ANN], " a leak ", seconds=seconds)


def test_a_grant_is_open_from_consent_until_its_time_is_over(opened, hands) -> None:
    grant = asked(opened)
    assert (grant.state(hands.now), grant.reason) == ("waiting", "a leak")
    with pytest.raises(Refusal, match="not open: it is waiting"):
        operations.look(opened, Operator(AUDITOR), grant.number, "searched", query="x")
    hands.now += 3600
    assert operations.consent(opened, Operator(SECOND), grant.number).state(hands.now) == "open"
    assert operations.look(opened, Operator(AUDITOR), grant.number, "searched", query="x").covers(1)
    hands.now += DAY - 1
    operations.look(opened, Operator(AUDITOR), grant.number, "searched", query="y")
    hands.now += 1
    with pytest.raises(Refusal, match="not open: it is over"):
        operations.look(opened, Operator(AUDITOR), grant.number, "searched", query="z")
    entries = list(opened.entries())
    assert [one.what for one in entries] == ["grant-asked", "grant-consented", "searched", "searched"]
    assert entries[0].peer == "192.0.2.1"
    assert entries[0].details == {"accounts": [1], "reason": "a leak", "seconds": DAY, "consent": True}
    assert [one.details.get("query") for one in entries[2:]] == ["x", "y"]
    assert {one.about for one in entries} == {("ann@example.org",)}


def test_nobody_consents_to_what_they_ask_for(opened) -> None:
    number = asked(opened).number
    for decide in (operations.consent, operations.refuse):
        with pytest.raises(Refusal, match="somebody else"):
            decide(opened, Operator(AUDITOR), number)
    operations.refuse(opened, Operator(SECOND), number)
    with pytest.raises(Refusal, match="it is refused"):
        operations.consent(opened, Operator(SECOND), number)


def test_a_grant_is_for_the_one_who_has_asked(opened) -> None:
    number = asked(opened).number
    operations.consent(opened, Operator(SECOND), number)
    with pytest.raises(Refusal, match=r"not for second@example\.org"):
        operations.look(opened, Operator(SECOND), number, "searched")
    assert opened.tip()[0] == 2


def test_without_consent_it_begins_at_once_and_can_be_ended(opened, hands) -> None:
    grant = asked(opened, consent=False)
    assert grant.state(hands.now) == "open"
    hands.now += 10
    operations.end(opened, Operator(SECOND), grant.number)
    with pytest.raises(Refusal, match="it is over"):
        operations.look(opened, Operator(AUDITOR), grant.number, "searched")
    with pytest.raises(Refusal, match="it is over"):
        operations.end(opened, Operator(SECOND), grant.number)
    (row,) = operations.listed(opened, Operator(SECOND), hands.now)
    assert (row.state, row.until.timestamp()) == ("over", hands.now)


def test_consent_cannot_come_too_late(opened, hands) -> None:
    number = asked(opened).number
    hands.now += PATIENCE
    with pytest.raises(Refusal, match="it is lapsed"):
        operations.consent(opened, Operator(SECOND), number)


@pytest.mark.parametrize(
    ("whose", "reason", "seconds", "why"),
    [
        ([ANN], "", DAY, "write a reason"),
        ([ANN], " \n", DAY, "write a reason"),
        ([ANN], "x" * (LONGEST_REASON + 1), DAY, "write a reason"),
        ([], "a leak", DAY, "say whose mail"),
        ([ANN], "a leak", 7 * DAY + 1, "lasts 7 days at most"),
        ([ANN], "a leak", 0.0, "lasts 7 days at most"),
    ],
)
def test_what_is_no_grant(opened, whose, reason, seconds, why) -> None:
    with pytest.raises(Refusal, match=re.escape(why)):
        operations.ask(opened, Settings(), Operator(AUDITOR), whose, reason, seconds=seconds)
    assert opened.tip()[0] == 0


@pytest.mark.parametrize("number", [0, 7, -1, 2**63, 2**70])
def test_there_is_no_such_grant(opened, number) -> None:
    with pytest.raises(NoSuchGrant):
        operations.look(opened, Operator(AUDITOR), number, "searched")


def test_each_entry_is_told_in_the_log_of_the_server_as_well(opened) -> None:
    told = []
    by = Operator(AUDITOR, note=lambda name, **values: told.append((name, values)))
    operations.ask(opened, Settings(), by, [ANN, BOB], "a leak", seconds=DAY)
    ((name, values),) = told
    number, digest = opened.tip()
    assert name == "audited"
    assert values == {
        "by": AUDITOR,
        "number": number,
        "what": "grant-asked",
        "about": ["ann@example.org", "bob@example.org"],
        "hash": digest,
    }
