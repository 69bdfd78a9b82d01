"""How it stands with a way that mail leaves by, for those who watch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """That of one way, at one moment."""

    site: str
    source: str
    connections: int  # that are open
    limit: int  # how many there may be
    waiting: int  # messages
    paused_for: float  # seconds, until the next one may leave
    last_reply: str  # to a message, from the other side
