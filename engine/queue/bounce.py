"""Which outcomes are reported to the sender (RFC 3461), and the report itself (RFC 3464)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.message import Message, MessageId, Recipient
from engine.protocols.dsn import Action, RecipientReport, report
from engine.verdict import Delivered, Reject

WHOLE_LIMIT = 64 * 1024
"""Octets of a message up to which RET=FULL brings all of it back (RFC 3461 4.3 leaves that to us)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient whose outcome the sender is to be told."""

    recipient: Recipient
    verdict: Reject | Delivered


def wants_report(recipient: Recipient, verdict: Reject | Delivered) -> bool:
    """RFC 3461 4.1: failures unless NOTIFY says otherwise, success where it was asked for and no other server tells."""
    if isinstance(verdict, Delivered) and verdict.tell == "nothing":
        return False
    asked = recipient.notify.upper().split(",") if recipient.notify else ["FAILURE", "DELAY"]
    return ("FAILURE" if isinstance(verdict, Reject) else "SUCCESS") in asked


def bounce(identity: MessageId, hostname: str, message: Message, failures: Sequence[Failure], now: float) -> bytes:
    """The report as a message of its own, to the sender of ``message``, which must not be the null one."""
    envelope = message.envelope
    # RFC 8689 5: what had to be kept from others is not sent back.
    whole = envelope.ret.upper() == "FULL" and message.size <= WHOLE_LIMIT and not envelope.requiretls
    return report(
        hostname=hostname,
        sender=envelope.sender,
        envid=envelope.envid,
        arrived=envelope.arrived,
        recipients=[_told(failure, now) for failure in failures],
        original_headers=message.header_octets(),
        message_id=f"{identity}@{hostname}",
        date=now,
        original=b"".join(message.chunks()) if whole else None,
    )


def _told(failure: Failure, now: float) -> RecipientReport:
    recipient, verdict = failure.recipient, failure.verdict
    original = recipient.original
    if isinstance(verdict, Reject):
        return RecipientReport(
            recipient.address, "failed", verdict.code, verdict.text, verdict.reply, verdict.remote, original, now
        )
    action: Action = "relayed" if verdict.tell == "relayed" or (verdict.remote and not verdict.tell) else "delivered"
    return RecipientReport(
        recipient.address, action, "2.0.0", "", verdict.reply if verdict.remote else "", verdict.remote, original, now
    )
