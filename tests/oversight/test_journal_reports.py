"""Journal reports: who has written to whom by the envelope, and the message as it was."""

import email
import email.policy
from email.message import EmailMessage

import pytest

from engine import Envelope, Message, MessageId, Recipient, Session
from engine.message import JOURNAL, Octets
from engine.oversight.journaling import reports, wanted

NOTE = [{"to": "journal@example.org", "from": "postmaster@example.org", "rules": ["all", "finance"]}]
CONTENT = (
    b"From: Ann <ann@example.org>\r\nTo: Bob <Bob@example.net>,\r\n carl@example.net\r\nCc: dora@example.net\r\n"
    b"Subject: =?utf-8?q?Ch=C3=A0o_b=E1=BA=A1n?=\r\nMessage-ID: <one@example.org>\r\n\r\nHello\r\n"
)


def message(content: bytes = CONTENT, *to: str, **values) -> Message:
    recipients = tuple(map(Recipient, to or ("bob@example.net", "dora@example.net", "hidden@example.net")))
    session = Session(peer="192.0.2.1", login="ann@example.org", trusted=True, tls="TLSv1.3")
    envelope = Envelope("ann@example.org", recipients, session, prepended=b"Received: by us\r\n", **values)
    return Message(MessageId.new(), envelope, Octets(content)).with_fact(JOURNAL, NOTE)


def read(about: Message) -> tuple[Message, EmailMessage, str, bytes]:
    """The report, as it is parsed, its text, and the octets of what is attached."""
    (report,) = reports(about, "mx.example.org", 1_800_000_000.0)
    octets = b"".join(report.chunks())
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    boundary = parsed.get_boundary().encode()
    attached = octets.split(b"--" + boundary)[2].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
    assert not parsed.defects
    return report, parsed, next(parsed.iter_parts()).get_content(), attached


def test_a_report_has_the_envelope_and_the_message() -> None:
    about = message()
    report, parsed, text, attached = read(about)
    assert (report.sender, report.recipients) == ("postmaster@example.org", ("journal@example.org",))
    assert report.id != about.id
    assert report.fact(JOURNAL) is None
    assert text.splitlines() == [
        "Sender: ann@example.org",
        "Subject: Chào bạn",
        "Message-Id: <one@example.org>",
        "To: bob@example.net",
        "Cc: dora@example.net",
        "Recipient: hidden@example.net",
    ]
    assert attached == b"".join(about.chunks())
    assert parsed["X-MS-Journal-Report"] == ""
    assert parsed["Subject"] == "Chào bạn"
    assert f"rules=all, finance; id={about.id}" in parsed["X-Postroad-Journal"]
    assert (parsed["X-Postroad-Login"], parsed["X-Postroad-Peer"]) == ("ann@example.org", "192.0.2.1")
    types = [part.get_content_type() for part in parsed.iter_parts()]
    assert types == ["text/plain", "message/rfc822"]


def test_who_was_written_to_first_is_named_though_an_alias_stood_for_them() -> None:
    about = message()
    recipients = (Recipient("ann@example.org", original="rfc822;sales@example.org"),)
    envelope = Envelope("", recipients, Session(), facts={JOURNAL: NOTE})
    _, _, text, _ = read(Message(about.id, envelope, about.content))
    assert "Sender: <>" in text
    assert "Recipient: sales@example.org" in text


@pytest.mark.parametrize(
    ("content", "values", "body", "encoding", "media"),
    [
        (CONTENT, {}, "7BIT", "7bit", "message/rfc822"),
        (b"Subject: x\r\n\r\nplain\r\n", {}, "7BIT", "7bit", "message/rfc822"),
        (b"Subject: x\r\n\r\nch\xc3\xa0o\r\n", {"body": "8BITMIME"}, "8BITMIME", "8bit", "message/rfc822"),
        (b"Subject: x\r\n\r\n\x00\xff", {"body": "BINARYMIME"}, "BINARYMIME", "binary", "message/rfc822"),
        ("Subject: chào\r\n\r\n".encode(), {"smtputf8": True}, "8BITMIME", "8bit", "message/global"),
    ],
)
def test_a_report_says_what_it_is_made_of(content, values, body, encoding, media) -> None:
    about = message(content, **values)
    report, parsed, _, attached = read(about)
    assert report.envelope.body == body
    assert report.envelope.smtputf8 == values.get("smtputf8", False)
    part = list(parsed.iter_parts())[1]
    assert (part["Content-Transfer-Encoding"], part.get_content_type()) == (encoding, media)
    assert attached == b"".join(about.chunks())


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: a\r\n b\x1b[31m\r\nMessage-ID: <x>\r\nTo: \xff\xfe\r\n\r\n",
        b"Subject: " + b"x" * 5000 + b"\r\n\r\n",
        b"no header at all",
        b"",
    ],
)
def test_whatever_strangers_write_makes_no_line_of_its_own(content) -> None:
    _, parsed, text, attached = read(message(content))
    lines = text.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["Sender", "Subject", "Message-Id"]
    assert len(lines) == 6
    assert all(len(line) < 998 for line in lines)
    assert parsed["To"].addresses[0].addr_spec == "journal@example.org"
    assert max(map(len, bytes(parsed).partition(b"\n\n")[0].split(b"\n"))) < 998
    assert attached == b"Received: by us\r\n" + content


def test_mail_that_no_rule_wants_has_no_copies() -> None:
    about = message()
    plain = Message(about.id, Envelope("a@b.test", about.envelope.recipients), about.content)
    assert not wanted(plain)
    assert list(reports(plain, "mx.example.org", 0.0)) == []
