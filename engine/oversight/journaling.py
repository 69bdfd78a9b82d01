"""Copies of mail for a journal: who gets one, by the rules in force, and what it is made of.

A copy is a journal report, as Exchange makes them and archives read them: a part of text that says who has written to
whom by the envelope, and behind it the message as it was.
"""

from base64 import encodebytes
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from engine.config import Journal
from engine.message import JOURNAL, Envelope, Fact, Message, MessageId, Octets, Recipient
from engine.mime import fields
from engine.mime.addresses import addresses
from engine.mime.folding import folded

_SUBJECT = 500
"""Characters of a subject that stand in the header of a report."""

_LINE = 900
"""Octets of a line of text at most, so that none is too long for mail (RFC 5322 2.1.1)."""


@dataclass(frozen=True, slots=True)
class Journals:
    """The rules in force."""

    rules: Mapping[str, Journal] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.rules)

    def of(self, senders: Collection[str], recipients: Collection[str]) -> list[Fact]:
        """Who gets a copy of mail that accounts of these addresses send, and those of the others receive.

        Addresses as they compare. One copy for each place that it goes to, with the names of all rules that want it.
        """
        found: dict[tuple[str, str], list[Fact]] = {}
        for name, rule in self.rules.items():
            sent = rule.direction != "received" and any(map(rule.is_about, senders))
            if sent or (rule.direction != "sent" and any(map(rule.is_about, recipients))):
                found.setdefault((rule.to, rule.sender), []).append(name)
        return [{"to": to, "from": sender, "rules": rules} for (to, sender), rules in found.items()]


def wanted(message: Message) -> bool:
    """Whether copies of it are to be made before it is stored."""
    return message.fact(JOURNAL) is not None


def reports(message: Message, hostname: str, now: float) -> Iterator[Message]:
    """The copies, each a message of its own. Reads the content: it may block."""
    noted = message.fact(JOURNAL)
    for note in noted if isinstance(noted, list) else ():
        assert isinstance(note, dict)
        rules = note["rules"] if isinstance(note["rules"], list) else []
        yield _report(message, str(note["to"]), str(note["from"]), ", ".join(map(str, rules)), (hostname, now))


def _report(message: Message, to: str, sender: str, rules: str, place: tuple[str, float]) -> Message:
    identity, (hostname, now) = MessageId.new(place[1]), place
    boundary = f"=_journal_{identity}"
    head = _head(message, to, sender, rules, f"{identity}@{hostname}")
    envelope = message.envelope
    media = "message/global" if envelope.smtputf8 else "message/rfc822"  # RFC 6532 3.7
    first = (
        f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n{_encoded(_told(message))}"
        f"\r\n--{boundary}\r\nContent-Type: {media}\r\n"
        f"Content-Transfer-Encoding: {_encoding(envelope)}\r\nContent-Disposition: attachment\r\n\r\n"
    ).encode()
    last = f"\r\n--{boundary}--\r\n".encode()
    octets = Octets(b"".join((head, first, *message.chunks(), last)))
    body = envelope.body if envelope.body == "BINARYMIME" else "7BIT" if octets.isascii() else "8BITMIME"
    utf8 = envelope.smtputf8 or not (to.isascii() and sender.isascii())
    recipient = Recipient(to, notify="FAILURE")
    new = Envelope(
        sender, (recipient,), arrived=now, smtputf8=utf8, body=body, ret="FULL", requiretls=envelope.requiretls
    )  # fmt: skip
    return Message(identity, new, octets)


def _head(message: Message, to: str, sender: str, rules: str, identity: str) -> bytes:
    """Its header section, without the fields of MIME."""
    session = message.session
    found = [
        f"From: <{sender}>\r\nTo: <{to}>\r\n".encode(),
        folded("Subject", _one_line(message.header("Subject") or "")[:_SUBJECT]),
        f"Date: {_date(message)}\r\nMessage-ID: <{identity}>\r\n".encode(),
        b"X-MS-Journal-Report:\r\n",  # by which archives know one
        b"Auto-Submitted: auto-generated\r\n",  # RFC 3834 5
        folded("X-Postroad-Journal", f"rules={rules}; id={message.id}"),
    ]
    for name, value in (("Peer", session.peer), ("Login", session.login), ("TLS", session.tls)):
        if value:
            found.append(folded(f"X-Postroad-{name}", value))
    return b"".join(found)


def _date(message: Message) -> str:
    return formatdate(message.envelope.arrived or message.id.time, localtime=True)


def _encoding(envelope: Envelope) -> str:
    return {"BINARYMIME": "binary", "8BITMIME": "8bit"}.get(envelope.body, "8bit" if envelope.smtputf8 else "7bit")


def _encoded(text: str) -> str:
    """The text of a part with its encoding: in ASCII, for the next server may take nothing else."""
    if text.isascii():
        return f"Content-Transfer-Encoding: 7bit\r\n\r\n{text}"
    lines = encodebytes(text.encode()).decode().replace("\n", "\r\n")
    return f"Content-Transfer-Encoding: base64\r\n\r\n{lines}"


def _told(message: Message) -> str:
    """What the part of text says: a line for each fact."""
    lines = [
        ("Sender", message.sender or "<>"),
        ("Subject", message.header("Subject") or ""),
        ("Message-Id", message.header("Message-ID") or ""),
    ]
    section = message.header_octets()
    named = {kind: _addresses(section, kind.lower().encode()) for kind in ("To", "Cc")}
    for recipient in message.envelope.recipients:
        address = recipient.original_address or recipient.address
        kind = next((kind for kind, some in named.items() if address.lower() in some), "Recipient")
        lines.append((kind, address))
    return "".join(f"{name}: {_one_line(value)}\r\n" for name, value in lines)


def _addresses(section: bytes, name: bytes) -> set[str]:
    """Those in all fields of that name, as they are written, in small letters."""
    found = (one for _, value in fields.named(section, name) for one in addresses(value))
    return {_text(mailbox) + "@" + _text(host) for _, _, mailbox, host in found if mailbox and host}


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace").lower()


def _one_line(text: str) -> str:
    line = "".join(one if one.isprintable() else " " for one in text)
    return line.encode("utf-8", "replace")[:_LINE].decode("utf-8", "ignore")
