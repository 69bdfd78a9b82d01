"""What the index says of a message that waits: enough for most questions about a whole queue, in a fifth of the octets.

An array of MessagePack: when it arrived, its attempts and its id in one of their own, its size, and of each group in
which messages are counted a number for the value that it has there, so that those of one value are counted together.
The name of a group is read of one of them.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

import msgpack
import msgspec

from engine.queue.groups import GROUPED

Seen: TypeAlias = Any  # a record, or as much of it as a brief has

NAMES = frozenset({"age", "attempts", "size", "state"})
"""What a condition may ask that is answered by briefs."""

COLUMNS = ("domain", "reply", "site", "sender", "tenant", "sender.domain", "line", "lane")
"""The groups, in their order."""

_VALUES = tuple(GROUPED[name].values for name in COLUMNS)


def brief(record: Seen) -> bytes:
    """That of a record."""
    envelope = record.envelope
    numbers = [_number(*values((record,))) for values in _VALUES]
    packed: bytes = msgpack.packb([[envelope.arrived, envelope.attempts, record.id], record.size, *numbers])
    return packed


@lru_cache(maxsize=4096)
def _number(value: Any) -> int:
    """Of 64 bits: two values of a million have the same one as seldom as a disk reads a wrong bit."""
    return int.from_bytes(blake2b(msgpack.packb(value), digest_size=8).digest(), "big")


class _Known(msgspec.Struct, array_like=True, gc=False):
    """What stands where the envelope does."""

    arrived: float
    attempts: int
    id: bytes


@lru_cache(maxsize=64)
def shape(state: str, column: str = "") -> Any:
    """A struct of briefs of messages in that state: what a condition asks, and as ``value`` the number of a group."""
    place = COLUMNS.index(column) + 1 if column in COLUMNS else 0
    fields: list[tuple[str, Any]] = [("envelope", _Known), ("size", int)]
    fields += [("value" if number == place else f"passed_{number}", int) for number in range(1, place + 1)]
    return msgspec.defstruct("Brief", fields, array_like=True, gc=False, namespace={"state": state})
