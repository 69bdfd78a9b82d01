"""What the index says of a message that waits: enough for most questions about a whole queue, in a fifth of the octets.

An array of MessagePack: when it arrived, its attempts and its id in one of their own, its size, and of each group in
which messages are counted a number for the value that it has there, so that those of one value are counted together.
The name of a group is read of one of them.
"""

import struct
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


_HEAD = struct.Struct(">BBBdBIBB16sBQ")
"""Up to the numbers, each by its longest form: there is nothing to choose, for which a packer takes long."""

_ARRAY, _DOUBLE, _UINT32, _BIN8, _UINT64 = 0x90, 0xCB, 0xCE, 0xC4, 0xCF  # how they begin in MessagePack


def brief(record: Seen) -> bytes:
    """That of a record."""
    envelope = record.envelope
    head = _HEAD.pack(
        _ARRAY + 2 + len(_VALUES), _ARRAY + 3, _DOUBLE, envelope.arrived, _UINT32, min(envelope.attempts, 2**32 - 1),
        _BIN8, 16, record.id, _UINT64, record.size,
    )  # fmt: skip
    one = (record,)
    return head + b"".join([_number(*values(one)) for values in _VALUES])


@lru_cache(maxsize=4096)
def _number(value: Any) -> bytes:
    """Of 64 bits: two values of a million have the same one as seldom as a disk reads a wrong bit."""
    return b"\xcf" + blake2b(msgpack.packb(value), digest_size=8).digest()


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
