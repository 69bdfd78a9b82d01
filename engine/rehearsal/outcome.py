"""What became of a message in a rehearsal: for each recipient the verdict, the way to it, and the message as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from engine.message import SITE, Fact, Message, Recipient, end_of_header
from engine.runtime.journey import Final
from engine.verdict import Defer, Delivered, Discard, Quarantine, Reject

_KINDS: dict[type, str] = {
    Delivered: "delivered", Reject: "reject", Defer: "defer", Discard: "discard", Quarantine: "quarantine",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that the message met."""

    lane: str
    stage: str
    verdict: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one recipient. ``fields``: the header at the end, each unfolded. ``body``: a digest, if it was changed."""

    recipient: str
    verdict: str  # delivered, reject, defer, discard, quarantine
    text: str  # what is said to the client or sender; the reason; for delivered: the effect, and the site
    stage: str  # that said so
    lane: str
    site: str = ""
    sender: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    body: str = ""

    def __str__(self) -> str:
        if self.verdict == "delivered":
            return f"delivered: lane {self.lane}, {self.text}"
        return f"{self.verdict} by {self.stage}{f': {self.text}' if self.text else ''}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a message: its fates by recipient, and all stages that it or a part of it met, in their order."""

    fates: tuple[Fate, ...]
    way: tuple[Step, ...] = ()

    @property
    def told(self) -> str:
        """All verdicts in one line."""
        return "; ".join(dict.fromkeys(map(str, self.fates)))


def fate_of(recipient: Recipient, verdict: Final, message: Message, asked: Message, at: tuple[str, str]) -> Fate:
    """``asked`` is the message as the rehearsal began with it, ``at`` the lane and the stage where it ended."""
    lane, stage = at
    if isinstance(verdict, Quarantine) and verdict.stage:
        stage = verdict.stage
    site = message.fact(SITE)
    return Fate(
        recipient.address,
        _KINDS[type(verdict)],
        _said(verdict),
        stage,
        lane,
        site if isinstance(site, str) else "",
        message.sender,
        message.envelope.facts,
        tuple(fields_of(message.header_octets())),
        "" if message.content is asked.content else _digest(message),
    )


def _said(verdict: Final) -> str:
    match verdict:
        case Reject(text, code) | Defer(text, code):
            log = f" ({verdict.log})" if verdict.log else ""
            return f"{code} {text}{log}"
        case Discard(reason) | Quarantine(reason):
            return reason
    return verdict.reply


def fields_of(section: bytes) -> Sequence[str]:
    """The fields of a header section, each unfolded."""
    found: list[str] = []
    for line in section.decode("utf-8", "replace").splitlines():
        if line[:1] in (" ", "\t") and found:
            found[-1] += f" {line.strip()}"
        elif line:
            found.append(line)
    return found


def _digest(message: Message) -> str:
    octets = b"".join(message.chunks())
    end = end_of_header(octets)
    return blake2b(octets[end or 0 :], digest_size=16).hexdigest()
