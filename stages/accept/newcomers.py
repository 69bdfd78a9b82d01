"""Clients that are not known to wait for the greeting, and what one who makes mistakes is made to wait for."""

import trio

from engine.net.dns import ExpiringCache

_KNOWN_FOR = 86_400.0
"""Seconds for which a client that has waited is not tried again: the greeting of most that come often is not late."""

_MOST = 100_000


class Newcomers:
    """Who is to wait for the greeting: clients that have not done so lately, in this worker."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._known: ExpiringCache[str, bool] = ExpiringCache(_MOST, trio.current_time)

    def delay(self, peer: str) -> float:
        """Seconds that this client is to wait."""
        return self._delay if self._delay and not self._known.get(peer) else 0.0

    def has_waited(self, peer: str) -> None:
        self._known.put(peer, True, trio.current_time() + _KNOWN_FOR)


class Tarpit:
    """Holds up replies to errors, of each further one in a session twice as long, and of so many sessions at once.

    What is over that is answered at once: who opens many sessions is not to fill the server with them.
    """

    def __init__(self, longest: float, free: int, places: int) -> None:
        self._longest = longest
        self._free = free
        self._places = places

    async def hold(self, errors: int) -> None:
        """Wait, as long as is due for so many errors of one session."""
        if self._places:
            self._places -= 1
            try:
                await trio.sleep(min(2.0 ** min(errors - self._free - 1, 16), self._longest))
            finally:
                self._places += 1
