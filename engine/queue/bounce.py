"""Which outcomes are reported to the sender (RFC 3461), and the report itself (RFC 3464)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.message import Message, MessageId, Recipient
from engine.protocols.dsn import Action, RecipientReport, report
from engine.verdict import Defer, Delivered, Reject

WHOLE_LIMIT = 64 * 1024
"""Octets of a message up to which RET=FULL brings all of it back (RFC 3461 4.3 leaves that to us)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient whose outcome the sender is to be told, or that there is none yet."""

    recipient: Recipient
    verdict: Reject | Delivered | Defer


def wants_report(recipient: Recipient, verdict: Reject | Delivered, *, traced: bool = False) -> bool:
    """RFC 3461 4.1: failures unless NOTIFY says otherwise, success where it was asked for and no other server tells.

    ``traced``: each server that passes it on tells (RFC 2852 4).
    """
    if traced and isinstance(verdict, Delivered) and verdict.remote and verdict.tell != "delivered":
        return recipient.notify.upper() != "NEVER"
    if isinstance(verdict, Delivered) and verdict.tell == "nothing":
        return False
    asked = recipient.notify.upper().split(",") if recipient.notify else ["FAILURE", "DELAY"]
    return ("FAILURE" if isinstance(verdict, Reject) else "SUCCESS") in asked


def wants_warning(recipient: Recipient) -> bool:
    """RFC 3461 4.1: of a delay, unless NOTIFY leaves it out."""
    return not recipient.notify or "DELAY" in recipient.notify.upper().split(",")


def bounce(identity: MessageId, hostname: str, message: Message, failures: Sequence[Failure], now: float) -> bytes:
    """The report as a message of its own, to the sender of ``message``, which must not be the null one."""
    envelope = message.envelope
    whole = envelope.ret.upper() == "FULL" and message.size <= WHOLE_LIMIT
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
    if isinstance(verdict, Defer):
        code = verdict.code if verdict.code.startswith("4.") else "4.0.0"
        return RecipientReport(
            recipient.address, "delayed", code, verdict.text, verdict.reply, verdict.remote, original, now,
            verdict.expires or 0.0,
        )  # fmt: skip
    action: Action = (
        "relayed" if verdict.tell in ("relayed", "nothing") or (verdict.remote and not verdict.tell) else "delivered"
    )
    return RecipientReport(
        recipient.address, action, "2.0.0", "", verdict.reply if verdict.remote else "", verdict.remote, original, now
    )
