"""Copies for journals: they are stored before the mail is, and where one cannot be stored the client hears 4xx."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from engine import Defer, Delivered, Each, Message, Quarantine, Reject, Verdict
from engine.message import JOURNAL
from engine.queue.content import Aside, FileContent
from engine.runtime.journey import Arrival
from engine.runtime.separate import SeparateArrival
from tests.support.journeys import arrive, through
from tests.support.messages import message

NOTE = [{"to": "journal@example.org", "from": "postmaster@example.org", "rules": ["all"]}]
B, C = "b@rcpt.test", "c@rcpt.test"


def noted(about: Message) -> Message:
    return about.with_fact(JOURNAL, NOTE)


async def answered(answers: list[Verdict]) -> Verdict:
    """What the client hears: threads work meanwhile."""
    while not answers:
        await trio.sleep(0.001)
    return answers[0]


def is_copy(about: Message) -> bool:
    return about.recipients == ("journal@example.org",)


def queue(broken: Callable[[Message], bool]) -> Callable[[Message], Verdict]:
    return lambda about: Defer("no room") if broken(about) else Delivered("stored")


async def test_the_copy_is_stored_before_the_mail() -> None:
    first = message(B, C)
    answers, roads = arrive(first, noted)
    assert await answered(answers) == Delivered(f"queued as {first.id}")
    copy, mail = roads.links["in/queue"].seen
    assert (is_copy(copy), mail.id, mail.recipients) == (True, first.id, (B, C))
    assert f"Recipient: {B}\r\nRecipient: {C}\r\n".encode() in bytes(copy.content)
    assert roads.inside == 0


async def test_mail_whose_copy_cannot_be_stored_is_not_stored_either() -> None:
    answers, roads = arrive(message(B), noted, queue=queue(is_copy))
    verdict = await answered(answers)
    assert isinstance(verdict, Defer)
    assert verdict.code == "4.3.1"
    assert "not journaled" in verdict.log
    assert [is_copy(one) for one in roads.links["in/queue"].seen] == [True]
    assert roads.inside == 0


async def test_a_copy_whose_mail_cannot_be_stored_says_nothing_of_the_answer() -> None:
    answers, _ = arrive(message(B), noted, queue=queue(lambda about: not is_copy(about)))
    assert isinstance(await answered(answers), Defer)


async def test_what_is_refused_has_no_copy_and_what_is_parked_has_one() -> None:
    answers, roads = arrive(message(B), lambda about: Reject("no"))
    assert isinstance(await answered(answers), Reject)
    assert roads.links["in/queue"].seen == []
    answers, roads = arrive(message(B), noted, lambda about: Quarantine("odd"))
    assert isinstance(await answered(answers), Delivered)
    assert [is_copy(one) for one in roads.links["in/queue"].seen] == [True, False]


async def test_parts_with_recipients_of_their_own_have_a_copy_each() -> None:
    answers, roads = arrive(message(B, C), noted, lambda about: Each({B: about.with_header("X", "b")}))
    assert isinstance(await answered(answers), Delivered)
    assert sorted(is_copy(one) for one in roads.links["in/queue"].seen) == [False, False, True, True]
    assert [is_copy(one) for one in roads.links["in/queue"].seen][:2] == [True, True]


async def test_a_large_copy_is_a_file_with_its_name(tmp_path: Path) -> None:
    first = message(B)
    answers, roads = arrive(first, noted, aside=Aside(tmp_path, 100))
    assert isinstance(await answered(answers), Delivered)
    copy = roads.links["in/queue"].seen[0]
    assert isinstance(copy.content, FileContent)
    assert copy.content.path == tmp_path / str(copy.id)
    assert copy.content.path.stat().st_size == copy.content.size
    assert b"".join(first.chunks()) in copy.content.path.read_bytes()


async def test_a_large_copy_that_is_not_stored_leaves_no_file(tmp_path: Path) -> None:
    answers, _ = arrive(message(B), noted, queue=queue(is_copy), aside=Aside(tmp_path, 100))
    assert isinstance(await answered(answers), Defer)
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_takes_no_copy_puts_the_mail_off(tmp_path: Path) -> None:
    answers, roads = arrive(message(B), noted, aside=Aside(tmp_path / "gone", 100))
    assert isinstance(await answered(answers), Defer)
    assert roads.links["in/queue"].seen == []


@pytest.mark.parametrize("kind", [Arrival, SeparateArrival])
async def test_several_places_are_served_before_the_mail(kind: type[Arrival]) -> None:
    two = [*NOTE, {"to": "archive@elsewhere.test", "from": "", "rules": ["second"]}]
    answers, roads = arrive(message(B), lambda about: about.with_fact(JOURNAL, two), through, kind=kind)
    assert isinstance(await answered(answers), Delivered)
    assert [one.recipients for one in roads.links["in/queue"].seen] == [
        ("journal@example.org",),
        ("archive@elsewhere.test",),
        (B,),
    ]
