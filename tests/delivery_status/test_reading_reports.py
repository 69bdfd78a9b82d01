"""Reports of others: what each form says, and what no form can do to us."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.delivery_status import Notice, Status, read
from engine.delivery_status.notice import RECIPIENTS, VALUE_LIMIT
from tests.delivery_status import bounce_samples as samples

BOB = "bob@far.example"
UNKNOWN = "550 5.1.1 <bob@far.example>: Recipient address rejected: User unknown in local recipient table"


def found(octets: bytes) -> Notice:
    notice = read(octets)
    assert notice is not None
    return notice


READ = {
    "postfix": (
        samples.POSTFIX,
        Notice(
            "standard",
            (
                Status(BOB, "failed", "5.1.1", UNKNOWN, "mx.far.example", "Robert@far.example"),
                Status("eve@far.example", "delayed", "4.2.2", "452 4.2.2 full"),
            ),
            "mx.example.net",
            "QQ+314",
            "<1@example.org>",
        ),
    ),
    "international": (
        samples.INTERNATIONAL,
        Notice(
            "standard",
            (Status("jürgen@far.example", "failed", "5.1.1", original="Jürgen@far.example"),),
            "mx.example.net",
            message_id="<1@example.org>",
        ),
    ),
    "encoded": (
        samples.ENCODED,
        Notice("standard", (Status(BOB, "failed", "5.0.0"),), "mx.example.net", message_id="<1@example.org>"),
    ),
    "careless": (
        samples.CARELESS,
        Notice(
            "standard",
            (Status(BOB, "failed", "5.0.0", "550 no such user (really)"),),
            "mx.example.net",
            message_id="<1@example.org>",
        ),
    ),
    "qmail": (
        samples.QMAIL,
        Notice(
            "qmail",
            (
                Status(
                    BOB,
                    "failed",
                    "5.1.1",
                    "192.0.2.1 does not like recipient. Remote host said: 550 5.1.1 unknown user "
                    "Giving up on 192.0.2.1.",
                ),
                Status(
                    "eve@other.example",
                    "failed",
                    "5.1.2",
                    "Sorry, I couldn't find any host named other.example. (#5.1.2)",
                ),
            ),
            message_id="<1@example.org>",
        ),
    ),
    "postfix in words": (
        samples.POSTFIX_TEXT,
        Notice(
            "postfix",
            (
                Status(
                    BOB,
                    "failed",
                    "5.1.1",
                    "host mx.far.example[192.0.2.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)",
                    original="all@example.net",
                ),
            ),
        ),
    ),
    "exim": (
        samples.EXIM,
        Notice(
            "exim",
            (
                Status(
                    BOB,
                    "failed",
                    "5.1.1",
                    "host mx.far.example [192.0.2.1] SMTP error from remote mail server after "
                    "RCPT TO:<bob@far.example>: 550 5.1.1 unknown user",
                ),
                Status("eve@other.example", "failed", "5.0.0", "Unrouteable address", original="all@example.net"),
            ),
            message_id="<1@example.org>",
        ),
    ),
    "exim, late": (
        samples.EXIM_LATE,
        Notice("exim", (Status(BOB, "delayed", "4.0.0", "Delay reason: connection timed out"),)),
    ),
    "exchange": (
        samples.EXCHANGE,
        Notice(
            "exchange",
            (Status(BOB, "failed", "5.1.1", "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found rfc822;bob@far.example"),),
            message_id="<1@example.org>",
        ),
    ),
    "sendmail": (
        samples.SENDMAIL,
        Notice("sendmail", (Status(BOB, "failed", "5.1.1", "550 5.1.1 <bob@far.example>... User unknown"),)),
    ),
    "a hint": (
        samples.HINT,
        Notice(
            "hint",
            (
                Status(
                    BOB,
                    "failed",
                    "5.1.1",
                    "The error that the other server returned was: 550 5.1.1 No such user",
                ),
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_a_report_says(name: str) -> None:
    octets, notice = READ[name]
    assert found(octets) == notice
    assert found(octets.replace(b"\r\n", b"\n")) == notice


def test_a_reason_that_stands_in_the_text_alone_is_found_there() -> None:
    """As OpenSMTPD writes; and its code is more exact than the one for programs."""
    (status,) = found(samples.OPENSMTPD).recipients
    assert (status.status, status.diagnostic) == ("5.1.1", "550 5.1.1 <bob@far.example>: no such user here")


def test_a_report_of_exchange_online() -> None:
    (status,) = found(samples.EXCHANGE_ONLINE).recipients
    assert (status.recipient, status.action, status.status) == (BOB, "failed", "5.1.10")
    assert found(samples.EXCHANGE_ONLINE).message_id == "<1@example.org>"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"Subject: hello\r\n\r\nhello\r\n",
        samples.plain("Hi. This is the qmail-send program at mx.\n\nNobody is named.\n"),
        samples.plain("I am out of office. Write to <bob@far.example>: he knows.\n"),
        samples.mime("x", "Reporting-MTA: dns; x\n"),
        samples.mime("x", "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; nobody\nAction: failed\n"),
        samples.mime("x", "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; bob@far.example\nAction: forwarded\n"),
    ],
)
def test_what_says_nothing(octets: bytes) -> None:
    assert read(octets) is None


def test_a_report_that_is_returned_within_a_report_is_not_taken_for_it() -> None:
    octets = samples.mime("x", "", samples.POSTFIX.decode().replace("\r\n", "\n"), returned_kind="message/rfc822")
    assert read(octets) is None


def test_nothing_that_a_terminal_obeys_comes_through() -> None:
    octets = samples.POSTFIX.replace(b"User unknown", b"\x1b[31mUser\x9b\xc2\x85 unknown")
    (status, _) = found(octets).recipients
    assert status.diagnostic.isprintable()


def test_how_much_of_it_is_read() -> None:
    groups = "\n".join(f"Final-Recipient: rfc822; u{n}@far.example\nAction: failed\n" for n in range(RECIPIENTS + 50))
    notice = found(samples.mime("x", f"Reporting-MTA: dns; x\n\n{groups}"))
    assert RECIPIENTS - 1 <= len(notice.recipients) <= RECIPIENTS
    long = found(samples.mime("x", f"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; {BOB}\nAction: failed\n"
                                   f"Diagnostic-Code: smtp; 550 {'x' * 100_000}\n"))  # fmt: skip
    assert len(long.recipients[0].diagnostic) <= VALUE_LIMIT


HOSTILE = [
    "<" * 200_000,
    "<a@b>:" * 30_000,
    "  a@b\n" * 30_000,
    "(" * 100_000,
    "5.1." * 50_000,
    "- " * 100_000,
    " " * 200_000 + "x",
    "a@" * 100_000,
    "--" * 100_000,
]


BEGINNINGS = [
    "Hi. This is the x",
    "This message was created automatically by mail delivery software",
    "Delivery has failed to these recipients",
    "The original message was received at x",
    "This is the mail system at host x",
]


@pytest.mark.parametrize("begins", BEGINNINGS)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_nothing_takes_long(begins: str, number: int) -> None:
    """Each has a hundred thousand of something; a pattern that goes back over it would take minutes."""
    octets = samples.plain(f"{begins}\n\n<a@b.example>:\n{HOSTILE[number]}\n  a@b.example\n    {HOSTILE[number]}\n",
                           f"X-Failed-Recipients: {HOSTILE[number][:5000].replace(chr(10), '')}\n")  # fmt: skip
    before = time.process_time()
    read(octets)
    read(samples.mime(HOSTILE[number], f"Reporting-MTA: dns; x\n\nFinal-Recipient: {HOSTILE[number]}\n"))
    assert time.process_time() - before < 30


@given(st.binary(max_size=400))
def test_any_octets_can_be_looked_at(octets: bytes) -> None:
    read(octets)
    read(samples.plain("Hi. This is the x\n\n").replace(b"\r\n\r\n", b"\r\n\r\n" + octets))
    notice = read(samples.mime("x", "STATUS").replace(b"STATUS", octets))
    assert notice is None or all("@" in one.recipient for one in notice.recipients)
