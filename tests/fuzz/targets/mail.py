"""Mail itself: addresses, header fields, and reports about messages of anyone's making."""

import contextlib
import email
import re
from collections.abc import Iterator
from email.message import Message as Parsed

from engine import Envelope, Message, MessageId, Recipient, feedback
from engine import message as message_module
from engine.delivery_status import read
from engine.delivery_status.notice import VALUE_LIMIT
from engine.directory import addresses as directory
from engine.feedback.complaint import MOST
from engine.feedback.reading import PART_LIMIT
from engine.net import dns
from engine.protocols import dsn
from engine.protocols.address import (
    Malformed,
    domain_of,
    normalised,
    parse_path,
    split,
    xtext_decode,
    xtext_encode,
)
from engine.return_path import Verp
from engine.unsubscribe import Request, offer
from engine.unsubscribe.links import verify
from engine.unsubscribe.one_click import is_one_click
from engine.wording import built_in, human
from tests.fuzz.targets.cutting import cut, limits
from tests.support.dsn_grammar import strict

ENGLISH_WORDS = built_in("en")
VERP = Verp("bounces@example.org", (b"secret",), 1e9)

HEADERS = 512
"""Octets that are searched for the header section."""


def addresses(data: bytes) -> None:
    """Paths, and what is made of them."""
    text = data.decode("utf-8", "replace")
    for utf8 in (True, False):
        found = parse_path(text, null_ok=True, utf8=utf8)
        if isinstance(found, Malformed):
            assert not (found.needs_utf8 and utf8)
            continue
        assert utf8 or found.isascii()
        assert parse_path(f"<{found}>", null_ok=True, utf8=utf8) == found
        local, domain = split(found)
        assert found in ("", local, f"{local}@{domain}")
        assert normalised(normalised(found)) == normalised(found)
        assert domain_of(normalised(found)) == domain_of(found)
        assert domain or directory.split(found) is None
        with contextlib.suppress(ValueError):
            assert dns.a_labels(domain).isascii()
    decoded = xtext_decode(text)
    assert decoded is None or xtext_decode(xtext_encode(decoded)) == decoded
    assert xtext_decode(xtext_encode(text)) == text


class _Pieces:
    """Content that is read in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces))

    def chunks(self) -> Iterator[bytes]:
        yield from self._pieces


def headers(data: bytes) -> None:
    """Header fields of a message: decoded, the same in pieces, and as before below one more."""
    whole, pieces = cut(data)
    envelope = Envelope("a@b.test", (Recipient("c@d.test"),))
    with limits(message_module, HEADER_LIMIT=HEADERS):
        first, second = (Message(MessageId(bytes(16)), envelope, _Pieces(some)) for some in (whole, pieces))
        assert first.header_octets() == second.header_octets()
        assert len(first.header_octets()) <= HEADERS
        for name in ("Subject", "From", "To", "Content-Type"):
            every = first.headers(name)
            assert first.header(name) == (every[0] if every else None)
            assert not any("\n" in value and "=?" not in b"".join(whole).decode("latin-1") for value in every)
            for value in every[:1]:
                with contextlib.suppress(ValueError):  # an encoded word may hold a line break
                    assert first.with_header(name, value).headers(name)[1:] == every or data[4:5] in b" \t"


def report(data: bytes) -> None:
    """A delivery report about a message of anyone's making: always one, and well-formed."""
    first, _, second = data[:400].decode("utf-8", "replace").partition("\n")
    sender, recipient = (parse_path(f"<{text}>", null_ok=False, utf8=True) for text in (first, second))
    failed = dsn.RecipientReport(
        "b@example.net" if isinstance(recipient, Malformed) else recipient,
        "failed", "5.1.1", first, second, "mx.example.net", first,
    )  # fmt: skip
    for original in (data, None):
        octets = dsn.report(
            hostname="mx.example.org", sender="a@example.org" if isinstance(sender, Malformed) else sender, envid=first,
            arrived=0.0, recipients=[failed], original_headers=data, message_id="x@mx.example.org", date=0.0,
            original=original, human=human(ENGLISH_WORDS, "mx.example.org", 0.0, [failed]),
            received_from="unknown (192.0.2.1)", log_id="x", smtputf8=original is None,
        )  # fmt: skip
        strict(octets)
        # The postmaster without a domain is this server's own: what others report is about addresses.
        assert read(octets) is not None or "@" not in failed.address
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", octets)
        assert max(map(len, octets.split(b"\r\n"))) <= 998
        parsed = email.message_from_bytes(octets)
        assert parsed.is_multipart()
        text, machine, returned = parsed.get_payload()
        assert octets.isascii() or parsed["Content-Transfer-Encoding"] == "8bit"
        assert text.get_content_type() == "text/plain"
        assert _fields(machine) >= {"final-recipient", "action", "status", "remote-mta"}
        assert returned.get_content_type() in {
            "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"
        }  # fmt: skip


def delivery_status(data: bytes) -> None:
    """What may be a report on delivery: read, and of bounded size whatever it says."""
    notice = read(data)
    for status in notice.recipients if notice else ():
        assert "@" in status.recipient
        assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", status.status, re.ASCII)
        values = (status.recipient, status.original, status.diagnostic, status.remote, notice.envelope_id)  # type: ignore[union-attr]
        assert all(len(value) <= VALUE_LIMIT and not re.search(r"[\x00-\x1f\x7f-\x9f]", value) for value in values)


def complaint(data: bytes) -> None:
    """What may be a complaint: read, and of bounded size whatever it says; what is hidden names nobody."""
    found = feedback.read(data)
    if found is not None:
        assert len(found.text) <= 2 * PART_LIMIT + 2
        assert len(found.recipients) <= MOST
        assert all("@" in address and not feedback.is_redacted(address) for address in found.recipients)
        values = (found.kind, found.agent, found.reporter, found.source, found.message_id, *found.domains)
        assert all(len(value) <= VALUE_LIMIT and not re.search(r"[\x00-\x1f\x7f-\x9f]", value) for value in values)
        VERP.within(found.text, 0.0)


def unsubscribe(data: bytes) -> None:
    """Header fields of bulk mail, and what a program sends that clicks."""
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    found = offer([first], [second], [second])
    assert not found.one_click or found.https.lower().startswith("https://")
    for kind in ("multipart/form-data", ""):
        is_one_click(Request("POST", first, kind, data))
    with contextlib.suppress(ValueError):
        verify(first, [b"secret"], 0.0, 1.0)
        raise AssertionError("nobody has signed that")


def _fields(machine: Parsed) -> set[str]:
    """The names of the fields of the last recipient's group."""
    payload = machine.get_payload()
    assert machine.get_content_type() in {"message/delivery-status", "message/global-delivery-status"}
    text = payload if isinstance(payload, str) else payload[-1].as_string()
    return {line.partition(":")[0].lower() for line in text.splitlines() if not line.startswith((" ", "\t"))}
