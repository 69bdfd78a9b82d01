"""Delivery status notifications, read back by the standard library, and compared with golden files."""

import re
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.dsn import HEADERS_LIMIT, Action, Human, RecipientReport, report
from engine.wording import ENGLISH, Languages, human
from tests.support.dsn_grammar import strict

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
    about = cast(tuple[RecipientReport, ...], changes.get("recipients", recipients or (FAILED,)))
    words = Languages().words(str(changes.pop("language", ENGLISH)))
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
            "human": human(words, "mx.example.org", ARRIVED, about) if about else Human("", "", ""),
            "received_from": "client.example.org (192.0.2.1)",
            "log_id": "01ABC",
            **changes,
        }  # type: ignore[arg-type]
    )


def parsed(octets: bytes) -> EmailMessage:
    return strict(octets).letter


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
    "expanded": {"recipients": (RecipientReport("all@example.org", "expanded", "2.0.0"),)},
    "german": {"language": "de"},
    "japanese": {"language": "ja", "recipients": (DELAYED,)},
    "downgraded": {
        "recipients": (
            RecipientReport("用户@example.net", "failed", "5.1.1", original="utf-8;用户+x@example.net", reply="550 né"),
        ),
        "original_headers": "Subject: Grüße\r\n".encode(),
    },
}


@pytest.mark.parametrize("name", GOLDEN_REPORTS)
def test_golden(name: str) -> None:
    octets = made(**dict(GOLDEN_REPORTS[name]))  # type: ignore[arg-type]
    strict(octets)
    assert octets == (GOLDEN / f"dsn-{name}.eml").read_bytes()
    assert octets == made(**dict(GOLDEN_REPORTS[name]))  # type: ignore[arg-type]


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
    text = strict(made(FAILED, DELAYED)).text
    for words in ("b@example.net", "User unknown", "mx.example.net", "c@example.com", "keep trying", "send the"):
        assert words in text


def test_international_forms() -> None:
    message = parsed(made(**GOLDEN_REPORTS["international"]))  # type: ignore[arg-type]
    types = [part.get_content_type() for part in message.iter_parts()]
    assert types == ["text/plain", "message/global-delivery-status", "message/global-headers"]
    octets = made(**GOLDEN_REPORTS["international"])  # type: ignore[arg-type]
    assert "Final-Recipient: utf-8; 用户@example.net".encode() in octets
    assert "Original-Recipient: utf-8; 用户@example.net".encode() in octets


def test_who_cannot_do_with_utf_8_gets_ascii() -> None:
    """RFC 6533 3: the address by numbers; the part for people and the header section encoded."""
    octets = made(**GOLDEN_REPORTS["downgraded"])  # type: ignore[arg-type]
    found = strict(octets)
    assert octets.isascii()
    assert found.kind == "message/delivery-status"
    assert found.only["final-recipient"] == "utf-8; \\x{7528}\\x{6237}@example.net"
    assert found.only["original-recipient"] == "utf-8; \\x{7528}\\x{6237}\\x{2B}x@example.net"
    assert found.only["diagnostic-code"] == "smtp; 550 n?"
    assert "用户@example.net" in found.text
    assert found.returned.get_content() == "Subject: Grüße\r\n".encode().decode("latin-1") or (
        found.returned.get_payload(decode=True) == "Subject: Grüße\r\n".encode()
    )


def test_who_can_gets_it_as_it_is_though_the_own_address_is_ascii() -> None:
    octets = made(**GOLDEN_REPORTS["downgraded"], smtputf8=True)  # type: ignore[arg-type]
    found = strict(octets)
    assert found.kind == "message/global-delivery-status"
    assert found.only["final-recipient"] == "utf-8; 用户@example.net"
    assert found.returned.get_content_type() == "message/global-headers"
    assert octets.count(b"X-Failed-Recipients: ") == 1


@pytest.mark.parametrize(
    ("action", "status", "reply", "told"),
    [
        ("failed", "5.1.1", "550 5.1.1 no", "5.1.1"),
        ("failed", "5.0.0", "552 too much", "5.2.2"),
        ("failed", "5.0.0", "550 no", "5.0.0"),  # which may mean anything
        ("failed", "5.0.0", "556 no mail here", "5.1.10"),
        ("failed", "5.0.0", "451 later", "5.0.0"),  # tried to the end
        ("failed", "4.4.7", "", "4.4.7"),  # RFC 3463 3.5
        ("failed", "", "", "5.0.0"),
        ("failed", "2.0.0", "", "5.0.0"),
        ("failed", "5.01.1", "", "5.0.0"),
        ("delayed", "4.0.0", "452 full", "4.3.1"),
        ("delayed", "5.1.1", "", "4.0.0"),
        ("delivered", "2.1.5", "", "2.1.5"),
        ("relayed", "5.0.0", "", "2.0.0"),
    ],
)
def test_the_code_fits_the_action_and_the_reply(action: Action, status: str, reply: str, told: str) -> None:
    found = strict(made(RecipientReport("b@example.net", action, status, reply=reply, remote="mx.example.net")))
    assert (found.only["action"], found.only["status"]) == (action, told)


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("mx.example.net", "dns; mx.example.net"),
        ("[192.0.2.1]", "dns; [192.0.2.1]"),
        ("/run/dovecot/lmtp", None),  # the path of a socket of ours is nobody's business
        ("mx (evil)", None),
    ],
)
def test_the_other_server_is_named_if_it_has_a_name(remote: str, told: str | None) -> None:
    found = strict(made(RecipientReport("b@example.net", "failed", "5.0.0", reply="550 no", remote=remote)))
    assert found.only.get("remote-mta") == told
    assert "/run" not in found.text


def test_our_own_words_stand_where_no_server_spoke() -> None:
    found = strict(made(RecipientReport("b@example.net", "failed", "5.4.7", text="It is too late")))
    assert found.only["diagnostic-code"] == "x-postroad; It is too late"
    assert found.message["received-from-mta"] == "dns; client.example.org (192.0.2.1)"
    assert found.only["final-log-id"] == "01ABC"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (b"Message-ID: <1@example.org>\r\nSubject: x\r\n", "<1@example.org>"),
        (b"Subject: x\r\nmessage-id:\r\n <1@example.org>\r\n", "<1@example.org>"),
        (b"Message-ID: <a\r\nBcc: b>\r\n", None),
        (b"Message-ID: none\r\n", None),
        (b"", None),
    ],
)
def test_a_mail_program_can_show_it_beside_the_message(headers: bytes, told: str | None) -> None:
    letter = parsed(made(original_headers=headers))
    assert letter["In-Reply-To"] == letter["References"] == told


def test_simple_programs_find_who_failed() -> None:
    other = RecipientReport("x@example.net", "failed", "5.1.1")
    assert parsed(made(FAILED, DELAYED, other))["X-Failed-Recipients"] == "b@example.net, x@example.net"
    assert parsed(made(DELAYED))["X-Failed-Recipients"] is None


@pytest.mark.parametrize("original", ["utf-8;\\x{D800}@x", "utf-8;\\x{0A}Action: delivered", "utf-8;\\x{110000}@x"])
def test_no_original_recipient_breaks_the_report(original: str) -> None:
    found = strict(made(RecipientReport("b@example.net", "failed", "5.0.0", original=original), sender="é@example.org"))
    assert found.only["action"] == "failed"


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
