r"""System flags as bits, and how a set of flags is changed (RFC 9051 2.3.2)."""

import enum

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
"""Bits of ``MessageRow.flags``."""

SYSTEM = {"\\Seen": SEEN, "\\Answered": ANSWERED, "\\Flagged": FLAGGED, "\\Deleted": DELETED, "\\Draft": DRAFT}

MOST_KEYWORDS = 64
"""Keywords that one mailbox may know: bits of ``MessageRow.keywords``. A bit keeps its meaning for ever."""


class Mode(enum.Enum):
    """What STORE does with the flags that it names (RFC 9051 6.4.6)."""

    ADD = "+"
    REMOVE = "-"
    REPLACE = "="

    def __call__(self, bits: int, named: int) -> int:
        """What becomes of ``bits``."""
        match self:
            case Mode.ADD:
                return bits | named
            case Mode.REMOVE:
                return bits & ~named
            case Mode.REPLACE:
                return named
