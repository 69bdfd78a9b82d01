"""What is asked of the next server about one message: MAIL and RCPT with the parameters that it offers."""

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import idna

from engine.protocols.smtp_heard import Reply

ORIGINAL_LIMIT = 500
"""Octets of the value of ORCPT (RFC 3461 4.2)."""

Extensions: TypeAlias = Mapping[str, str]
"""The keywords of EHLO, in upper case, with their parameters."""

# Looser than RFC 5321 4.1.2, which the server enforced at the door; exact about what could end the path or the line.
_ADDRESS = re.compile(r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20\x7f<>"]+)(?:@[^\x00-\x20\x7f<>"@]+)?')
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+")  # utf-8-addr-xtext, RFC 6533 3


class To(NamedTuple):
    """A recipient, with what the sender asked for it (RFC 3461). ``original`` is ORCPT as given, in xtext."""

    address: str
    notify: str = ""
    original: str = ""


class Transaction(NamedTuple):
    """One message to the recipients of one host.

    ``size`` is exact, in octets. ``smtputf8``: the sender asked for RFC 6531; ``utf8_headers``: the header section
    does hold non-ASCII octets. ``strict_8bit``: the content holds octets above 127, and shall rather be refused than
    sent to a server that did not offer 8BITMIME. By default we "just send 8", as nearly everyone does: servers that
    break on it died out, and a conversion would break signatures (DKIM) over the content. ``envid`` is xtext, as its
    sender gave it. ``requiretls`` is passed on where it is offered; that it is, the driver sees to (RFC 8689).
    ``forward`` has what XFORWARD tells of the session by which it came, where the server offers that.
    """

    sender: str
    recipients: tuple[To, ...]
    size: int
    body: str = "7BIT"
    smtputf8: bool = False
    utf8_headers: bool = False
    strict_8bit: bool = False
    ret: str = ""
    envid: str = ""
    forward: Mapping[str, str] | None = None
    requiretls: bool = False


def objection(transaction: Transaction, offers: Extensions, *, chunking: bool) -> Reply | None:
    """Why this server cannot take the message, by what it offers."""
    if "SMTPUTF8" not in offers and _needs_smtputf8(transaction):
        # RFC 6531 3.5
        return Reply(553, "The next server does not take internationalized mail", "5.6.7", local=True)
    if transaction.body == "BINARYMIME" and not ("BINARYMIME" in offers and chunking):
        return Reply(554, "The next server does not take binary content", "5.6.3", local=True)  # RFC 3030 3
    if transaction.strict_8bit and "8BITMIME" not in offers:
        return Reply(554, "The next server does not take 8-bit content", "5.6.3", local=True)  # RFC 6152 3
    limit = offers.get("SIZE", "")
    if limit.isdecimal() and 0 < int(limit[:19]) < transaction.size:
        return Reply(552, f"The next server takes at most {int(limit[:19])} octets", "5.3.4", local=True)  # RFC 1870
    return None


def mail_command(transaction: Transaction, offers: Extensions) -> bytes:
    """MAIL with its parameters. ValueError for what would break the dialogue."""
    parts = [b"MAIL FROM:<" + (_path(transaction.sender, offers) if transaction.sender else b"") + b">"]
    if "SIZE" in offers:
        parts.append(b"SIZE=%d" % transaction.size)
    if transaction.body == "BINARYMIME" or (transaction.body == "8BITMIME" and "8BITMIME" in offers):
        parts.append(b"BODY=" + transaction.body.encode())
    if "SMTPUTF8" in offers and (transaction.smtputf8 or not _ascii_only(transaction)):
        parts.append(b"SMTPUTF8")
    if transaction.requiretls and "REQUIRETLS" in offers:
        parts.append(b"REQUIRETLS")
    if "DSN" in offers:
        if transaction.ret in ("FULL", "HDRS"):
            parts.append(b"RET=" + transaction.ret.encode())
        if transaction.envid:
            parts.append(b"ENVID=" + _xtext(transaction.envid))
    return b" ".join(parts) + b"\r\n"


def rcpt_command(to: To, offers: Extensions) -> bytes:
    """RCPT with its parameters. ValueError for what would break the dialogue."""
    parts = [b"RCPT TO:<" + _path(to.address, offers) + b">"]
    if "DSN" in offers:
        if to.notify:
            if not _NOTIFY.fullmatch(to.notify):
                raise ValueError(f"{to.notify!r} is no NOTIFY parameter")
            parts.append(b"NOTIFY=" + to.notify.encode())
        # One that grows too long by its escapes is left out: a server refuses the recipient for it.
        if to.original and len(original := _original(to.original)) <= ORIGINAL_LIMIT:
            parts.append(b"ORCPT=" + original)
    return b" ".join(parts) + b"\r\n"


def _path(address: str, offers: Extensions) -> bytes:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r} cannot stand in an SMTP command")
    if address.isascii():
        return address.encode("ascii")
    if "SMTPUTF8" in offers:
        return address.encode()
    return _with_a_label(address).encode("ascii")


def _xtext(text: str) -> bytes:
    """A parameter of RFC 3461 4 as given, or encoded where it is no xtext. ValueError for what is not ASCII."""
    given = text.encode("ascii")
    return given if _XTEXT.fullmatch(given) else re.sub(rb"[^!-*,-<>-~]", lambda match: b"+%02X" % ord(match[0]), given)


def _original(original: str) -> bytes:
    """ORCPT: "rfc822;…" as xtext, "utf-8;…" as utf-8-addr-xtext (RFC 6533 3), right with and without SMTPUTF8."""
    kind, separator, address = original.partition(";")
    if not separator:
        kind, address = ("rfc822" if original.isascii() else "utf-8"), original
    if not re.fullmatch(r"[A-Za-z0-9-]+", kind):
        raise ValueError(f"{original!r} is no ORCPT parameter")
    if address.isascii() and (kind.lower() != "utf-8" or _UNITEXT.fullmatch(address)):
        return kind.encode() + b";" + (_xtext(address) if kind.lower() != "utf-8" else address.encode())
    escaped = "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):X}}}"
        for character in address
    )
    return b"utf-8;" + escaped.encode("ascii")


def _ascii_only(transaction: Transaction) -> bool:
    return transaction.sender.isascii() and all(map(str.isascii, [to.address for to in transaction.recipients]))


def _needs_smtputf8(transaction: Transaction) -> bool:
    """Whether a server without SMTPUTF8 cannot take it: a domain alone can be written as an A-label (RFC 6531 3.2)."""
    if transaction.utf8_headers or _ascii_only(transaction):
        return transaction.utf8_headers
    addresses = (transaction.sender, *(to.address for to in transaction.recipients))
    return any(not address.isascii() and not _with_a_label(address).isascii() for address in addresses)


def _with_a_label(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return address


def extensions(reply: Reply) -> dict[str, str]:
    """What the reply to EHLO offers."""
    keywords: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:  # the first line greets
        keyword, _, parameters = line.partition(" ")
        keywords[keyword.upper()] = parameters.strip()
    return keywords
