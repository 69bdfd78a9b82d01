"""Delivery status notifications, read back by the standard library, and compared with golden files."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.dsn import HEADERS_LIMIT, RecipientReport, report

GOLDEN = Path(__file__).parent / "golden"
ARRIVED, NOW = 1_790_000_000.0, 1_790_000_600.0

FAILED = RecipientReport(
    "b@example.net",
    "failed",
    "5.1.1",
    text="The next server refused it",
    reply="550 5.1.1 <b@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
    remote="mx.example.net",
    original="rfc822;B+2Bx@example.net",
    last_attempt=NOW - 1,
)
DELAYED = RecipientReport(
    "c@example.com", "delayed", "4.4.1", text="No connection", last_attempt=NOW - 1, will_retry_until=ARRIVED + 432_000
)
HEADERS = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: Hello\r\n\r\nnot the body\r\n"


def made(*recipients: RecipientReport, **changes: object) -> bytes:
    return report(
        **{
            "hostname": "mx.example.org",
            "sender": "a@example.org",
            "envid": "QQ+2B314",
            "arrived": ARRIVED,
            "recipients": recipients or (FAILED,),
            "original_headers": HEADERS,
            "message_id": "01ABC@mx.example.org",
            "date": NOW,
            **changes,
        }  # type: ignore[arg-type]
    )


def parsed(octets: bytes) -> EmailMessage:
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    message = cast(EmailMessage, message_from_bytes(octets, policy=policy.default))
    assert not any(part.defects for part in (message, *message.iter_parts()))
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert len(list(message.iter_parts())) == 3
    return message


GOLDEN_REPORTS = {
    "failed": {},
    "delayed": {"recipients": (DELAYED,), "envid": ""},
    "mixed": {"recipients": (FAILED, DELAYED, RecipientReport("d@example.com", "relayed", "2.1.9"))},
    "delivered": {"recipients": (RecipientReport("b@example.net", "delivered", "2.1.5", reply="250 2.0.0 Ok"),)},
    "international": {
        "sender": "jürgen@example.org",
        "recipients": (
            RecipientReport("用户@example.net", "failed", "5.1.1", original="utf-8;\\x{7528}\\x{6237}@example.net"),
        ),
        "original_headers": "Subject: Grüße\r\n".encode(),
    },
    "returned": {"original": b"Subject: Hello\r\n\r\nThe body\r\n.\r\n"},
}


@pytest.mark.parametrize("name", GOLDEN_REPORTS)
def test_golden(name: str) -> None:
    octets = made(**GOLDEN_REPORTS[name])  # type: ignore[arg-type]
    parsed(octets)
    assert octets == (GOLDEN / f"dsn-{name}.eml").read_bytes()
    assert octets == made(**GOLDEN_REPORTS[name])  # type: ignore[arg-type]


def test_the_header_says_what_it_is() -> None:
    message = parsed(made())
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mx.example.org>"
    assert message["To"] == "a@example.org"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<01ABC@mx.example.org>"
    assert message["Date"].datetime.timestamp() == NOW


def test_the_machine_readable_part() -> None:
    _, status, headers = parsed(made(FAILED, DELAYED)).iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    whole, first, second = cast(list[EmailMessage], status.get_payload())
    assert (whole["Original-Envelope-Id"], whole["Reporting-MTA"]) == ("QQ+314", "dns; mx.example.org")
    assert first["Original-Recipient"] == "rfc822; B+x@example.net"
    assert first["Final-Recipient"] == "rfc822; b@example.net"
    assert (first["Action"], first["Status"], first["Remote-MTA"]) == ("failed", "5.1.1", "dns; mx.example.net")
    assert re.sub(r"\s+", " ", first["Diagnostic-Code"]) == f"smtp; {FAILED.reply}"
    assert (second["Action"], second["Status"]) == ("delayed", "4.4.1")
    assert second["Will-Retry-Until"]
    assert headers.get_content_type() == "text/rfc822-headers"
    assert "Subject: Hello" in headers.get_content()
    assert "not the body" not in headers.get_content()


def test_the_human_readable_part_has_what_a_person_asks() -> None:
    text = next(parsed(made(FAILED, DELAYED)).iter_parts()).get_content()
    for words in ("b@example.net", "User unknown", "mx.example.net", "c@example.com", "keep trying", "send the"):
        assert words in text


def test_international_forms() -> None:
    message = parsed(made(**GOLDEN_REPORTS["international"]))  # type: ignore[arg-type]
    types = [part.get_content_type() for part in message.iter_parts()]
    assert types == ["text/plain", "message/global-delivery-status", "message/global-headers"]
    octets = made(**GOLDEN_REPORTS["international"])  # type: ignore[arg-type]
    assert "Final-Recipient: utf-8; 用户@example.net".encode() in octets
    assert "Original-Recipient: utf-8; 用户@example.net".encode() in octets


def test_the_whole_message_is_returned_octet_for_octet() -> None:
    original = b"Subject: Hello\r\n\r\nlatin \xe9\r\n--boundary--\r\n"
    octets = made(original=original)
    parsed(octets)
    assert b"\r\n\r\n" + original + b"\r\n--" in octets
    assert b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n" in octets


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"\r\n\r\n",
        b"Subject: x\n\nbody",
        b"Subject: x\r\r\n--y\r\n",
        b"Subject: \xff\xfe\r\n",
        b"Subject: x\0y\r\n",
        b"Content-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\n",
        b"X: " + b"y" * 5000 + b"\r\n",
        b"X: y\r\n" * 20_000,
        b"X: " + "ü".encode() * 3000,
    ],
)
def test_no_header_of_the_original_breaks_the_report(headers: bytes) -> None:
    octets = made(original_headers=headers)
    parsed(octets)
    assert len(octets) < HEADERS_LIMIT + 5000


@given(st.binary(max_size=300), st.text(max_size=100))
def test_no_content_and_no_reply_breaks_the_report(headers: bytes, reply: str) -> None:
    reply = reply.encode("utf-8", "replace").decode()
    recipient = RecipientReport("b@example.net", "failed", "5.0.0", reply=reply, remote=reply)
    parsed(made(recipient, original_headers=headers))


def test_a_remote_reply_cannot_add_fields() -> None:
    octets = made(RecipientReport("b@c", "failed", "5.0.0", reply="550 x\r\nAction: delivered\r\n\r\n--x"))
    assert b"\r\nAction: delivered" not in octets


def test_a_long_reply_is_cut() -> None:
    octets = made(RecipientReport("b@c", "failed", "5.0.0", reply="550 " + "x" * 100_000, text="ü" * 50_000))
    parsed(octets)
    assert len(octets) < 10_000


def test_the_boundary_does_not_occur_in_the_content() -> None:
    boundary = re.findall(rb'boundary="(.*?)"', made())[0].decode()
    again = made(original_headers=b"X: " + boundary.encode() + b"\r\n")
    assert again.count(boundary.encode()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": ""},
        {"recipients": ()},
        {"sender": "a@b\r\nBcc: x"},
        {"message_id": "x>\r\nBcc: <y"},
        {"recipients": (RecipientReport("b\n@c", "failed", "5.0.0"),)},
    ],
)
def test_what_no_report_can_be_made_of(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        made(**changes)  # type: ignore[arg-type]
