"""Greylisting (RFC 6647): a client that is not known yet is told to come again, which spam software seldom does.

What must come again is a triplet: the client, by its network or by a domain that SPF proves it to speak for; the
sender, without what changes from message to message; the recipient.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.abuse.table import Changes, Kept, key_of
from engine.abuse.tables import SharedTable
from engine.protocols.address import domain_of

_DAY = 86_400.0

_SRS = re.compile(r"srs[01][-+=][^=]*=(?:[^=]*=)*?([^=]+=[^=]+)", re.IGNORECASE)
_BATV = re.compile(r"prvs=[^=]*=(.+)", re.IGNORECASE)
_CHANGING = re.compile(r"[^-_.=]*\d[^-_.=]*(?:[-_.=]+[^-_.=]*\d[^-_.=]*)*")
"""Words with a digit, and as many as stand one behind the other."""


def steady(sender: str) -> str:
    """A sender without what is another in each message: tags of SRS, BATV and VERP, numbers, `+` and what follows."""
    local, at, _ = sender.rpartition("@")
    local = local.lower()
    if found := _BATV.fullmatch(local):
        local = found[1]
    elif found := _SRS.fullmatch(local):
        local = f"srs={found[1]}"
    local = local.partition("+")[0] or local
    return f"{_CHANGING.sub('#', local)}{at}{domain_of(sender)}" if at else sender


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds. A client whose network (or proved domain) has passed with so many triplets needs no more of
    them; 0: it always does."""

    delay: float = 300.0
    window: float = 2 * _DAY
    remember: float = 36 * _DAY  # a monthly letter, and some days
    network_passes: int = 5
    domain_passes: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """A recipient at the door. ``domain``: that which SPF proves the client to speak for, or empty."""

    network: str
    sender: str
    recipient: str
    domain: str = ""


class Triplet(msgspec.Struct, array_like=True, tag=0):
    """``passed`` is the Unix time at which it passed last; 0: it waits."""

    client: str
    sender: str
    recipient: str
    first: float
    tries: int = 1
    passed: float = 0.0


class Known(msgspec.Struct, array_like=True, tag=1):
    """A network or a domain: with how many triplets it has passed, and when it was last seen (Unix time)."""

    name: str
    passes: int = 0
    seen: float = 0.0

    def suffices(self, passes: int) -> bool:
        return 0 < passes <= self.passes


_encode = msgspec.msgpack.Encoder().encode
_triplet = msgspec.msgpack.Decoder(Triplet).decode
_known = msgspec.msgpack.Decoder(Known).decode
decode: Callable[[bytes], Triplet | Known] = msgspec.msgpack.Decoder(Triplet | Known).decode


@dataclass(slots=True)
class Greylist:
    """Every method may raise StorageError."""

    table: SharedTable
    terms: Terms = field(default_factory=Terms)
    clock: Callable[[], float] = time.time

    async def knows(self, attempt: Attempt) -> bool:
        """Whether it is known by its network, so that nothing need be written: the usual case."""
        keys = [key_of("network", attempt.network), _key(attempt, attempt.network)]
        network, triplet = await self.table.read(keys)
        now = self.clock()
        if network is not None and (known := _known(network)).suffices(self.terms.network_passes):
            return now - known.seen < _DAY
        return triplet is not None and now - _triplet(triplet).passed < _DAY

    async def wait(self, attempt: Attempt) -> float:
        """For how many seconds the client must wait; 0: it may pass."""
        kinds = {"network": attempt.network, **({"domain": attempt.domain} if attempt.domain else {})}
        known = [key_of(kind, name) for kind, name in kinds.items()]
        triplets = [_key(attempt, name) for name in kinds.values()]

        def decide(values: Sequence[bytes | None]) -> tuple[float, Changes]:
            found = values[: len(known)]
            clients = [
                _known(value) if value else Known(name) for name, value in zip(kinds.values(), found, strict=True)
            ]
            triplet = self._triplet(attempt, map(_triplet, filter(None, values[len(known) :])))
            return self._judged(clients, known, triplet, triplets)

        return await self.table.change(known + triplets, decide)

    def _judged(
        self, clients: Sequence[Known], known: Sequence[bytes], triplet: Triplet, keys: Sequence[bytes]
    ) -> tuple[float, Changes]:
        now = self.clock()
        passes = (self.terms.network_passes, self.terms.domain_passes)
        is_known = triplet.passed > 0 or any(map(Known.suffices, clients, passes))
        wait = triplet.first + self.terms.delay - now
        if wait > 0 and not is_known:
            return wait, {keys[-1]: Kept(_encode(triplet), triplet.first + self.terms.window - now)}
        # Under the network in any case: the next time it is known without a look at SPF.
        triplet.passed = now
        changes = {keys[0]: Kept(_encode(triplet), self.terms.remember)}
        for client, key in zip(clients, known, strict=True):
            client.passes += not is_known
            client.seen = now
            if client.passes:
                changes[key] = Kept(_encode(client), self.terms.remember)
        return 0.0, changes

    def _triplet(self, attempt: Attempt, found: Iterable[Triplet]) -> Triplet:
        """What is known of it by the network or by the domain, or a new one."""
        now = self.clock()
        for triplet in sorted(found, key=lambda triplet: (-triplet.passed, triplet.first)):
            if triplet.passed or now - self.terms.window < triplet.first <= now:  # not begun by another clock
                triplet.tries += 1
                return triplet
        return Triplet(attempt.domain or attempt.network, attempt.sender, attempt.recipient, now)


def _key(attempt: Attempt, client: str) -> bytes:
    return key_of("triplet", client, attempt.sender, attempt.recipient)
