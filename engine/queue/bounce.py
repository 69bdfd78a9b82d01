"""Which outcomes are reported to the sender (RFC 3461), and the report itself (RFC 3464)."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.message import Message, MessageId, Recipient
from engine.verdict import Delivered, Reject


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient whose outcome the sender is to be told."""

    recipient: Recipient
    verdict: Reject | Delivered


def wants_report(recipient: Recipient, verdict: Reject | Delivered) -> bool:
    """RFC 3461 4.1: failures unless NOTIFY says otherwise, success only where it was asked for."""
    asked = recipient.notify.upper().split(",") if recipient.notify else ["FAILURE", "DELAY"]
    return ("FAILURE" if isinstance(verdict, Reject) else "SUCCESS") in asked


def bounce(identity: MessageId, hostname: str, message: Message, failures: Sequence[Failure], now: float) -> bytes:
    """The report as a message of its own."""
    raise NotImplementedError
