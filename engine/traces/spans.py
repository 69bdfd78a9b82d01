"""The spans of a message: made of the entries about it, each with ids that every process works out alike.

The trace of a message has the id of the message, which has 128 bits just as a trace has (W3C Trace Context 3.2.2.3).
Span ids are digests of what they stand for. So nothing need be carried over links and through the queue: a relay knows
the parent of its span, though the process that has that one may tell of it tomorrow.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, TypeAlias

from engine.history.entries import Arrived, Attempted, Born, Entry, Leg, Noted, Sent
from engine.history.story import counted, steps
from engine.message import MessageId

Value: TypeAlias = "str | int | float | bool | tuple[str, ...]"

RECEPTION, ATTEMPT, STAGE, DELIVERY = "reception", "attempt", "stage", "delivery"

_CODE = re.compile(r"\d{3}(?:[ -][245]\.\d{1,3}\.\d{1,3})?")
_FAILED = {"defer", "reject", "quarantine"}
"""Verdicts after which a span is shown as one that went wrong."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. No address of a person stands in it, nor what a server has said in its own words."""

    trace: bytes  # 16 octets
    id: bytes  # 8 octets
    parent: bytes  # 8 octets, or none
    name: str
    began: float  # Unix time
    ended: float
    kind: Literal["server", "client", "internal"] = "internal"
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: str = ""
    came_of: bytes = b""  # the message of which this one came


def span_id(message: bytes, *what: object) -> bytes:
    """The id of a span of that message: the same whoever asks."""
    return blake2b("/".join(map(str, what)).encode(), key=message, digest_size=8).digest()


def spans(entry: Entry) -> Iterator[Span]:
    """The spans that an entry tells of, none for some."""
    match entry:
        case Arrived():
            yield from _arrived(entry)
        case Attempted():
            yield from _attempted(entry)
        case Born() if entry.id:
            yield _born(entry)
        case Sent():
            yield _sent(entry)
        case Noted():
            root = span_id(entry.id, RECEPTION)
            yield Span(entry.id, span_id(entry.id, entry.what, entry.time), root, entry.what, entry.time, entry.time)


def _arrived(entry: Arrived) -> Iterator[Span]:
    root = span_id(entry.id, RECEPTION)
    refused = "" if entry.what in ("accepted", "discarded") else entry.what
    found: dict[str, Value] = {
        "postroad.message_id": str(MessageId(entry.id)),
        "postroad.lane": entry.lane,
        "postroad.revision": entry.revision,
        "postroad.outcome": entry.what,
        "postroad.size": entry.size,
        "postroad.recipients": len(entry.to),
        **_domains(entry.sender, entry.to),
    }
    if entry.session:
        peer, _, protocol, tls, login = entry.session
        found |= {"client.address": peer, "postroad.protocol": protocol, "postroad.tls": tls}
        found["postroad.logged_in"] = bool(login)
    yield Span(
        entry.id, root, b"", f"receive {entry.lane}", entry.began, entry.time, "server", _said(found), refused
    )  # fmt: skip
    yield from _stages(entry.id, root, RECEPTION, entry.legs)


def _attempted(entry: Attempted) -> Iterator[Span]:
    words = [outcome.what for outcome in entry.outcomes]
    held = set(words) == {"held"}  # no attempt is counted: the next one has the same number
    what = (ATTEMPT, entry.number, entry.time) if held else (ATTEMPT, entry.number)
    own = span_id(entry.id, *what)
    codes = sorted({f"{one.what} {one.code}".strip() for one in entry.outcomes if one.what in ("deferred", "failed")})
    found: dict[str, Value] = {
        "postroad.attempt": entry.number,
        "postroad.revision": entry.revision,
        "postroad.outcome": counted(words),
        "postroad.left": entry.state,
        **_domains(entry.sender, [outcome.to for outcome in entry.outcomes]),
    }
    name = f"attempt {entry.number}" + (", held" if held else "")
    parent = span_id(entry.id, RECEPTION)
    yield Span(entry.id, own, parent, name, entry.began, entry.time, "internal", _said(found), ", ".join(codes))
    yield from _stages(entry.id, own, "/".join(map(str, what)), entry.legs)


def _stages(message: bytes, parent: bytes, where: str, legs: Iterable[Leg]) -> Iterator[Span]:
    """One for each stage that was met. How long a leg waited for a worker shows as a gap in front of it."""
    for number, leg in enumerate(legs):
        met = list(steps(leg))
        began = leg.ended - sum(float(step["ms"]) for step in met) / 1000
        for place, step in enumerate(met):
            ended = began + float(step["ms"]) / 1000
            verdict = str(step["verdict"]).partition(":")[0]
            found: dict[str, Value] = {
                "postroad.leg": leg.name,
                "postroad.verdict": verdict,
                "postroad.worker": str(step.get("worker", "")),
            }
            own = span_id(message, STAGE, where, number, place)
            failed = verdict if verdict in _FAILED else ""
            yield Span(message, own, parent, str(step["stage"]), began, ended, "internal", _said(found), failed)
            began = ended


def _born(entry: Born) -> Span:
    found: dict[str, Value] = {
        "postroad.message_id": str(MessageId(entry.id)),
        "postroad.size": entry.size,
        "postroad.recipients": len(entry.to),
        **_domains(entry.sender, entry.to),
    }
    own = span_id(entry.id, RECEPTION)
    name = f"come of another: {entry.why}"
    return Span(entry.id, own, b"", name, entry.time, entry.time, "internal", _said(found), "", entry.parent)


def _sent(entry: Sent) -> Span:
    own = span_id(entry.id, DELIVERY, entry.attempt, entry.host, entry.address, entry.time)
    replies = [code[0] for reply in (*entry.replies, entry.reply) if (code := _CODE.match(reply))]
    found: dict[str, Value] = {
        "server.address": entry.host,
        "network.peer.address": entry.address,
        "postroad.site": entry.site,
        "postroad.source": entry.source,
        "postroad.tls": entry.tls,
        "postroad.tls_policy": entry.policy,
        "postroad.recipients": len(entry.to),
        "postroad.replies": tuple(dict.fromkeys(replies)),
        **_domains("", entry.to),
    }
    bad = [reply for reply in replies if not reply.startswith("2")]
    failed = ", ".join(dict.fromkeys(bad)) or ("no answer" if entry.trouble else "")
    parent = span_id(entry.id, ATTEMPT, entry.attempt)
    name = f"send to {entry.host or entry.site}"
    return Span(entry.id, own, parent, name, entry.began, entry.time, "client", _said(found), failed)


def _domains(sender: str, to: Iterable[str]) -> dict[str, Value]:
    found = tuple(sorted({_domain(address) for address in to} - {""}))
    return {"postroad.sender_domain": _domain(sender), "postroad.recipient_domains": found}


def _domain(address: str) -> str:
    return address.rpartition("@")[2] if "@" in address else ""


def _said(found: Mapping[str, Value]) -> dict[str, Value]:
    """Without what says nothing."""
    return {name: value for name, value in found.items() if value not in ("", ())}
