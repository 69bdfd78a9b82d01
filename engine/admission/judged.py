"""Whose mail is looked at before it is let in, and what was found of a client a moment ago."""

from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Generic, TypeVar

import trio

from engine.message import Session
from engine.net.dns import ExpiringCache
from engine.protocols.address import split

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

ALWAYS_REACHED = ("postmaster", "abuse")
"""Whom one must be able to ask why one's mail is refused (RFC 5321 4.5.1, RFC 2142 4)."""

KEPT = 60.0
"""Seconds that a finding is kept: longer than one transaction, not longer than most answers of lists are good for."""

_MOST = 10_000


def is_judged(session: Session) -> bool:
    """Whether the client is looked at: not who has logged in, or may relay."""
    return bool(session.peer) and not session.trusted and not session.login


def is_reached(recipient: str, always: Collection[str]) -> bool:
    """Whether the recipient's local part is one of those that always get their mail."""
    return split(recipient)[0].lower() in map(str.lower, always)


class Lately(Generic[Key, Value]):
    """What was found lately: hooks before DATA and the stage itself ask the same, and clients come again and again."""

    def __init__(self) -> None:
        self._found: ExpiringCache[Key, Value] = ExpiringCache(_MOST, trio.current_time)

    async def of(self, key: Key, find: Callable[[], Awaitable[Value]]) -> Value:
        """What was found for the key; else what ``find`` finds now."""
        found = self._found.get(key)
        if found is None:
            found = await find()
            self._found.put(key, found, trio.current_time() + KEPT)
        return found
