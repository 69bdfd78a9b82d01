"""What a stage may decide about a message.

A stage returns the message (changed or not) to pass it on, or one of the verdicts below, or ``Each`` to decide
for each recipient on its own. Outcomes are returned; an exception means that something broke, and defers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.message import Message


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse for good: a 5xx reply before ``queue``, a bounce to the sender after it.

    ``text`` goes to the other side, ``log`` only to the operator. ``code`` is an enhanced status code (RFC 3463).
    ``reply`` is the remote server's own reply, for the bounce (RFC 3464 2.3.6), and ``remote`` names that server;
    ``source`` is the name of the source that it was sent from.
    """

    text: str
    code: str = "5.7.1"
    log: str = ""
    reply: str = ""
    remote: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Defer:
    """Try again later: a 4xx reply before ``queue``, a new attempt in ``retry_after`` seconds after it.

    Without ``retry_after`` the engine's own schedule applies. ``expires`` is the Unix time from which on a deferral is
    a refusal; without both it is set by ``[queue] expire``.

    ``unreached``: no server of the recipients' domain could be spoken to, which says nothing about this message. What
    else is for that domain then waits in line with it, and one message goes ahead to try. When it expires it is tried
    though the line has not moved.

    ``line``: there is no slot for it now, which is no failure: it waits in the line of this name for its turn, in
    ``retry_after`` seconds at the latest, and no attempt is counted.
    """

    text: str
    code: str = "4.3.0"
    log: str = ""
    retry_after: float | None = None
    reply: str = ""
    remote: str = ""
    unreached: bool = False
    expires: float | None = None
    line: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept the message and let it vanish; nobody is told. ``reason`` goes to the log."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept the message and park it, out of everyone's way, until an operator decides.

    ``stage`` is written in by the engine: who says so.
    """

    reason: str = ""
    stage: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Route:
    """Send this recipient down another lane when this lane has ended.

    ``to`` replaces the recipient by other addresses (an alias by its members); empty keeps it. Without a ``lane``, one
    is still to be picked by a stage that follows. ``notify`` is what the sender is told of them (RFC 3461 4.1) where
    that is not what it asked for: "NEVER" for copies of which it must not hear.
    """

    lane: str
    to: tuple[str, ...] = ()
    notify: str = ""


Routes: TypeAlias = tuple[Route, ...]
Tell: TypeAlias = Literal["", "delivered", "relayed", "expanded", "nothing", "untimed"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """An effect stage has handed the message on: to a mailbox, or to the next server, whose reply is ``reply``.

    ``sends`` are messages that come of this one: answers, and copies that go on elsewhere. `queue` takes them in by the
    very change that lets the recipient go, so they are sent once, whatever crashes: if the stage is asked again for the
    same recipient, it must send the same, with the same ids. Their content is in memory, or is that of the message.

    ``tell`` is what a sender hears who has asked for it (RFC 3461 4.1): `delivered`, `relayed`, or `nothing`, because
    the next server will tell (5.2.1). Empty: `relayed` where there is a ``remote``, else `delivered`. `expanded` is
    said by the engine, of a list whose members get the message. `untimed`: `relayed`, whether or not it was asked for:
    the next server does not know by when it was to be delivered.
    """

    reply: str = ""
    remote: str = ""
    sends: tuple[Message, ...] = ()
    tell: Tell = ""


@dataclass(frozen=True, slots=True)
class Each:
    """A verdict for each recipient, by address. A recipient that is not named is passed on unchanged.

    Recipients that get the very same ``Message`` object go on together as one. ``Routes`` send one recipient down
    several lanes (an alias with members here and elsewhere); then each ``Route`` names its addresses in ``to``.
    """

    verdicts: Mapping[str, Message | Reject | Defer | Discard | Quarantine | Route | Routes | Delivered] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Changed:
    """A verdict on a message that was changed first: recipients that the verdict lets go on get the changed one."""

    message: Message
    verdict: Each | Route | Quarantine


def is_held(verdict: object) -> bool:
    """Whether all of it only waits in a line, which is no failure and no attempt."""
    if isinstance(verdict, Each):
        return all(map(is_held, verdict.verdicts.values()))
    return isinstance(verdict, Defer) and bool(verdict.line)


NOT_DELIVERED = (Reject, Defer)
"""Verdicts by which a recipient has not got the message, now or for good."""

STORE_FIRST = Defer("More comes of it than its delivery", line="queue")
"""What a stage says of a message that has the fact UNSTORED, and of which more comes than its delivery: nothing was
done, and it is to be brought again once it is in the queue."""


Verdict: TypeAlias = Message | Reject | Defer | Discard | Quarantine | Route | Delivered | Each
