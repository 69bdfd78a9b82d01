"""Which outcomes are reported to the sender (RFC 3461), and the report itself (RFC 3464)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.message import Envelope, Message, MessageId, Recipient
from engine.protocols.address import domain_of
from engine.protocols.dsn import Action, RecipientReport, report
from engine.protocols.timing import UNTIMED, Timing
from engine.verdict import Defer, Delivered, Reject
from engine.wording import Languages, human
from engine.wording.choice import READS, WRITES

WHOLE_LIMIT = 64 * 1024
"""Octets of a message up to which RET=FULL brings all of it back (RFC 3461 4.3 leaves that to us)."""

_HELLO = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Letters:
    """How reports to senders are written: the languages, and up to how many octets RET=FULL brings all back."""

    languages: Languages = field(default_factory=Languages)
    whole: int = WHOLE_LIMIT


ORDINARY = Letters()


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient whose outcome the sender is to be told; ``Defer``: that it is late, and will be tried again."""

    recipient: Recipient
    verdict: Reject | Delivered | Defer


def wants_report(recipient: Recipient, verdict: Reject | Delivered | Defer, *, traced: bool = False) -> bool:
    """RFC 3461 4.1: failures unless NOTIFY says otherwise, success where it was asked for and no other server tells.

    And a delay, where whoever asks finds that it is one. ``traced``: each server that passes it on tells, and so does
    the last that knows by when it is to be delivered (RFC 2852 4.1.4).
    """
    if isinstance(verdict, Delivered) and verdict.remote and _tells_of_time(verdict, traced=traced):
        return recipient.notify.upper() != "NEVER"
    if isinstance(verdict, Delivered) and verdict.tell == "nothing":
        return False
    asked = recipient.notify.upper().split(",") if recipient.notify else ["FAILURE", "DELAY"]
    wanted = "FAILURE" if isinstance(verdict, Reject) else "DELAY" if isinstance(verdict, Defer) else "SUCCESS"
    return wanted in asked


def _tells_of_time(verdict: Delivered, *, traced: bool) -> bool:
    return verdict.tell == "untimed" or (traced and verdict.tell != "delivered")


def expanded(recipient: Recipient) -> Failure | None:
    """What the sender is told of a list whose members get the message, if it asked to be told of success.

    It hears this once, and no more of the members but failures (RFC 3461 5.2.7.3, RFC 3464 2.3.3).
    """
    verdict = Delivered(tell="expanded")
    return Failure(recipient, verdict) if wants_report(recipient, verdict) else None


def bounce(
    identity: MessageId,
    hostname: str,
    message: Message,
    failures: Sequence[Failure],
    now: float,
    *,
    letters: Letters = ORDINARY,
) -> bytes:
    """The report as a message of its own, to the sender of ``message``, which must not be the null one."""
    envelope = message.envelope
    recipients = [_told(failure, now) for failure in failures]
    # RFC 3461 4.3: RET is about failures; of what has succeeded or may yet, the header section is enough.
    is_lost = any(recipient.action == "failed" for recipient in recipients)
    # RFC 8689 5: and what had to be kept from others is not sent back.
    is_whole = is_lost and envelope.ret.upper() == "FULL" and not envelope.requiretls
    whole = is_whole and message.size <= letters.whole
    headers = message.header_octets()
    said = {name: message.header(name) for name in (*READS, *WRITES)}
    words = letters.languages.chosen(domain_of(envelope.sender), said)
    return report(
        hostname=hostname,
        sender=envelope.sender,
        envid=envelope.envid,
        arrived=envelope.arrived,
        recipients=recipients,
        original_headers=headers,
        message_id=f"{identity}@{hostname}",
        date=now,
        human=human(words, hostname, envelope.arrived, recipients),
        original=b"".join(message.chunks()) if whole else None,
        smtputf8=envelope.smtputf8,
        received_from=_brought_by(envelope),
        timing=envelope.timing,
        log_id=str(message.id),
    )


def back(envelope: Envelope, octets: bytes, now: float) -> Envelope:
    """The envelope of a report about a message with that envelope: from nobody, so that nobody reports on it."""
    return Envelope(
        "",
        (Recipient(envelope.sender, notify="NEVER"),),  # RFC 3461 6.2
        arrived=now,
        smtputf8=envelope.smtputf8 or not envelope.sender.isascii(),
        body="7BIT" if octets.isascii() else "8BITMIME",
        requiretls=envelope.requiretls,
        timing=Timing(envelope.timing.priority) if envelope.timing.priority else UNTIMED,  # RFC 6710 4.6
    )


def _brought_by(envelope: Envelope) -> str:
    """Who brought it, as RFC 3464 2.2.3 has it: the name that it gave itself, and its address as a comment."""
    session = envelope.session
    named = session.helo if _HELLO.fullmatch(session.helo) else ""
    return " ".join(filter(None, (named or "unknown" if session.peer else "", session.peer and f"({session.peer})")))


def _told(failure: Failure, now: float) -> RecipientReport:
    recipient, verdict = failure.recipient, failure.verdict
    return RecipientReport(
        recipient.address,
        _action(verdict),
        _status(verdict),
        "" if isinstance(verdict, Delivered) else verdict.text,
        verdict.reply if verdict.remote or not isinstance(verdict, Delivered) else "",
        verdict.remote,
        recipient.original,
        now,
        verdict.expires or 0.0 if isinstance(verdict, Defer) else 0.0,
    )


def _action(verdict: Reject | Delivered | Defer) -> Action:
    if isinstance(verdict, Reject):
        return "failed"
    if isinstance(verdict, Defer):
        return "delayed"
    if verdict.tell == "expanded":
        return "expanded"
    is_relayed = verdict.tell in ("relayed", "nothing", "untimed") or (verdict.remote and not verdict.tell)
    return "relayed" if is_relayed else "delivered"


def _status(verdict: Reject | Delivered | Defer) -> str:
    """The enhanced code; of a success, that in the server's reply."""
    if not isinstance(verdict, Delivered):
        return verdict.code
    return next(_codes(verdict.reply), "2.0.0") if verdict.remote else "2.0.0"


def _codes(reply: str) -> Iterator[str]:
    if found := re.match(r"2\d\d (2\.\d{1,3}\.\d{1,3})\b", reply):
        yield found[1]
