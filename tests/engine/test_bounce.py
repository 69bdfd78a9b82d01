"""The report to the sender: what of the message and of its envelope stands in it."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest
from msgspec.structs import replace

from engine import Delivered, MessageId, Recipient, Reject
from engine.message import Message
from engine.queue.bounce import WHOLE_LIMIT, Failure, bounce
from tests.support.messages import LETTER, message

REFUSED = Reject("No such user", "5.1.1", reply="550 5.1.1 Unknown", remote="mx.rcpt.test")


def parts(about: Message, *failures: Failure) -> list[EmailMessage]:
    """The report, and the three parts of it."""
    found = bounce(
        MessageId(bytes(16)), "mx.test", about, failures or [Failure(Recipient("b@rcpt.test"), REFUSED)], 2000.0
    )
    report = cast(EmailMessage, message_from_bytes(found, policy=policy.default))
    return [report, *cast(list[EmailMessage], list(report.iter_parts()))]


def fields(about: Message, *failures: Failure) -> str:
    """What is told to programs, each field in a line."""
    return "\n".join(str(group) for group in cast(list[EmailMessage], parts(about, *failures)[2].get_payload()))


def with_envelope(**changes: object) -> Message:
    about = message()
    return replace(about, envelope=replace(about.envelope, **changes))


def test_the_report_goes_to_the_sender_and_names_itself() -> None:
    report, *_ = parts(message())
    assert (report["To"], report["Message-ID"]) == ("a@sender.test", f"<{MessageId(bytes(16))}@mx.test>")
    assert report["Date"] == "Thu, 01 Jan 1970 00:33:20 +0000"
    assert report["From"].endswith("<MAILER-DAEMON@mx.test>")


def test_what_is_told_of_a_refusal() -> None:
    told = fields(message())
    assert "Arrival-Date: Thu, 01 Jan 1970 00:16:40 +0000" in told
    assert "Final-Recipient: rfc822; b@rcpt.test\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.rcpt.test" in told
    assert "Diagnostic-Code: smtp; 550 5.1.1 Unknown\nLast-Attempt-Date: Thu, 01 Jan 1970 00:33:20 +0000" in told
    assert "Original-" not in told


@pytest.mark.parametrize(
    ("verdict", "action"),
    [
        (Delivered("250 2.0.0 queued", "mx.rcpt.test"), "relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.rcpt.test\nDiag"),
        (Delivered("250 ok", "mx.rcpt.test", tell="relayed"), "relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.rcpt.test"),
        (Delivered("250 ok", "store.test", tell="delivered"), "delivered\nStatus: 2.0.0\nRemote-MTA: dns; store.test"),
        (Delivered("stored"), "delivered\nStatus: 2.0.0\nLast-Attempt-Date"),
    ],
)
def test_what_is_told_of_a_success(verdict: Delivered, action: str) -> None:
    """RFC 3464 2.3.3: delivered is what has reached the mailbox; a server that confirms nothing has it relayed."""
    assert f"Action: {action}" in fields(message(), Failure(Recipient("b@rcpt.test"), verdict))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("plain", "plain"),
        ("a+2B20b", "a+20b"),  # decoded once: twice would be "a b"
        ("a+20b", "a b"),
        ("caf+C3+A9", "caf+C3+A9"),
        ("no+xtext", "no+xtext"),
    ],
)
def test_the_identifier_of_the_envelope_is_told_in_clear(given: str, told: str) -> None:
    """RFC 3461 6.3 (a)."""
    assert f"Original-Envelope-Id: {told}\n" in fields(with_envelope(envid=given))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("rfc822;ann+2B2024@old.test", "rfc822; ann+2024@old.test"),
        ("rfc822;a+3Bb@old.test", "rfc822; a;b@old.test"),
        ("x400;/C+3Dde/", "x400; /C=de/"),
        ("utf-8;\\x{E9}@old.test", "utf-8; \\x{E9}@old.test"),  # RFC 6533 3: the rest of the report is ASCII
        ("utf-8;é@old.test", "utf-8; é@old.test"),
    ],
)
def test_the_recipient_that_the_sender_named_is_told_in_clear(given: str, told: str) -> None:
    found = bounce(
        MessageId(bytes(16)), "mx.test", message(), [Failure(Recipient("b@rcpt.test", original=given), REFUSED)], 2000.0
    )
    assert f"Original-Recipient: {told}\r\n".encode() in found


@pytest.mark.parametrize(
    ("ret", "size", "whole"),
    [
        ("FULL", WHOLE_LIMIT, True),
        ("full", 100, True),
        ("FULL", WHOLE_LIMIT + 1, False),
        ("HDRS", 100, False),
        ("", 100, False),
    ],
)
def test_how_much_of_the_message_comes_back(ret: str, size: int, whole: bool) -> None:
    about = message(content=LETTER + b"x" * (size - len(LETTER) - 2) + b"\r\n")
    about = replace(about, envelope=replace(about.envelope, ret=ret))
    assert about.size == size
    returned = parts(about)[3]
    assert returned.get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")
    content = returned.as_bytes().replace(b"\n", b"\r\n") if b"\r\n" not in returned.as_bytes() else returned.as_bytes()
    assert b"Subject: hello" in content
    assert (b"xxxx" in content) == whole


def test_the_fields_that_we_put_before_a_message_come_back_with_it() -> None:
    found = bounce(MessageId(bytes(16)), "mx.test", with_envelope(ret="FULL").with_header("X-Mark", "1"),
                   [Failure(Recipient("b@rcpt.test"), REFUSED)], 2000.0)  # fmt: skip
    assert b"\r\n\r\nX-Mark: 1\r\n" + LETTER in found
