"""What travels on a link between processes: versioned MessagePack.

Frame 0 is a batch, further frames are content that is not stored yet; stored content travels as a reference.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgpack

from engine.message import Content, Envelope, Message, MessageId, Octets, Recipient, Session
from engine.protocols.timing import UNTIMED, Timing
from engine.verdict import Changed, Defer, Delivered, Discard, Each, Quarantine, Reject, Route, Verdict

VERSION = 1
"""Both ends of a link run the same release on one host; between hosts a difference must be noticed."""

Reference = tuple[Any, ...]
"""Where stored content is: ("queue", shard, id, size) or ("file", path, size)."""


_LEFT_OUT, _TIMING = 7, 9
"""Where these stand behind the facts. What was stored by an earlier release may end behind the first one."""


class WireError(Exception):
    """The other side speaks another version, or no sense."""


UNPACKABLE = (TypeError, ValueError, OverflowError)
"""What ``pack`` raises for values that MessagePack does not hold."""


def pack(body: object) -> bytes:
    packed: bytes = msgpack.packb([VERSION, body])
    return packed


def unpack(frame: bytes) -> Any:
    """The body of a frame. WireError."""
    try:
        version, body = msgpack.unpackb(frame, use_list=True, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"not a frame of ours: {error}") from error
    if version != VERSION:
        raise WireError(f"the other side speaks version {version} of the wire, this one {VERSION}")
    return body


def pack_envelope(envelope: Envelope) -> list[Any]:
    e, s = envelope, envelope.session
    return [
        e.sender,
        [[r.address, r.notify, r.original, r.lane] for r in e.recipients],
        [s.peer, s.helo, s.protocol, s.tls, s.login, s.trusted],
        dict(e.facts),
        e.prepended,
        e.arrived,
        e.attempts,
        e.smtputf8,
        e.body,
        e.ret,
        e.envid,
        e.left_out,
        e.requiretls,
        None if e.timing is UNTIMED else _pack_timing(e.timing),
    ]


def _pack_timing(timing: Timing) -> list[Any]:
    return [timing.priority, timing.release, timing.by, timing.by_mode]


def unpack_envelope(packed: list[Any]) -> Envelope:
    sender, recipients, session, facts, *rest = packed
    rest[_LEFT_OUT] = tuple(map(tuple, rest[_LEFT_OUT]))
    if len(rest) > _TIMING:
        rest[_TIMING] = UNTIMED if rest[_TIMING] is None else Timing(*rest[_TIMING])
    return Envelope(sender, tuple(Recipient(*r) for r in recipients), Session(*session), MappingProxyType(facts), *rest)


def pack_message(message: Message, frames: list[bytes]) -> list[Any]:
    """The message as a list; content that is not stored is appended to ``frames``."""
    content = message.content
    reference = getattr(content, "reference", None)
    if reference is None:
        frames.append(b"".join(content.chunks()))
        reference = ("frame", len(frames) - 1)
    return [message.id, pack_envelope(message.envelope), reference]


def unpack_message(packed: list[Any], frames: list[bytes], find: Callable[[Reference], Content]) -> Message:
    identity, envelope, reference = packed
    content = Octets(frames[reference[1]]) if reference[0] == "frame" else find(tuple(reference))
    return Message(MessageId(identity), unpack_envelope(envelope), content)


_PLAIN: list[tuple[type, tuple[str, ...]]] = [
    (Reject, ("text", "code", "log", "reply", "remote", "source")),
    (Defer, ("text", "code", "log", "retry_after", "reply", "remote", "unreached", "expires", "line", "source")),
    (Discard, ("reason",)),
    (Quarantine, ("reason", "stage")),
    (Route, ("lane", "to", "notify")),
    (Delivered, ("reply", "remote", "tell")),
]
_NUMBER = {kind: number for number, (kind, _) in enumerate(_PLAIN)}
_PASS, _CHANGED, _EACH, _ROUTES, _CHANGED_FIRST, _SENDING = -1, -2, -3, -4, -5, -6


def pack_verdict(verdict: Verdict | Changed | tuple[Route, ...], asked: Message) -> list[Any]:
    """The verdict on ``asked``. A message that was passed on unchanged costs one number."""
    if verdict is asked:
        return [_PASS]
    if isinstance(verdict, Delivered):
        if not verdict.sends:
            return pack_plain(verdict)
        sends = [[message.id, *_pack_changed(message, asked)] for message in verdict.sends]
        return [_SENDING, pack_plain(verdict), sends]
    if isinstance(verdict, Message):
        return [_CHANGED, *_pack_changed(verdict, asked)]
    if isinstance(verdict, Each):
        return _pack_each(verdict, asked)
    if isinstance(verdict, tuple):
        return [_ROUTES, [pack_verdict(route, asked) for route in verdict]]
    if isinstance(verdict, Changed):
        changed = verdict.message
        return [_CHANGED_FIRST, pack_verdict(verdict.verdict, changed), *_pack_changed(changed, asked)]
    return pack_plain(verdict)


def pack_plain(verdict: object) -> list[Any]:
    """A verdict that holds no message."""
    number = _NUMBER[type(verdict)]
    return [number, *(getattr(verdict, name) for name in _PLAIN[number][1])]


def _pack_changed(message: Message, asked: Message) -> list[Any]:
    """What ``asked`` has become: without its content, where that is the same."""
    content = None if message.content is asked.content else b"".join(message.content.chunks())
    return [pack_envelope(message.envelope), content]


def _unpack_changed(packed: list[Any], asked: Message, identity: MessageId) -> Message:
    envelope, content = packed
    return Message(identity, unpack_envelope(envelope), asked.content if content is None else Octets(content))


def _delivered(plain: list[Any], sends: tuple[Message, ...]) -> Delivered:
    reply, remote, tell = plain
    return Delivered(reply, remote, sends, tell)


def _pack_each(each: Each, asked: Message) -> list[Any]:
    # Recipients that share a message object must still share it on the other side: they go on together.
    shared: dict[int, int] = {}
    packed: list[Any] = []
    answers: dict[str, int] = {}
    for address, verdict in each.verdicts.items():
        index = shared.get(id(verdict))
        if index is None:
            index = shared[id(verdict)] = len(packed)
            packed.append(pack_verdict(verdict, asked))
        answers[address] = index
    return [_EACH, packed, answers]


def unpack_verdict(packed: list[Any], asked: Message) -> Verdict | Changed | tuple[Route, ...]:
    number, *rest = packed
    if number == _PASS:
        return asked
    if number == _CHANGED:
        return _unpack_changed(rest, asked, asked.id)
    if number == _ROUTES:
        return tuple(Route(lane, tuple(to), notify) for _, lane, to, notify in rest[0])
    if number == _EACH:
        verdicts = [unpack_verdict(verdict, asked) for verdict in rest[0]]
        return Each({address: verdicts[index] for address, index in rest[1].items()})
    if number == _CHANGED_FIRST:
        changed = _unpack_changed(rest[1:], asked, asked.id)
        return Changed(changed, unpack_verdict(rest[0], changed))  # type: ignore[arg-type]
    if number == _SENDING:
        _, *plain = rest[0]
        sends = (_unpack_changed(sent, asked, MessageId(identity)) for identity, *sent in rest[1])
        return _delivered(plain, tuple(sends))
    kind = _PLAIN[number][0]
    if kind is Route:
        lane, to, notify = rest
        return Route(lane, tuple(to), notify)
    if kind is Delivered:
        return _delivered(rest, ())
    verdict: Verdict = kind(*rest)
    return verdict
