"""How many connections are open, in all and from each network, and whether one more may be."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from engine.observe import measures

_REFUSED = measures.Counter(
    "postroad_connections_refused_total", "Connections for which there was no place, by whose fault.", ("why",)
)


class Crowd:
    """The connections of one process to some listeners. The limits may be changed at any time."""

    def __init__(self, most: int, most_of_network: int) -> None:
        self.most = most
        self.most_of_network = most_of_network
        self._open = 0
        self._by_network: Counter[str] = Counter()

    def refusal(self, network: str, *, trusted: bool = False) -> str:
        """Why a connection from there cannot be served now; empty: it can. ``trusted``: no matter how many it has."""
        if self._open >= self.most:
            _REFUSED.of("all").value += 1
            return "Too many connections, come again"
        if not trusted and self._by_network[network] >= self.most_of_network:
            _REFUSED.of("network").value += 1
            return "Too many connections from your network"
        return ""

    @contextmanager
    def joined(self, network: str) -> Iterator[None]:
        """One connection from there, as long as the block."""
        self._open += 1
        self._by_network[network] += 1
        try:
            yield
        finally:
            self._open -= 1
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]
