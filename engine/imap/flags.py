"""Flags of messages as IMAP writes them, and back (RFC 9051 2.3.2)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from engine.mailbox.flags import SYSTEM

ALL_SYSTEM: Final = tuple(name.encode() for name in SYSTEM)

_SYSTEM: Final = [
    b" ".join(name for name, bit in zip(ALL_SYSTEM, SYSTEM.values(), strict=True) if bits & bit)
    for bits in range(1 << len(SYSTEM))
]


class _Known(dict[tuple[int, int], bytes]):
    """The text of each set of flags that was asked for: many messages have few."""

    def __init__(self, keywords: Sequence[bytes]) -> None:
        super().__init__()
        self._keywords = keywords

    def __missing__(self, bits: tuple[int, int]) -> bytes:
        flags, keywords = bits
        some = [name for bit, name in enumerate(self._keywords) if keywords >> bit & 1]
        text = self[bits] = b" ".join([_SYSTEM[flags], *some]).lstrip()
        return text


class FlagTexts:
    """The flags of messages joined by spaces; ``keywords`` are those of the mailbox, by their bits."""

    def __init__(self, keywords: Sequence[str]) -> None:
        self.keywords = tuple(keywords)
        self._names = [keyword.encode() for keyword in keywords]
        self._known = _Known(self._names)

    def all_of(self, flags: Sequence[int], keywords: Sequence[int]) -> list[bytes]:
        """Of many messages, by the bits of each."""
        if not any(keywords):
            return list(map(_SYSTEM.__getitem__, flags))
        return list(map(self._known.__getitem__, zip(flags, keywords, strict=True)))

    @property
    def all(self) -> list[bytes]:
        """Every flag that a message of the mailbox may have."""
        return [*ALL_SYSTEM, *self._names]


@lru_cache(maxsize=1024)
def parted(flags: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """Bits of the system flags, and the keywords."""
    bits, keywords = 0, []
    for flag in flags:
        if flag in SYSTEM:
            bits |= SYSTEM[flag]
        else:
            keywords.append(flag)
    return bits, tuple(keywords)
