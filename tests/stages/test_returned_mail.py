"""The stage `returned_mail`: reports that come back to an address for one recipient."""

import re
import time

import pytest

from engine import Discard, Each, Envelope, Message, MessageId, Recipient
from engine.message import Octets
from engine.return_path import ReturnPaths, Verp
from engine.return_path.hearing import Bounce, Hearing
from stages.returned_mail import ReturnedMail
from tests.delivery_status import bounce_samples as samples

VERP = Verp("bounces@example.org", (b"secret",), 21 * 86_400.0, frozenset({"example.org"}))
KEEPS = Verp("bounces@example.org", (b"secret",), 21 * 86_400.0, frozenset({"example.org"}), keep=True)
SENT = MessageId.new()
BOB, NAMED = "bob@far.example", str(SENT)[:16]


def report(*to: str, octets: bytes = samples.POSTFIX) -> Message:
    recipients = tuple(map(Recipient, to))
    return Message(MessageId.new(), Envelope("", recipients, arrived=time.time()), Octets(octets))


@pytest.fixture
def heard() -> list[Bounce]:
    return []


@pytest.fixture
def stage(heard: list[Bounce]) -> ReturnedMail:
    async def hear(bounce: Bounce) -> None:
        heard.append(bounce)

    return ReturnedMail(ReturnPaths(verp=VERP), Hearing([hear]))


@pytest.mark.parametrize("recipient", [BOB, "Robert@far.example", "BOB@Far.Example"])
async def test_a_report_is_tied_to_recipient_and_message(stage, heard, capfd, recipient) -> None:
    address = VERP.sign(SENT, recipient)
    about = report(address)
    assert await stage(about) == Each({address: Discard("a report that was read")})
    (bounce,) = heard
    assert (bounce.recipient.lower(), bounce.message, bounce.sent) == (recipient.lower(), NAMED, SENT.time)
    assert (bounce.status.action, bounce.status.status, bounce.status.remote) == ("failed", "5.1.1", "mx.far.example")
    assert (bounce.reporter, bounce.envelope_id, bounce.message_id) == ("mx.example.net", "QQ+314", "<1@example.org>")
    said = capfd.readouterr().err
    assert re.search(r'"event": ?"returned"', said)
    assert NAMED in said


async def test_of_several_in_a_report_each_address_gets_its_own(stage, heard) -> None:
    addresses = [VERP.sign(SENT, to) for to in (BOB, "eve@far.example", "unknown@far.example")]
    await stage(report(*addresses))
    assert [(one.recipient, one.status.action) for one in heard] == [
        (BOB, "failed"),
        ("eve@far.example", "delayed"),
        ("unknown@far.example", "failed"),  # it has another name there, and the worst is told
    ]


async def test_where_the_address_had_no_room_the_report_says_whom(stage, heard) -> None:
    await stage(report(VERP.sign(SENT, f"{'l' * 60}@far.example")))
    assert [one.recipient for one in heard] == ["Robert@far.example", "eve@far.example"]
    assert {one.message for one in heard} == {NAMED}


async def test_others_who_get_it_too_still_do(stage) -> None:
    address = VERP.sign(SENT, BOB)
    verdict = await stage(report("ann@example.org", address))
    assert verdict == Each({address: Discard("a report that was read")})


async def test_it_may_be_kept(heard, stage) -> None:
    stage._returns.verp = KEEPS
    about = report(VERP.sign(SENT, BOB))
    assert await stage(about) is about
    assert len(heard) == 1


@pytest.mark.parametrize("octets", [b"Subject: out of office\r\n\r\nBack on Monday.\r\n", b""])
async def test_what_is_no_report_goes_on_and_is_said(stage, heard, capfd, octets) -> None:
    about = report(VERP.sign(SENT, BOB), octets=octets)
    assert await stage(about) is about
    assert heard == []
    assert re.search(r'"event": ?"returned-unread"', capfd.readouterr().err)


async def test_nothing_is_read_that_came_to_another_address(stage, heard) -> None:
    forged = VERP.sign(SENT, BOB).replace("=bob=", "=eve=")
    about = report("ann@example.org", forged, "bounces@example.org")
    assert await stage(about) is about
    assert heard == []
    stage._returns.verp = None
    assert await stage(about) is about


async def test_a_listener_that_fails_has_the_report_read_again(stage) -> None:
    async def fail(_: Bounce) -> None:
        raise OSError("no room")

    stage._hearing.listeners.append(fail)
    with pytest.raises(OSError, match="no room"):  # which the engine makes a deferral of
        await stage(report(VERP.sign(SENT, BOB)))


async def test_a_large_report_is_read_too(stage, heard) -> None:
    status = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; b@x.example\nAction: failed\n"
    octets = samples.mime("x" * 500_000, status)
    await stage(report(VERP.sign(SENT, BOB), octets=octets))
    assert [one.status.action for one in heard] == ["failed"]


@pytest.mark.parametrize("octets", [samples.POSTFIX, b"Subject: out of office\r\n\r\nBack on Monday.\r\n"])
async def test_a_rehearsal_says_the_same_and_nobody_hears_of_it(stage, heard, capfd, octets) -> None:
    about = report("ann@example.org", VERP.sign(SENT, BOB), octets=octets)
    said = await stage.rehearse(about)
    assert (heard, capfd.readouterr().err) == ([], "")
    assert said == await stage(about)
    stage._returns.verp = KEEPS
    assert await stage.rehearse(about) is about
