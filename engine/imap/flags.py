"""Flags of messages as IMAP writes them, and back (RFC 9051 2.3.2)."""

from collections.abc import Iterable, Sequence
from typing import Final

from engine.mailbox.flags import SYSTEM

ALL_SYSTEM: Final = tuple(name.encode() for name in SYSTEM)

_SYSTEM: Final = [
    b" ".join(name for name, bit in zip(ALL_SYSTEM, SYSTEM.values(), strict=True) if bits & bit)
    for bits in range(1 << len(SYSTEM))
]


class FlagTexts:
    """The flags of messages joined by spaces; ``keywords`` are those of the mailbox, by their bits."""

    def __init__(self, keywords: Sequence[str]) -> None:
        self.keywords = tuple(keywords)
        self._names = [keyword.encode() for keyword in keywords]
        self._known: dict[tuple[int, int], bytes] = {}

    def of(self, flags: int, keywords: int) -> bytes:
        if not keywords:
            return _SYSTEM[flags]
        text = self._known.get((flags, keywords))
        if text is None:
            some = [name for bit, name in enumerate(self._names) if keywords >> bit & 1]
            text = self._known[flags, keywords] = b" ".join([_SYSTEM[flags], *some]).lstrip()
        return text

    @property
    def all(self) -> list[bytes]:
        """Every flag that a message of the mailbox may have."""
        return [*ALL_SYSTEM, *self._names]


def parted(flags: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    """Bits of the system flags, and the keywords."""
    bits, keywords = 0, []
    for flag in flags:
        if flag in SYSTEM:
            bits |= SYSTEM[flag]
        else:
            keywords.append(flag)
    return bits, tuple(keywords)
