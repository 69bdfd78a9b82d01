"""What scripts send because of a message: copies that go on, answers, notices, refusals; each once."""

import pytest
import trio
from office import ANN, BEN, LETTER, STRANGER, Office, letter

from engine import Defer, Delivered, Discard, Message, Recipient, Reject, Verdict
from engine.config import Sieve
from engine.mailbox import Outcome
from engine.sorting.sorter import Rules

DELIVERED = Delivered("delivered to mailbox")
VACATION = 'require "vacation"; vacation "I am away";'


def sent(verdict: Verdict) -> tuple[Message, ...]:
    assert isinstance(verdict, Delivered)
    return verdict.sends


def octets(message: Message) -> bytes:
    return b"".join(message.chunks())


async def test_a_message_is_redirected_as_it_is(office: Office) -> None:
    await office.script('redirect "far@example.net";')
    message = letter(Recipient(ANN, notify="FAILURE", original="rfc822;a@example.org"), prepended=b"X-Seen: by us\r\n")
    verdict = await office.deliver(message)
    (copy,) = sent(verdict)
    assert copy.sender == STRANGER
    assert copy.envelope.recipients == (Recipient("far@example.net", "FAILURE", "rfc822;a@example.org"),)
    assert octets(copy) == b"Delivered-To: ann@example.org\r\nX-Seen: by us\r\n" + LETTER
    assert copy.content is message.content
    assert copy.id != message.id
    assert office.folders() == {}


async def test_a_copy_that_is_redirected_is_kept_and_may_be_edited(office: Office) -> None:
    await office.script('require ["copy", "editheader"]; addheader "X-A" "1"; redirect :copy "far@example.net";')
    (copy,) = sent(await office.deliver())
    assert octets(copy) == b"Delivered-To: ann@example.org\r\nX-A: 1\r\n" + LETTER
    assert office.folders() == {"INBOX": 1}


@pytest.mark.parametrize("trace", ["ann@example.org", "Ann@EXAMPLE.org"])
async def test_a_loop_ends_in_the_inbox(office: Office, trace: str) -> None:
    await office.script('redirect "far@example.net";')
    assert sent(await office.deliver(letter(content=b"Delivered-To: %s\r\n" % trace.encode() + LETTER))) == ()
    assert office.folders() == {"INBOX": 1}
    assert len(sent(await office.deliver(letter(content=b"Delivered-To: a@example.org\r\n" + LETTER)))) == 1


async def test_scripts_send_so_much_a_day(office: Office) -> None:
    office.sorter.rules = Rules(Sieve(sends_per_day=3))
    await office.script('require "enotify"; redirect "far@example.net"; notify "mailto:a@example.net";')
    counts = [len(sent(await office.deliver())) for _ in range(3)]
    assert counts == [2, 1, 0]
    assert office.folders() == {"INBOX": 1}
    office.clock.now += 86_401
    assert len(sent(await office.deliver())) == 2


async def test_who_was_not_answered_for_that_is_answered_later(office: Office) -> None:
    office.sorter.rules = Rules(Sieve(sends_per_day=0))
    await office.script(VACATION)
    assert sent(await office.deliver()) == ()
    office.sorter.rules = Rules()
    assert len(sent(await office.deliver())) == 1


async def test_an_answer_is_sent_once_in_its_time(office: Office) -> None:
    await office.script(VACATION)
    (answer,) = sent(await office.deliver())
    assert (answer.sender, answer.recipients) == ("", (STRANGER,))
    text = octets(answer)
    for field in (b"To: sue@example.net", b"From: ann@example.org", b"Auto-Submitted: auto-replied", b"\r\nI am away"):
        assert field in text
    assert text.startswith(b"Date: ")
    assert f"Message-ID: <{answer.id}@mx.example.org>".encode() in text
    assert sent(await office.deliver()) == ()
    assert len(sent(await office.deliver(letter(sender="joe@example.net")))) == 1
    office.clock.now += 7 * 86_400
    assert len(sent(await office.deliver())) == 1
    assert office.folders() == {"INBOX": 4}


async def test_many_messages_at_once_get_one_answer(office: Office) -> None:
    await office.script(VACATION)
    counts: list[int] = []

    async def one() -> None:
        counts.append(len(sent(await office.deliver())))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(one)
    assert sorted(counts) == [0, 0, 0, 0, 0, 1]


async def test_no_answer_to_a_message_that_has_no_room(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await office.script(VACATION)
    deliver = office.owner.deliver

    async def full(message: Message, recipients: dict[int, object], variants: object) -> dict[int, Outcome]:
        return dict.fromkeys(recipients, Outcome.OVER_QUOTA)

    monkeypatch.setattr(office.owner, "deliver", full)
    assert isinstance(await office.deliver(), Defer)
    monkeypatch.setattr(office.owner, "deliver", deliver)
    assert len(sent(await office.deliver())) == 1


async def test_who_asks_again_hears_the_same(office: Office) -> None:
    """A crash came between the delivery and the queue's hearing of it; meanwhile the script was changed."""
    await office.script(
        'require ["vacation", "copy", "editheader"]; vacation "away"; redirect :copy "far@example.net";'
    )
    message = letter()
    first = await office.deliver(message)
    await office.script("discard;")
    assert await office.deliver(message) == first
    assert [octets(one) for one in sent(await office.deliver(message))] == [octets(one) for one in sent(first)]
    assert office.folders() == {"INBOX": 1}


async def test_a_notice(office: Office) -> None:
    await office.script('require "enotify"; notify :message "new mail" "mailto:phone@example.net";')
    (notice,) = sent(await office.deliver())
    assert (notice.sender, notice.recipients) == ("", ("phone@example.net",))
    assert b"Auto-Submitted: auto-notified; owner-email=ann@example.org" in octets(notice)
    assert office.folders() == {"INBOX": 1}


@pytest.mark.parametrize("command", ["reject", "ereject"])
@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (letter(), Reject("no, thanks", log="by a script of the recipient's")),
        (letter(**{"dmarc.result": "fail"}), Reject("no, thanks", log="by a script of the recipient's")),
        (letter(sender=""), DELIVERED),
        (
            letter(**{"spf.result": "fail"}),
            Discard("refused by a script of the recipient's, and the sender is forged"),
        ),
    ],
)
async def test_refusals(office: Office, command: str, message: Message, verdict: Verdict) -> None:
    await office.script(f'require "{command}"; {command} "no,\n thanks";')
    assert await office.deliver(message) == verdict
    await office.script("keep;")
    assert await office.deliver(message) == (Delivered("delivered already") if verdict == DELIVERED else verdict)
    assert office.folders() == ({"INBOX": 1} if verdict == DELIVERED else {})


async def test_one_sends_and_another_keeps(office: Office) -> None:
    await office.script('redirect "far@example.net";')
    verdict = await office.deliver(letter(ANN, BEN))
    assert [len(sent(one)) for one in verdict.verdicts.values()] == [1, 0]  # type: ignore[union-attr, arg-type]
