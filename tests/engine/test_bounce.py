"""The report to the sender: what of the message and of its envelope stands in it."""

from email.message import EmailMessage
from typing import cast

import pytest
from msgspec.structs import replace

from engine import Defer, Delivered, MessageId, Recipient, Reject, Session
from engine.message import Message
from engine.protocols.timing import UNTIMED, Timing
from engine.queue.bounce import ORDINARY, WHOLE_LIMIT, Failure, Letters, back, bounce, expanded, wants_report
from engine.wording import Languages
from tests.support.dsn_grammar import Report, strict
from tests.support.messages import LETTER, message

REFUSED = Reject("No such user", "5.1.1", reply="550 5.1.1 Unknown", remote="mx.rcpt.test")


def parts(about: Message, *failures: Failure) -> list[EmailMessage]:
    """The report, and the three parts of it."""
    letter = told(about, *failures).letter
    return [letter, *cast(list[EmailMessage], list(letter.iter_parts()))]


def told(about: Message, *failures: Failure, letters: Letters = ORDINARY) -> Report:
    """The report, which keeps to the grammar."""
    given = failures or [Failure(Recipient("b@rcpt.test"), REFUSED)]
    return strict(bounce(MessageId(bytes(16)), "mx.test", about, given, 2000.0, letters=letters))


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
    assert "Deliver-By" not in told
    assert "Future-Release" not in told


def test_what_was_asked_for_as_to_time_is_told_back() -> None:
    """RFC 2852 5, RFC 4865 6."""
    one = message()
    told = fields(replace(one, envelope=replace(one.envelope, timing=Timing(0, 1500.0, 1800.0, "R"))))
    assert "Deliver-By-Date: Thu, 01 Jan 1970 00:30:00 +0000\n" in told
    assert "Future-Release-Request: until; 1970-01-01T00:25:00Z\n" in told


@pytest.mark.parametrize(
    ("verdict", "action"),
    [
        (Delivered("250 2.0.0 queued", "mx.rcpt.test"), "relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.rcpt.test\nDiag"),
        (Delivered("250 ok", "mx.rcpt.test", tell="relayed"), "relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.rcpt.test"),
        (Delivered("250 ok", "mx.rcpt.test", tell="untimed"), "relayed\nStatus: 2.0.0\nRemote-MTA: dns; mx.rcpt.test"),
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
        ("utf-8;é+x@old.test", "utf-8; \\x{E9}\\x{2B}x@old.test"),
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


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([REFUSED], True),
        ([REFUSED, Delivered("stored")], True),
        ([Delivered("stored")], False),  # RFC 3461 4.3: RET is about failures
        ([Defer("busy", "4.2.0", reply="450 4.2.0 busy", remote="mx.rcpt.test")], False),
        ([Delivered(tell="expanded")], False),
    ],
)
def test_the_whole_message_comes_back_only_when_it_is_lost(
    verdicts: list[Reject | Delivered | Defer], whole: bool
) -> None:
    failures = [Failure(Recipient(f"{number}@rcpt.test"), verdict) for number, verdict in enumerate(verdicts)]
    returned = told(with_envelope(ret="FULL"), *failures).returned
    assert returned.get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")


def test_a_delay_says_until_when_it_is_tried() -> None:
    late = Defer("No server answers", "4.4.1", expires=90_000.0)
    report = told(message(), Failure(Recipient("b@rcpt.test"), late))
    assert (report.only["action"], report.only["status"]) == ("delayed", "4.4.1")
    assert report.only["will-retry-until"] == "Fri, 02 Jan 1970 01:00:00 +0000"
    assert report.only["diagnostic-code"] == "x-postroad; No server answers"
    assert "1970-01-02 01:00 UTC" in report.text


def test_several_outcomes_are_told_in_one_letter() -> None:
    failures = [
        Failure(Recipient("a@rcpt.test"), Delivered("stored")),
        Failure(Recipient("b@rcpt.test"), REFUSED),
        Failure(Recipient("c@rcpt.test"), Defer("busy", "4.2.0")),
        Failure(Recipient("all@rcpt.test"), Delivered(tell="expanded")),
    ]
    report = told(message(), *failures)
    assert [one["action"] for one in report.recipients] == ["delivered", "failed", "delayed", "expanded"]
    assert report.letter["Subject"] == "Your message could not be delivered"


def test_of_a_success_the_code_of_the_reply_is_told() -> None:
    known = Delivered("250 2.6.0 queued as 1", "mx.rcpt.test", tell="relayed")
    assert told(message(), Failure(Recipient("b@rcpt.test"), known)).only["status"] == "2.6.0"
    old = Delivered("250 ok", "mx.rcpt.test", tell="relayed")
    assert told(message(), Failure(Recipient("b@rcpt.test"), old)).only["status"] == "2.0.0"


@pytest.mark.parametrize(
    ("session", "said"),
    [
        (Session(peer="192.0.2.1", helo="client.test"), "dns; client.test (192.0.2.1)"),
        (Session(peer="2001:db8::1", helo="[IPv6:2001:db8::1]"), "dns; [IPv6:2001:db8::1] (2001:db8::1)"),
        (Session(peer="192.0.2.1", helo="bad (name"), "dns; unknown (192.0.2.1)"),
        (Session(), None),
    ],
)
def test_who_brought_the_message_is_told(session: Session, said: str | None) -> None:
    """RFC 3464 2.2.3."""
    assert told(with_envelope(session=session)).message.get("received-from-mta") == said


@pytest.mark.parametrize(
    ("notify", "reject", "late", "success"),
    [
        ("", True, True, False),
        ("NEVER", False, False, False),
        ("SUCCESS", False, False, True),
        ("FAILURE,DELAY", True, True, False),
        ("delay", False, True, False),
        ("SUCCESS,FAILURE", True, False, True),
    ],
)
def test_who_is_told_of_what(notify: str, reject: bool, late: bool, success: bool) -> None:
    """RFC 3461 4.1."""
    recipient = Recipient("b@rcpt.test", notify=notify)
    assert wants_report(recipient, REFUSED) is reject
    assert wants_report(recipient, Defer("later")) is late
    assert wants_report(recipient, Delivered("stored")) is success
    assert not wants_report(recipient, Delivered("250 ok", "mx", tell="nothing"))


@pytest.mark.parametrize(
    ("notify", "is_told"),
    [("SUCCESS", True), ("SUCCESS,FAILURE", True), ("FAILURE", False), ("", False), ("NEVER", False)],
)
def test_a_list_is_told_of_where_success_was_asked_for(notify: str, is_told: bool) -> None:
    found = expanded(Recipient("all@x", notify=notify))
    assert (found is not None) is is_told


def test_the_letter_is_in_the_language_of_the_sender() -> None:
    letters = Letters(Languages(domains={"sender.test": "fr"}))
    report = told(message(), letters=letters)
    assert "Ceci est le serveur" in report.text
    about = message(content=b"Accept-Language: vi\r\n" + LETTER)
    assert "Đây là máy chủ" in told(about, letters=letters).text


@pytest.mark.parametrize(
    ("sender", "octets", "smtputf8", "body"),
    [
        ("a@sender.test", b"ascii", False, "7BIT"),
        ("a@sender.test", b"\xc3\xa9", False, "8BITMIME"),
        ("é@sender.test", b"ascii", True, "7BIT"),
    ],
)
def test_the_envelope_of_the_report(sender: str, octets: bytes, smtputf8: bool, body: str) -> None:
    """RFC 3461 6.2: from nobody, and never reported on."""
    found = back(with_envelope(sender=sender).envelope, octets, 2000.0)
    assert (found.sender, found.recipients) == ("", (Recipient(sender, notify="NEVER"),))
    assert (found.smtputf8, found.body, found.arrived) == (smtputf8, body, 2000.0)


def test_the_report_is_as_urgent_as_the_message_and_has_no_other_time() -> None:
    """RFC 6710 4.6."""
    for timing, kept in ((Timing(7, 5.0, 9.0, "NT"), Timing(7)), (Timing(-2), Timing(-2)), (Timing(by=9.0), UNTIMED)):
        assert back(with_envelope(timing=timing).envelope, b"", 2000.0).timing == kept


def test_a_sender_with_smtputf8_gets_the_address_as_it_is() -> None:
    failed = Failure(Recipient("é@rcpt.test"), REFUSED)
    assert told(with_envelope(smtputf8=True), failed).kind == "message/global-delivery-status"
    assert told(with_envelope(smtputf8=False), failed).only["final-recipient"] == "utf-8; \\x{E9}@rcpt.test"
