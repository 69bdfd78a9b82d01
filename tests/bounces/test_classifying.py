"""Classes of replies: a corpus of real ones, what patterns may say, and that no text takes long."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bounces import CLASSES, BadPatterns, Classifier, Heard, classifier, usual
from engine.bounces.heard import LONGEST
from engine.bounces.patterns import ours, parse
from engine.bounces.phrases import GAP, Phrases

DATA = Path(__file__).parent / "data"

HELD_OUT = 0.80
"""The part of replies right that the patterns were not written by. docs/bounces.md has the figure."""


def corpus(name: str) -> Iterator[tuple[str, str]]:
    """(class, reply) of each line."""
    for line in (DATA / name).read_text().splitlines():
        if not line.startswith("#"):
            which, _, text = line.split("\t")
            yield which, text


def test_the_corpus_is_large_and_of_classes_that_are_there() -> None:
    train, held_out = list(corpus("replies-train.tsv")), list(corpus("replies-holdout.tsv"))
    assert len({text for _, text in train}) > 600
    assert len({text for _, text in held_out}) > 60
    assert not {text for _, text in train} & {text for _, text in held_out}
    assert {which for which, _ in train} <= CLASSES.keys()
    missing = CLASSES.keys() - {which for which, _ in train}
    assert missing == {"complaint", "suppressed"}  # the one comes by reports, the other from ourselves


def test_every_reply_that_the_patterns_were_written_by() -> None:
    known = usual()
    wrong = [(which, known.classify(text).name, text) for which, text in corpus("replies-train.tsv")]
    assert [one for one in wrong if one[0] != one[1]] == []


def test_replies_that_nobody_has_looked_at() -> None:
    known = usual()
    right = Counter(known.classify(text).name == which for which, text in corpus("replies-holdout.tsv"))
    assert right[True] / right.total() >= HELD_OUT


@pytest.mark.parametrize(
    ("text", "name", "retry"),
    [
        ("550 5.1.1 User unknown", "invalid-recipient", "never"),
        ("450 4.1.1 User unknown", "invalid-recipient", "usual"),
        ("452 4.2.2 Mailbox full", "mailbox-full", "patient"),
        ("451 4.7.1 Greylisted, come again", "greylist", "soon"),
        ("421 4.7.0 Too many connections", "rate", "usual"),
        ("No connection to mx.example.net [192.0.2.1]: Connection refused", "connection", "usual"),
        ("smtp; 552 5.2.2 Mailbox full", "mailbox-full", "never"),
        ("something quite new", "unknown", "usual"),
    ],
)
def test_when_to_try_again(text: str, name: str, retry: str) -> None:
    found = usual().classify(text)
    assert (found.name, found.retry) == (name, retry)
    assert found.permanent == (retry == "never")


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("550 5.1.1 No", Heard(550, "5.1.1", "no")),
        ("550-5.1.1 The account\r\n550 5.1.1 does not exist", Heard(550, "5.1.1", "the account does not exist")),
        ("host mx.example.net[192.0.2.1] said: 451 4.3.0 Oops (in reply to RCPT TO command)",
         Heard(451, "4.3.0", "host mx.example.net[192.0.2.1] said: oops (in reply to rcpt to command)", "recipient")),
        ("SMTP error from remote mail server after end of data: 554 Spam",
         Heard(554, "", "smtp error from remote mail server after end of data: 554 spam", "content")),
        ("sorry, no such name (#5.1.1)", Heard(0, "5.1.1", "sorry, no such name (#5.1.1)")),
        ("421 From 192.0.2.1 deferred - 4.16.55.1", Heard(421, "", "421 from 192.0.2.1 deferred - 4.16.55.1")),
        ("Our limit is 450 messages", Heard(0, "", "our limit is 450 messages")),
        ("", Heard()),
    ],
)  # fmt: skip
def test_what_is_heard(text: str, heard: Heard) -> None:
    assert Heard.of(text) == heard


def test_codes_that_come_beside_the_text() -> None:
    assert usual().classify("go away", code=550, phase="connect").name == "reputation"
    assert usual().classify("go away", code=550, phase="recipient").name == "invalid-recipient"
    assert usual().classify("go away", status="5.2.2").name == "mailbox-full"
    assert usual().classify("550 5.1.1 go away", code=421, status="4.2.2").name == "invalid-recipient"


# -- phrases


def _naive(phrases: list[str], text: str) -> set[int]:
    """By an expression for each: what `Phrases` finds at once, wherever gaps are short enough to leave no choice."""
    found = set()
    for number, phrase in enumerate(phrases):
        pieces = [re.escape(piece) for piece in phrase.split("*")]
        begin = r"(?<![^\W_])" if phrase[0].isascii() and phrase[0].isalnum() else ""
        if re.search(begin + f".{{0,{GAP}}}".join(pieces), text, re.DOTALL):
            found.add(number)
    return found


@given(st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=8), st.text("ab ", max_size=40))
def test_phrases_are_found_as_one_by_one(phrases: list[str], text: str) -> None:
    assert set(Phrases(phrases).found(text)) == _naive(phrases, text)


@pytest.mark.parametrize(
    ("phrase", "text", "there"),
    [
        ("mailbox * full", "the mailbox of ann is full", True),
        ("mailbox * full", "full is the mailbox", False),
        ("mailbox * full", f"mailbox {'x' * (GAP + 1)} full", False),
        ("mailbox * full", f"mailbox {'x' * GAP} full", True),
        ("mailbox * full", f"mailbox {'x' * 200} mailbox is full", True),
        ("a*b*c", "a b c", True),
        ("a*b*c", "a c b", False),
        ("sent", "absent", False),
        ("sent", "un-sent", True),
        ("(rtr:", "554- (rtr:du)", True),
    ],
)
def test_a_phrase(phrase: str, text: str, there: bool) -> None:
    assert bool(set(Phrases([phrase]).found(text))) == there


def test_the_length_of_a_text_is_bounded() -> None:
    """What is hostile is as short as what is not, and goes through every automaton once."""
    for piece in ("a", "mailbox ", "550-5.1.1 ", "(#", "\n", "x full ", "\N{RIGHT SINGLE QUOTATION MARK}", "ß"):
        heard = Heard.of(f"550 {piece * 200_000}")
        assert len(heard.text) <= 2 * LONGEST  # lower case may be longer
        assert usual().of(heard).name in CLASSES


def test_any_octets_have_a_class() -> None:
    dice = random.Random(41)
    for _ in range(300):
        text = "".join(
            chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) for _ in range(dice.randrange(80))
        )
        assert usual().classify(text).name in CLASSES


# -- patterns of an operator


def test_the_patterns_of_an_operator_count_before_ours(tmp_path: Path) -> None:
    path = tmp_path / "bounce-patterns.toml"
    path.write_text(
        '[[pattern]]\nclass = "rate"\ntexts = ["User Unknown to the Night Shift"]\n'
        '[[pattern]]\nclass = "greylist"\nmatch = ["ticket [0-9]+ (open|new)$"]\ncodes = ["4"]\n'
        '[[pattern]]\nclass = "policy"\nstatus = ["x.9.9"]\nphases = ["recipient"]\n'
    )
    known = classifier(path)
    assert known.classify("550 user unknown to the night shift").name == "rate"
    assert known.classify("550 user unknown").name == "invalid-recipient"
    assert known.classify("450 Ticket 7 OPEN").name == "greylist"
    assert known.classify("550 ticket 7 open").name == "invalid-recipient"
    assert known.classify("450 4.9.9 what", phase="recipient").name == "policy"


OWN = """
[[class]]
name = "x-night-shift"
about = "source"
retry = "patient"

[[class]]
name = "x-gone"
permanent = true

[[pattern]]
class = "x-night-shift"
texts = ["night shift"]

[[pattern]]
class = "x-gone"
texts = ["has moved on"]
"""


def test_classes_of_an_operator_are_used_as_ours_are(tmp_path: Path) -> None:
    path = tmp_path / "bounce-patterns.toml"
    path.write_text(OWN)
    known = classifier(path)
    found = known.classify("450 our night shift sleeps")
    assert (found.name, found.which.about, found.permanent, found.retry) == (
        "x-night-shift",
        "source",
        False,
        "patient",
    )
    assert known.classify("550 our night shift sleeps").permanent
    assert [known.classify("she has moved on").permanent, known.classify("night shift").permanent] == [True, False]


def test_an_expression_of_an_operator_takes_time_in_proportion() -> None:
    """`(a+)+$` has Python's own engine go back and try again for longer than anybody lives."""
    known = Classifier(parse('[[pattern]]\nclass = "rate"\nmatch = ["(a+)+$", "(a|a)*b"]\n').patterns)
    assert known.classify(f"550 {'a' * 1500}!").name == "unknown"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[pattern]]\nclass = "spamm"\ntexts = ["x"]', "pattern 1: there is no class spamm"),
        ('[[pattern]]\nclass = "rate"', "pattern 1: it has no condition, and would fit everything"),
        ('[[pattern]]\nclass = "rate"\ntexts = ["*"]', "pattern 1: '*' would be found in everything"),
        ('[[pattern]]\nclass = "rate"\nmatch = ["(a"]', "pattern 1: "),
        ('[[pattern]]\nclass = "rate"\ntext = ["a"]', "unknown field"),
        ("[[pattern]", "line 1"),
        ('[[class]]\nname = "night"', "class 1: 'night' is no name for a class of your own, such as x-night-shift"),
        ('[[class]]\nname = "x-Night"', "class 1: "),
        ('[[class]]\nname = "x-a"\nabout = "moon"', "Invalid enum value 'moon'"),
        ('[[class]]\nname = "x-a"\n[[class]]\nname = "x-a"', "two classes have the same name"),
        ('[[pattern]]\nclass = "x-night"\ntexts = ["x"]', "pattern 1: there is no class x-night"),
    ],
)
def test_patterns_that_are_wrong(text: str, why: str) -> None:
    with pytest.raises(BadPatterns) as raised:
        parse(text)
    assert why in str(raised.value)


def test_our_patterns_are_written_as_they_are_compared() -> None:
    for pattern in ours():
        for text in pattern.texts:
            assert text == text.lower().lstrip()
            assert "  " not in text
