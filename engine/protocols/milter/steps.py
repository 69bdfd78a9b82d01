"""What a milter is told of a message, step by step, as packets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from engine.protocols.milter.terms import DATA_SINCE, Step, Terms
from engine.protocols.milter.wire import CHUNK, packet, text

Macros = Mapping[str, str]

LONGEST_NAME = 998
"""Octets of the name of a field that milters are told of: no line is longer (RFC 5322 2.1.1)."""

_NO_MACROS: Macros = MappingProxyType({})


class Path(NamedTuple):
    """An address of the envelope, with the parameters that the client gave (RFC 5321 4.1.2)."""

    address: str
    parameters: tuple[str, ...] = ()
    macros: Macros = _NO_MACROS  # for this recipient alone


class Client(NamedTuple):
    """Who brings the message. Messages of equal clients may share a session with the milter."""

    name: str  # "unknown" where it has none
    address: str  # IP
    helo: str
    macros: Macros = _NO_MACROS
    port: int = 0  # 0: not known


@dataclass(frozen=True, slots=True)
class Transaction:
    """A message but for its body. ``fields`` are name and value of the header, the value from behind the colon on."""

    client: Client
    sender: Path
    recipients: Sequence[Path]
    fields: Sequence[tuple[bytes, bytes]]
    macros: Macros = field(default_factory=dict)


MACROS: Mapping[Step, tuple[str, ...]] = {
    Step.CONNECT: (
        "j",
        "{daemon_name}",
        "v",
        "_",
        "{client_name}",
        "{client_addr}",
        "{client_ptr}",
        "{client_resolve}",
    ),
    Step.HELO: ("{tls_version}", "{cipher}", "{cipher_bits}"),
    Step.MAIL: ("i", "{auth_type}", "{auth_authen}", "{mail_addr}", "{mail_host}", "{mail_mailer}"),
    Step.RCPT: ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
    Step.DATA: ("i",),
    Step.EOH: ("i",),
    Step.END: ("i", "{msg_id}"),
}
"""What Postfix sends (its MILTER_README) and of what it has on demand a client's name; milters may choose others."""


def opening(client: Client, terms: Terms) -> Iterator[tuple[Step, bytes]]:
    """CONNECT and HELO."""
    family = b"6" if ":" in client.address else b"4"
    connect = text(client.name) + family + client.port.to_bytes(2, "big") + text(client.address)
    yield Step.CONNECT, _step(Step.CONNECT, connect, client.macros, terms)
    yield Step.HELO, _step(Step.HELO, text(client.helo), client.macros, terms)


def envelope(transaction: Transaction, terms: Terms) -> Iterator[tuple[Step, bytes]]:
    """MAIL, RCPT and DATA."""
    macros = _macros(transaction)
    yield Step.MAIL, _step(Step.MAIL, _path(transaction.sender), macros, terms)
    for recipient in transaction.recipients:
        own = {**macros, **recipient.macros} if recipient.macros else macros
        yield Step.RCPT, _step(Step.RCPT, _path(recipient), own, terms)
    if terms.version >= DATA_SINCE:
        yield Step.DATA, _step(Step.DATA, b"", macros, terms)


def header(transaction: Transaction, terms: Terms) -> Iterator[tuple[Step, bytes]]:
    """The header fields, and their end."""
    if Step.HEADER not in terms.unwanted:
        for name, value in transaction.fields:
            if len(name) > LONGEST_NAME:
                continue
            # To milters lines end with LF alone; without SMFIP_HDR_LEADSPC a value begins behind the colon's blank.
            shown = value if terms.leading_space else value.lstrip(b" \t")
            shown = shown.replace(b"\r\n", b"\n").replace(b"\0", b"")
            yield Step.HEADER, packet(Step.HEADER.value, name + b"\0" + shown[: CHUNK - len(name) - 3] + b"\0")
    yield Step.EOH, _step(Step.EOH, b"", _macros(transaction), terms)


def end(transaction: Transaction, terms: Terms) -> bytes:
    return _step(Step.END, b"", _macros(transaction), terms)


def _step(step: Step, data: bytes, macros: Macros, terms: Terms) -> bytes:
    """A command behind its macros. These are sent although the milter does not want the command, as Sendmail does."""
    names = terms.symbols.get(step, MACROS[step])
    known = [text(name) + text(macros[name]) for name in names if macros.get(name)]
    before = packet(b"D", step.value + b"".join(known)) if known else b""
    return before if step in terms.unwanted else before + packet(step.value, data)


def _macros(transaction: Transaction) -> Macros:
    return {**transaction.client.macros, **transaction.macros}


def _path(path: Path) -> bytes:
    return text(f"<{path.address}>") + b"".join(map(text, path.parameters))
