"""What virtual sites do: a table that says so, and the names and addresses that follow from it."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.net.zone import Zone
from engine.units import Rate

ORIGIN = "sites.test"
"""The domains of the sites are below it: ``NAME-0.sites.test``, ``NAME-1.sites.test`` and so on."""

NETWORK = "127.64.0.0/10"
"""The addresses of the sites. Postroad is to relay to these, and so not to 127.0.0.1, which a domain may point to."""

STEPS = ("CONNECT", "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "CONTENT", ".", "RSET", "QUIT")
"""Where something may be scripted. CONTENT is when its first octets have come, "." when all have, by BDAT as well."""

FAULTS = {
    "drop": "closes the connection",
    "reset": "breaks the connection (RST)",
    "silence": "says nothing more, and keeps the connection",
    "flood": "says a reply that never ends, in lines",
    "line": "says a reply that never ends, in one line",
    "long": "says what it would, in 60 lines of 500 octets",
    "overlong": "says what it would in one line of 6,000 octets",
    "nonsense": "says what is no reply",
    "bare": "says what it would, its lines ended by LF alone",
    "twice": "says what it would, two times",
    "half": "says the first half of what it would, and closes the connection",
    "mixed": "says a reply whose lines have different codes",
    "taken": "takes the message, and closes the connection without a word",
}
"""What may stand behind a "!" in place of a reply."""

USUAL = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "SIZE 50000000", "CHUNKING")

_MX = ("own", "shared", "backup", "none", "nowhere", "refused", "loopback")

Tls = Literal["none", "good", "wrong-name", "alert", "garbage", "drop", "stripped", "refused"]
"""``good``: offered, with a certificate of the simulator's authority; ``wrong-name``: for another host; ``alert``: the
handshake fails, ``garbage`` and ``drop``: what follows on the 220 is no TLS, or nothing; ``stripped``: somebody on the
way has overwritten the offer; ``refused``: offered, and then answered by 454."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What so many ``sites`` do, each for itself. What is not said they do as they should."""

    name: str
    sites: int = 1
    mx: tuple[str, ...] = ("own",)
    """Best first. ``own``: a host of its own; ``shared``: one for all domains of this behaviour; ``backup``: one more,
    for all, which does everything right; ``none``: a null MX; ``nowhere``: a name without an address; ``refused``: an
    address at which nobody listens; ``loopback``: 127.0.0.1; the name of another behaviour: its first host, which does
    not take mail for this domain."""
    extensions: tuple[str, ...] = USUAL
    tls: Tls = "none"
    delays: Mapping[str, float] = {}
    """Seconds that pass before an answer, by step: "CONNECT", ".", or "*" for every step that is not named."""
    trickle: float = 0.0
    """Octets of a reply in a second; 0: all at once."""
    greylist: float = 0.0
    """Seconds for which a triplet of client, sender and recipient is put off, from the first time that it is seen."""
    messages: tuple[str, ...] = ()
    """Rates, like "10/1s". What is above them is answered by ``over``."""
    recipients: tuple[str, ...] = ()
    over: str = "421 4.7.28 Too much mail from your address"
    connections: int = 0
    """At once; 0: without a limit. Another one is answered by ``busy``."""
    busy: str = "421 4.7.0 Too many connections"
    per_connection: int = 0
    """Messages, after which ``parting`` is said; 0: without a limit."""
    parting: str = "421 4.7.0 That is enough for one connection"
    """What stands here is said to the next MAIL; empty: the connection is closed behind the reply to the content."""
    steps: Mapping[str, str | tuple[str, ...]] = {}
    """Step → answer, or several that are given in turn, the last of which stays. "RCPT full" stands for recipients with
    a local part that begins with "full". An answer is a reply, "ok", or "!" with one of FAULTS."""
    again: bool = False
    """Whether answers begin anew where they would end."""
    later: tuple[Mapping[str, Any], ...] = ()
    """What changes with time: any of these settings, and with ``after`` when, in seconds from the start."""

    def __post_init__(self) -> None:
        """ValueError for what cannot be done."""
        for rate in (*self.messages, *self.recipients):
            Rate(rate)
        for key, answers in self.steps.items():
            if key.partition(" ")[0] not in STEPS:
                raise ValueError(f"{key!r} is no step; the steps are {', '.join(STEPS)}")
            for answer in (answers,) if isinstance(answers, str) else answers:
                if answer.startswith("!") and answer[1:] not in FAULTS:
                    raise ValueError(f"{answer!r} is no fault; the faults are {', '.join(FAULTS)}")

    def changed(self, changes: Mapping[str, Any]) -> "Behaviour":
        """Another one. ValueError for what is no behaviour."""
        return msgspec.convert({**msgspec.to_builtins(self), **changes}, Behaviour)

    def stages(self) -> Iterator[tuple[float, "Behaviour"]]:
        """From when on what it does, in seconds from the start."""
        now = self.changed({"later": []})
        yield 0.0, now
        for change in self.later:
            now = now.changed({key: value for key, value in change.items() if key != "after"})
            yield float(change["after"]), now


class Place(msgspec.Struct, frozen=True):
    """One host: where it listens, and for which domains it takes mail."""

    name: str  # "grey-0", or "grey" for a shared one
    host: str
    address: str
    domains: tuple[str, ...]
    behaviour: Behaviour


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All behaviours. As TOML: ``[[site]]`` tables."""

    site: tuple[Behaviour, ...]

    def __post_init__(self) -> None:
        """ValueError for names that are there twice, or not at all."""
        names = [each.name for each in self.site]
        if len(set(names)) < len(names):
            raise ValueError("two behaviours have the same name")
        for each in self.site:
            if strange := {*each.mx} - {*_MX, *names}:
                raise ValueError(f"{each.name}: no mx is called {', '.join(sorted(strange))}")

    @classmethod
    def of(cls, *site: Mapping[str, Any]) -> "Table":
        return msgspec.convert({"site": site}, cls)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """ValueError for a file that is no table."""
        load = json.loads if path.suffix == ".json" else tomllib.loads
        return msgspec.convert(load(path.read_text()), cls)

    def places(self) -> Iterator[Place]:
        """The hosts. Each has its address for good, whatever else changes in the table behind it."""
        for first, each in zip(self._firsts(), self.site, strict=True):
            domains = domains_of(each)
            if "shared" in each.mx:
                yield Place(each.name, _host(each.name), address(first), tuple(domains), each)
            elif "own" in each.mx:
                for number, domain in enumerate(domains):
                    name = f"{each.name}-{number}"
                    yield Place(name, _host(name), address(first + number), (domain,), each)
            if "backup" in each.mx:
                name = f"{each.name}-backup"
                yield Place(name, _host(name), address(first + each.sites), tuple(domains), Behaviour(name=name))

    def _firsts(self) -> Iterator[int]:
        first = 1
        for each in self.site:
            yield first
            first += each.sites + 1  # the backup

    def zone(self) -> Zone:
        """The DNS of all of them."""
        zone = Zone(ORIGIN, ttl=24 * 3600)
        for first, each in zip(self._firsts(), self.site, strict=True):
            for number, domain in enumerate(domains_of(each)):
                name = domain.removesuffix(f".{ORIGIN}")
                hosts = [self._mx(each, which, name) for which in each.mx]
                zone.set(name, "MX", *(f"{0 if host == '.' else 10 * (n + 1)} {host}" for n, host in enumerate(hosts)))
                if "refused" in each.mx:
                    zone.set(f"refused-{name}", "A", _refusing(first + number))
                if "loopback" in each.mx:
                    zone.set(f"loopback-{name}", "A", "127.0.0.1")
        for place in self.places():
            zone.set(place.host, "A", place.address)
        return zone

    def _mx(self, each: Behaviour, which: str, name: str) -> str:
        """The name that an MX record has, below the origin."""
        match which:
            case "own":
                return _host(name)
            case "shared":
                return _host(each.name)
            case "backup":
                return _host(f"{each.name}-backup")
            case "none":
                return "."
            case "nowhere" | "refused" | "loopback":
                return f"{which}-{name}"
        other = next(one for one in self.site if one.name == which)
        return _host(other.name if "shared" in other.mx else f"{other.name}-0")


def domains_of(each: Behaviour) -> Sequence[str]:
    return [f"{each.name}-{number}.{ORIGIN}" for number in range(each.sites)]


def address(number: int) -> str:
    """Where a host listens."""
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _refusing(number: int) -> str:
    """An address at which nobody listens: those of hosts end far below."""
    return f"127.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _host(name: str) -> str:
    """One label, so that one certificate for ``*.sites.test`` is good for all."""
    return f"mx-{name}"
