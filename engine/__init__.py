"""The names that the author of a stage imports, and nothing else."""

from engine.message import Envelope, Fact, Message, MessageId, Recipient, Session
from engine.protocols.address import domain_of
from engine.units import Duration, Rate, Size
from engine.verdict import Defer, Delivered, Discard, Each, Quarantine, Reject, Route, Verdict

__all__ = [
    "Defer",
    "Delivered",
    "Discard",
    "Duration",
    "Each",
    "Envelope",
    "Fact",
    "Message",
    "MessageId",
    "Quarantine",
    "Rate",
    "Recipient",
    "Reject",
    "Route",
    "Session",
    "Size",
    "Verdict",
    "domain_of",
]
