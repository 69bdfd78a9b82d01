"""The filter as a scanner: thresholds, the fields that it adds, accounts, and what it does when the store is broken."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from engine.directory import Embedded
from engine.scanning import Unreachable
from engine.spam import SERVER, Case, Letter, SpamFilter, SpamTerms, Words, judged, lesson, teach
from engine.spam.judge import ENOUGH, OWN
from engine.spam.rules.body import GTUBE
from engine.spam.starter import starter
from tests.support.messages import message

BOB = "bob@example.org"
SPAM = b"cheap pills for you, order now without prescription, limited offer"
HAM = b"minutes of the meeting, agenda for tomorrow, thanks to all of you"
SECTION = b"From: a@sender.test\r\nTo: %s\r\nDate: Thu, 1 Jan 1970 00:10:00 +0000\r\nMessage-ID: <%d@sender.test>\r\n"


def letter(body: bytes, number: int = 0) -> bytes:
    return SECTION % (BOB.encode(), number) + b"Subject: hello\r\n\r\n" + body + b"\r\n"


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Words]:
    with Words.open(tmp_path / "spam") as words:
        yield words


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ("example.org",)) as directory:
        yield directory


class Learn(Protocol):
    def __call__(self, owner: int, many: int, *, turned: bool = False) -> None: ...


@pytest.fixture
def learn(words: Words) -> Learn:
    def learn(owner: int, many: int, *, turned: bool = False) -> None:
        for kind, body in (("spam", SPAM), ("ham", HAM)):
            said = ("ham" if kind == "spam" else "spam") if turned else kind
            letters = (Letter((letter(body + b" %d" % number, number),)) for number in range(many))
            teach(words, (one for each in letters for one in lesson(each, said, [owner])))  # type: ignore[arg-type]

    return learn


def filtered(words: Words, directory: Embedded, **terms: object) -> SpamFilter:
    return SpamFilter(lambda: words, directory, SpamTerms(**terms))  # type: ignore[arg-type]


async def test_spam_is_marked_and_ham_is_not(words: Words, directory: Embedded, learn: Learn) -> None:
    learn(SERVER, ENOUGH.spam)
    spam = message(content=letter(SPAM))
    found = await filtered(words, directory).scan(spam)
    assert found.action == "none"
    assert (found.score or 0) >= 5
    assert found.symbols["BAYES_SPAM"] > 5
    assert found.facts["junk"] is True
    marked = found.edits.applied(spam)
    assert marked.header("X-Spam-Flag") == "YES"
    assert (marked.header("X-Spam-Status") or "").startswith("Yes, score=")
    ham = message(content=letter(HAM))
    found = await filtered(words, directory).scan(ham)
    assert found.symbols == {"BAYES_HAM": -3.0}
    assert found.facts["junk"] is False
    marked = found.edits.applied(ham)
    assert marked.header("X-Spam-Flag") is None
    assert (marked.header("X-Spam-Status") or "").startswith("No, score=-3.0 required=5.0 tests=BAYES_HAM=-3")


async def test_fields_of_the_sender_do_not_go_on(words: Words, directory: Embedded) -> None:
    forged = message(content=b"X-Spam-Flag: YES\r\nX-Spam-Status: No, score=-99\r\n" + letter(HAM))
    marked = (await filtered(words, directory).scan(forged)).edits.applied(forged)
    assert marked.headers("X-Spam-Flag") == []
    assert len(marked.headers("X-Spam-Status")) == 1
    assert "-99" not in (marked.header("X-Spam-Status") or "")


async def test_what_it_has_learnt_counts_once_it_is_enough(words: Words, learn: Learn) -> None:
    case = Case(Letter((letter(SPAM),)))
    before = judged(case, words).opinion
    learn(SERVER, ENOUGH.spam - 1)
    assert judged(case, words).opinion == before
    learn(SERVER, ENOUGH.spam)
    assert judged(case, words).opinion.probability > before.probability


MORTGAGE = b"""Congratulations! You have been approved. Consolidate your debts and refinance your mortgage today at
the lowest rates: lenders compete for your loan, and no credit check is needed. Absolutely free, there is no obligation.
Click here to claim. You receive these mailings because you are subscribed; click below to be removed.
"""
MEETING = b"""I have read the patch that you sent to the list. It compiles, but the second test fails for me with
an error in the parser: perhaps the script does not handle an empty header. Could you try whether the latest
kernel changes that? If so, I think we should revert it before the release. See you at the meeting on Tuesday, thanks.
"""


async def test_a_fresh_filter_marks_plain_spam_and_refuses_nothing(words: Words, directory: Embedded) -> None:
    fresh = filtered(words, directory)
    spam, ham = [await fresh.scan(message(content=letter(body))) for body in (MORTGAGE, MEETING)]
    assert (spam.action, spam.facts["junk"]) == ("none", True)
    assert (ham.action, ham.facts["junk"]) == ("none", False)


def test_what_it_begins_with_weighs_less_than_what_was_learnt(words: Words, learn: Learn) -> None:
    case = Case(Letter((letter(MORTGAGE),)))
    assert judged(case, words).opinion.word == "spam"
    teach(
        words,
        (
            one
            for number in range(ENOUGH.ham)
            for one in lesson(Letter((letter(MORTGAGE + b" %d" % number, number),)), "ham", [SERVER])
        ),
    )
    learn(SERVER, ENOUGH.spam)
    assert judged(case, words).opinion.word == "ham"


def test_the_words_are_words() -> None:
    assert len(starter()) > 4000
    for token, probability in starter().items():
        assert 0 <= probability <= 1
        assert token.removeprefix("subject:").replace("'", "").isalpha() or token.startswith(("markup:", "part:"))


async def test_what_is_certain_is_refused(words: Words, directory: Embedded) -> None:
    gtube = message(content=letter(GTUBE.encode()))
    found = await filtered(words, directory).scan(gtube)
    assert (found.action, found.code) == ("reject", "5.7.1")
    assert (await filtered(words, directory, reject=0).scan(gtube)).action == "none"


async def test_thresholds_and_weights_are_settings(words: Words, directory: Embedded) -> None:
    bare = message(content=b"Subject: x\r\n\r\nhello\r\n")
    found = await filtered(words, directory, mark=3).scan(bare)
    assert found.facts["junk"] is True
    assert (await filtered(words, directory, mark=0).scan(bare)).facts["junk"] is False
    assert (await filtered(words, directory, reject=3).scan(bare)).action == "reject"
    found = await filtered(words, directory, weights={"NO_FROM": 0, "NO_DATE": 9}).scan(bare)
    assert "NO_FROM" not in found.symbols
    assert found.symbols["NO_DATE"] == 9
    with pytest.raises(ValueError, match="NO_SUCH"):
        SpamTerms(weights={"NO_SUCH": 1})


async def test_an_account_has_the_last_word_on_its_own_mail(words: Words, directory: Embedded, learn: Learn) -> None:
    directory.add_account(BOB, "secret-password")
    bob = directory.account(BOB)
    assert bob is not None
    learn(SERVER, ENOUGH.spam)
    learn(bob.id, OWN.spam + 10, turned=True)
    spam = letter(SPAM)
    assert (await filtered(words, directory).scan(message(BOB, content=spam))).facts["junk"] is False
    for found in (
        await filtered(words, directory).scan(message("eve@example.org", content=spam)),
        await filtered(words, directory).scan(message(BOB, "eve@example.org", content=spam)),
        await filtered(words, directory, per_account=False).scan(message(BOB, content=spam)),
    ):
        assert found.facts["junk"] is True


async def test_a_store_that_cannot_be_read_is_a_scanner_that_does_not_answer(words: Words, directory: Embedded) -> None:
    broken = filtered(words, directory)
    words.close()
    with pytest.raises(Unreachable):
        await broken.scan(message(content=letter(SPAM)))


def test_an_account_alone_may_know_enough(words: Words, learn: Learn) -> None:
    learn(7, OWN.spam)
    case = Case(Letter((letter(SPAM),)))
    assert judged(case, words, 7).opinion.word == "spam"
    assert judged(case, words).opinion.probability < judged(case, words, 7).opinion.probability
