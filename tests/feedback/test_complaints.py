"""Complaints: the example of the RFC, those of providers in their forms, and whatever strangers may write."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feedback import is_redacted, read
from engine.feedback.reading import LIMIT
from tests.feedback import complaint_samples as samples

OURS = ("mx.example.org", "01KAV3Q6ZJ8N4R7T2W5X9Y0ABC")


def test_the_example_of_the_rfc() -> None:
    for octets in (samples.RFC_5965, samples.RFC_5965.replace(b"\n", b"\r\n")):
        report = read(octets)
        assert report is not None
        assert (report.form, report.kind, report.agent) == ("arf", "abuse", "SomeGenerator/1.0")
        assert (report.recipients, report.redacted) == (("user@example.com",), False)
        assert (report.sender, report.reporter, report.source) == (
            "somespammer@example.net", "mail.example.com", "192.0.2.1",
        )  # fmt: skip
        assert report.domains == ("example.net",)
        assert report.received == (("example.com", "M63d4137594e46"),)


@pytest.mark.parametrize(
    ("octets", "form", "kind", "recipients", "redacted"),
    [
        (samples.YAHOO, "arf", "abuse", ("bob@far.example",), False),
        (samples.AOL, "arf", "abuse", (), True),
        (samples.VALIDITY, "arf", "abuse", (), True),
        (samples.COMCAST, "arf", "abuse", (), False),
        (samples.OUTLOOK, "jmrp", "abuse", ("Bob@Far.Example",), False),
        (samples.OUTLOOK_BARE, "jmrp", "abuse", ("bob@far.example",), False),
        (samples.SCOMP, "forwarded", "abuse", ("bob@far.example",), False),
        (samples.NOT_SPAM, "arf", "not-spam", ("bob@far.example",), False),
        (samples.OPT_OUT, "arf", "opt-out", ("bob@far.example",), False),
        (samples.DMARC_FAILURE, "arf", "auth-failure", ("bob@far.example",), False),
        (samples.ENCODED, "arf", "abuse", ("bob@far.example",), False),
    ],
    ids=[
        "yahoo", "aol", "validity", "comcast", "outlook", "outlook, bare", "scomp", "not spam", "opt-out", "dmarc",
        "encoded",
    ],
)  # fmt: skip
def test_every_form(octets: bytes, form: str, kind: str, recipients: tuple[str, ...], redacted: bool) -> None:
    report = read(octets)
    assert report is not None
    assert (report.form, report.kind, report.recipients, report.redacted) == (form, kind, recipients, redacted)
    assert report.message_id == "<1@example.org>"


def test_what_else_it_tells() -> None:
    report = read(samples.COMCAST)
    assert report is not None
    assert (report.incidents, report.source, report.reporter) == (3, "2001:db8::1", "mx.far.example")
    assert report.received == (("mta.far.example", "4Bx"), OURS)
    link = samples.copied(more="List-Unsubscribe: <mailto:a@example.org>,\n <https://example.org/leave/abc>")
    report = read(samples.arf("Feedback-Type: abuse\n", link))
    assert report is not None
    assert report.unsubscribe == ("<mailto:a@example.org>, <https://example.org/leave/abc>",)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"Subject: complaint about message from 192.0.2.1\r\n\r\nI do not like it.\r\n",
        samples.arf("User-Agent: x\n"),
        samples.arf("Feedback-Type: \x00 \n"),
        samples.attached(samples.copied(), "From: ann@example.net", "look at this"),
        b"\xff" * 1000,
    ],
)
def test_what_is_none(octets: bytes) -> None:
    assert read(octets) is None


@pytest.mark.parametrize(
    ("local", "hidden"),
    [
        ("redacted", True), ("[redacted]", True), ("xxxxx", True), ("*****", True), ("REDACTED-for-privacy", True),
        ("ca2b45ef141c63af66829a2f346c832b", True), ("CA2B45EF141C63AF66829A2F346C832B", True),
        ("jrUJk4H6bB+Ud5aCqJ3OTvzJ8Gk=", True), ("bob", False), ("x", False), ("max.xxx", False), ("deadbeef", False),
        ("privatebob", False), ("averyveryverylonglocalpartindeed", False), ("hidden.valley", False), ("private", True),
    ],
)  # fmt: skip
def test_addresses_that_are_hidden(local: str, hidden: bool) -> None:
    assert is_redacted(f"{local}@far.example") is hidden


def test_of_the_message_itself_no_body_is_read() -> None:
    copy = samples.copied().replace("Hello.", "X-HmXmrOriginalRecipient: eve@far.example\n" * 5)
    report = read(samples.arf("Feedback-Type: abuse\n", copy))
    assert report is not None
    assert report.recipients == ("bob@far.example",)
    assert "eve@" not in report.text


_LINES = st.sampled_from(
    [
        "Feedback-Type: abuse", "Original-Rcpt-To: <a@b.example>", "Original-Rcpt-To: rfc822; \x00",
        "Incidents: 99999999999", "Source-IP: 1.2.3.4 or so", "Content-Type: message/rfc822",
        "Content-Type: message/feedback-report", "--b", "--b--", "", "X-HmXmrOriginalRecipient: x@y.example",
        "Received: by a id b by c id", "Message-ID: <<<", "To: a@b.example,", "List-Unsubscribe: <https://x/>",
        " folded", "\x1b[31m", "Reported-Domain: \u202e", "Content-Transfer-Encoding: base64",
    ]
)  # fmt: skip


@given(st.lists(_LINES, max_size=30), st.booleans())
def test_whatever_lines(lines: list[str], inside: bool) -> None:
    octets = samples.arf("\n".join(lines)) if inside else "\r\n".join(lines).encode()
    report = read(octets)
    if report is not None:
        texts = (report.agent, report.reporter, report.source, report.message_id, *report.domains, *report.recipients)
        assert all(text.isprintable() or "\u202e" in text for text in texts)
        assert all("@" in address for address in report.recipients)
        assert 0 <= report.incidents < 10**9


@given(st.binary(max_size=400))
def test_whatever_octets(octets: bytes) -> None:
    read(octets)
    read(samples.YAHOO.replace(b"abuse", octets))


@pytest.mark.parametrize(
    "hostile",
    [
        b"Received: by " + b"x " * 500_000,
        b"Received: by a id" + b" " * 900_000,
        b"".join(b"Received: by a with b %d\r\n" % number for number in range(40_000)),
        b"To: " + b"<" * 900_000,
        b"Subject: " + b"spam " * 200_000,
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n" * 150_000,
    ],
)
def test_nothing_takes_long(hostile: bytes) -> None:
    began = time.process_time()
    read(samples.arf("Feedback-Type: abuse\n", hostile.decode()) if b"multipart" not in hostile else hostile)
    read(samples.attached(hostile.decode(), "From: a@b.example") + b"x" * (2 * LIMIT))
    assert time.process_time() - began < 5  # it takes some tens of milliseconds; what goes back takes minutes
