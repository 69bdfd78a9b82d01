"""Findings: which one decides, what is known of them later, and the changes of the header section."""

import pytest

from engine.message import Message
from engine.scanning import ALL, NOTHING, Action, Edits, Finding, decisive, facts
from tests.support.messages import message

LETTER = (
    b"X-Spam: first\r\nFrom: a@sender.test\r\nX-Spam: second,\r\n\tfolded\r\nSubject: hello\r\nx-spam: third\r\n\r\n"
    b"X-Spam: body\r\n"
)


def fields(letter: Message) -> list[str]:
    return letter.header_octets().decode().splitlines()


@pytest.mark.parametrize(
    ("actions", "decides"),
    [
        (("none", "none"), "none"),
        (("none", "quarantine"), "quarantine"),
        (("quarantine", "defer"), "defer"),
        (("defer", "reject"), "reject"),
        (("discard", "defer"), "discard"),
    ],
)
def test_the_stronger_decides(actions: tuple[Action, ...], decides: Action) -> None:
    found = {str(number): Finding(action=action) for number, action in enumerate(actions)}
    assert decisive(found).action == decides
    assert decisive(dict(reversed(found.items()))).action == decides


def test_the_first_of_two_that_want_the_same_decides() -> None:
    found = {name: Finding(action="reject", reason=name) for name in ("one", "other")}
    assert decisive(found).reason == "one"


def test_nothing_found_is_nothing() -> None:
    assert decisive({}) is NOTHING
    assert facts({}) == {"scan.action": "none"}


def test_facts_are_named_by_their_scanner() -> None:
    found = {
        "rspamd": Finding(score=4.5, percent=30, symbols={"R_ONE": 3, "R_TWO": 1.5}, facts={"action": "greylist"}),
        "clamav": Finding(action="reject", virus_level=5, facts={"virus": "Eicar"}),
        "bayes": Finding(score=-1, percent=95.5),
    }
    assert facts(found) == {
        "scan.action": "reject",
        "scan.score": 4.5,
        "spam.percent": 95.5,
        "virus.level": 5,
        "scan.rspamd.score": 4.5,
        "scan.rspamd.symbols": {"R_ONE": 3, "R_TWO": 1.5},
        "scan.rspamd.action": "greylist",
        "scan.clamav.virus": "Eicar",
        "scan.bayes.score": -1,
    }


def test_a_finding_is_told_in_one_line() -> None:
    told = str(Finding(action="reject", score=15.25, reason="Gtube", symbols={"GTUBE": 0, "R_DKIM": -0.2}))
    assert told == "reject score 15.25 Gtube GTUBE(0) R_DKIM(-0.2)"


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (ALL, []),
        (1, ["X-Spam: second,", "\tfolded", "x-spam: third"]),
        (2, ["X-Spam: first", "x-spam: third"]),
        (-1, ["X-Spam: first", "X-Spam: second,", "\tfolded"]),
        (-3, ["X-Spam: second,", "\tfolded", "x-spam: third"]),
        (4, ["X-Spam: first", "X-Spam: second,", "\tfolded", "x-spam: third"]),
    ],
)
def test_fields_are_removed_by_their_number(which: int, left: list[str]) -> None:
    edited = Edits(remove={"X-Spam": which}).applied(message(content=LETTER))
    assert [line for line in fields(edited) if not line.startswith(("From", "Subject"))] == left
    assert b"".join(edited.chunks()).endswith(b"\r\n\r\nX-Spam: body\r\n")


def test_fields_of_our_own_are_counted_too() -> None:
    letter = message(content=LETTER).with_header("X-Spam", "zeroth")
    assert fields(Edits(remove={"X-Spam": 1}).applied(letter))[0] == "X-Spam: first"
    assert fields(Edits(remove={"X-Spam": 2}).applied(letter))[:2] == ["X-Spam: zeroth", "From: a@sender.test"]


def test_fields_are_added_on_top_in_their_order() -> None:
    edits = Edits(add=(("X-Spam-Status", "Yes"), ("X-Spam-Report", "one,\n\ttwo")), remove={"X-Spam": ALL})
    assert fields(edits.applied(message(content=LETTER))) == [
        "X-Spam-Status: Yes",
        "X-Spam-Report: one, two",
        "From: a@sender.test",
        "Subject: hello",
    ]


def test_a_subject_is_written_anew() -> None:
    edited = Edits(subject="[SPAM] Grüße").applied(message(content=LETTER))
    assert edited.headers("Subject") == ["[SPAM] Grüße"]
    assert edited.header_octets().isascii()


def test_a_sender_is_replaced() -> None:
    assert Edits(sender="other@sender.test").applied(message()).sender == "other@sender.test"


def test_what_is_no_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="header field"):
        Edits(add=(("No name", "value"),))
    with pytest.raises(ValueError, match="header field"):
        Edits(remove={"": ALL})


def test_no_edits_change_nothing() -> None:
    letter = message()
    assert Edits().applied(letter) is letter
