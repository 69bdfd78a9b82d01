"""Questions to the DNS: outcomes instead of exceptions, a cache that honours TTLs, one query for many askers."""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver
import idna
import trio

from engine.net.targets import host_and_port, is_loopback

ALIAS_LIMIT = 8
"""CNAME records that are followed from one name; a longer chain is somebody's mistake, or a loop."""

UDP_SIZE = 1232
"""Octets of a UDP answer that pass every network without fragments (DNS flag day 2020)."""

LONGEST_TTL = 86_400.0
"""Seconds that an answer is kept at most, so that a typing error of 68 years heals in a day."""

LONGEST_NEGATIVE_TTL = 3_600.0
"""Seconds that a negative answer is kept at most (RFC 2308 5 suggests one to three hours)."""

TROUBLE_TTL = 5.0
"""Seconds before a question that failed is asked again (RFC 9520 3.2)."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Record = TypeVar("Record")


class Mx(NamedTuple):
    """One MX record. ``host`` is in A-labels, lower case, without the final dot; the root is ``"."``."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[Record]):
    """Records, at least one. ``expires`` is a time of the resolver's clock, in seconds.

    ``secure`` says that a validating resolver which we trust vouched for it (the AD bit, RFC 4035 3.2.3). ``name`` is
    where the aliases of the name that was asked about end; empty where nobody has looked.
    """

    records: tuple[Record, ...]
    expires: float
    secure: bool = False
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NoSuchName:
    """The name does not exist (NXDOMAIN), or cannot exist: then ``text`` says why."""

    expires: float
    secure: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class NoData:
    """The name exists, but has no record of this type."""

    expires: float
    secure: bool = False


@dataclass(frozen=True, slots=True)
class DnsTrouble:
    """Nobody could say: time ran out, the server failed or refused, the answer was broken. Ask again later."""

    text: str
    expires: float


Outcome: TypeAlias = Answer[Record] | NoSuchName | NoData | DnsTrouble

Ask: TypeAlias = Callable[[str, str], Awaitable[Outcome[Any]]]
"""A question by name and type: ``Resolver.ask``, or what stands for it in a test."""


def a_labels(domain: str) -> str:
    """``domain`` in lower case as the DNS knows it: U-labels become A-labels (RFC 5891, with the UTS 46 mapping).

    ValueError, with a text for the sender, when that cannot be done.
    """
    if domain.isascii():
        return domain.lower()
    if len(domain) > 253:
        raise ValueError("the domain name is too long")
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False)
        # Label by label: IDNA knows no underscore, and ASCII labels such as _dmarc need no IDNA.
        labels = [label if label.isascii() else idna.alabel(label).decode() for label in mapped.split(".")]
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"{domain} is no internationalized domain name: {error}") from error
    return ".".join(labels).lower()


class Unknown(LookupError):
    """The answer would have to be asked for."""


class Known:
    """Stands for a resolver where only what it knows already is of use: Unknown for all else. Nothing ever waits."""

    def __init__(self, answers: "ExpiringCache[tuple[str, str], Outcome[Any]]") -> None:
        self._answers = answers

    async def __call__(self, name: str, rdtype: str) -> Outcome[Any]:
        known = self._answers.get((name.lower(), rdtype))
        if known is None:
            raise Unknown(name, rdtype)
        return known


async def side_by_side(calls: Iterable[Callable[[], Awaitable[Value]]], ask: Ask | None = None) -> list[Value]:
    """The results of all calls, made at the same time, in their order. ``ask`` is whom they ask, if that is one.

    Calls that do not wait are made one after the other: tasks would take longer than many of them.
    """
    todo = list(calls)
    if len(todo) == 1 or isinstance(ask, Known):
        return [await call() for call in todo]
    results: dict[int, Value] = {}

    async def one(number: int) -> None:
        results[number] = await todo[number]()

    async with trio.open_nursery() as nursery:
        for number in range(len(todo)):
            nursery.start_soon(one, number)
    return [results[number] for number in range(len(todo))]


class ExpiringCache(Generic[Key, Value]):
    """At most ``size`` values, each until its time; the one not used for longest goes first."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Key, value: Value, expires: float) -> None:
        if expires <= self._clock():
            return
        self._entries[key] = (expires, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class _Flight:
    """A question that is under way, and everyone who waits for its outcome."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.outcome: Outcome[Any] | None = None  # still None when landed: the asker was cancelled


CACHED = 100_000
"""Outcomes that are kept."""

AT_ONCE, FEWEST = 64, 16
"""Queries that are open at one time, until it is known that the servers bear more; and where they bear nothing."""

BORNE, CREDIT = 1 / 8, 4.0
"""Queries without an answer, for each with one, that are laid to the domains that are asked about; and at once."""


class Allowance:
    """How many queries may be open at one time.

    A server that has too many leaves some unanswered, and is asked the same again: so where many have no answer there
    may be half as many, and one more after as many answers as there may be queries.
    """

    def __init__(self, most: int) -> None:
        self.limiter = trio.CapacityLimiter(min(AT_ONCE, most))
        self._most = float(most)
        self._size = float(self.limiter.total_tokens)
        self._credit = CREDIT
        self._shrunk = -math.inf

    def answered(self) -> None:
        self._credit = min(self._credit + BORNE, CREDIT)
        self._set(min(self._size + 1 / self._size, self._most))

    def unanswered(self, asked: float, now: float) -> None:
        """A query of that time has no answer. Those that were open already when it became fewer change nothing."""
        if asked < self._shrunk:
            return
        self._credit -= 1
        if self._credit < 0:
            self._shrunk, self._credit = now, CREDIT
            self._set(max(self._size / 2, min(FEWEST, self._most)))

    def _set(self, size: float) -> None:
        self._size = size
        if int(size) != self.limiter.total_tokens:
            self.limiter.total_tokens = int(size)


class Resolver:
    """Asks the given servers, or those of the system. Every method returns an outcome and raises nothing of the DNS.

    What is in the cache is returned without a checkpoint.
    """

    def __init__(
        self,
        servers: Sequence[str] = (),
        *,
        timeout: float = 5.0,
        attempts: int = 2,
        at_once: int = 256,
        trust_ad: bool | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """``servers`` like "127.0.0.1:5353", "[::1]:53" or "9.9.9.9", addresses only; ValueError for others.

        ``timeout``: seconds that one question may take, all its attempts together. ``attempts``: rounds through
        the servers. ``at_once``: queries (sockets) open at one time, at most.
        ``trust_ad``: whether the AD bit of these servers is believed; by default only where all of them are on this
        machine, because anyone on the way could set it.
        """
        self.clock = clock
        self._timeout = timeout
        self._backend = dns.asyncbackend.get_backend("trio")
        self._stub = _stub(servers)
        self._asked = ", ".join(map(_shown, self._stub.nameservers))
        self._stub.timeout = timeout / (attempts * len(self._stub.nameservers))
        self._trust_ad = _all_local(self._stub) if trust_ad is None else trust_ad
        self._allowance = Allowance(at_once)
        self._cache: ExpiringCache[tuple[str, str], Outcome[Any]] = ExpiringCache(CACHED, clock)
        self._flights: dict[tuple[str, str], _Flight] = {}
        self.known = Known(self._cache)

    @property
    def validates(self) -> bool:
        """Whether its servers are believed when they vouch for an answer."""
        return self._trust_ad

    async def ask(self, name: str, rdtype: str) -> Outcome[Any]:
        """The records of a name. ``rdtype`` in capitals, like "TXT".

        A and AAAA records are addresses as text, MX records are ``Mx``, TXT records are the joined octets,
        PTR, NS and CNAME records are names as text; all others are dnspython's Rdata.
        """
        key = (name.lower(), rdtype)
        while True:
            known = self._cache.get(key)
            if known is not None:
                return known
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key)
            await flight.landed.wait()
            if flight.outcome is not None:
                return flight.outcome

    async def mx(self, domain: str) -> Outcome[Mx]:
        """The MX records of a domain, in no order. The null MX (RFC 7505) is the host "."."""
        return await self.ask(domain, "MX")

    async def addresses(self, host: str, *, ipv6: bool = True) -> Outcome[str]:
        """The addresses of a host, IPv4 and IPv6 in turn; A and AAAA are asked side by side.

        Where one of the two is in trouble, the other's addresses are the answer, for as long as the trouble is kept.
        They are vouched for if the records that are there are: trouble takes nothing from that, or who can make trouble
        could take DANE away.
        """
        if not ipv6:
            return await self.ask(host, "A")
        four = self._cache.get((host.lower(), "A"))
        six = self._cache.get((host.lower(), "AAAA"))
        if four is None or six is None:
            four, six = await side_by_side([partial(self.ask, host, "A"), partial(self.ask, host, "AAAA")])
        return _joined(four, six)

    async def _fly(self, key: tuple[str, str]) -> Outcome[Any]:
        flight = self._flights[key] = _Flight()
        try:
            flight.outcome = await self._look_up(*key)
            self._cache.put(key, flight.outcome, flight.outcome.expires)
            return flight.outcome
        finally:  # cancelled: the first of those who wait asks anew
            del self._flights[key]
            flight.landed.set()

    async def _look_up(self, name: str, rdtype: str) -> Outcome[Any]:
        try:
            wanted = _wire_name(name)
        except ValueError as error:
            return NoSuchName(self.clock() + LONGEST_NEGATIVE_TTL, text=str(error))
        async with self._allowance.limiter:
            asked = self.clock()
            # dnspython measures its lifetime with the wall clock; ours is trio's.
            with trio.move_on_after(self._timeout):
                outcome = await self._query(wanted, rdtype)
                self._allowance.answered()
                return outcome
            self._allowance.unanswered(asked, self.clock())
        return self._trouble(f"no answer about {name} {rdtype} within {self._timeout:g} s from {self._asked}")

    async def _query(self, name: dns.name.Name, rdtype: str) -> Outcome[Any]:
        try:
            answer = await self._stub.resolve(
                name, rdtype, raise_on_no_answer=False, search=False, backend=self._backend
            )
        except dns.resolver.NXDOMAIN as error:
            response = error.kwargs["responses"][name]
            expires = self._expires(response.resolve_chaining().minimum_ttl, LONGEST_NEGATIVE_TTL)
            return NoSuchName(expires, self._is_secure(response))
        except dns.resolver.NoNameservers as error:
            return self._trouble(f"{name} {rdtype}: {_failures(error)}")
        except dns.exception.DNSException as error:
            return self._trouble(f"{name} {rdtype}: {error}")
        if len(answer.chaining_result.cnames) > ALIAS_LIMIT:
            return self._trouble(f"{name} {rdtype}: more than {ALIAS_LIMIT} aliases")
        secure = self._is_secure(answer.response)
        ttl = answer.chaining_result.minimum_ttl
        if answer.rrset is None:
            return NoData(self._expires(ttl, LONGEST_NEGATIVE_TTL), secure)
        records = tuple(map(_record(rdtype), answer.rrset))
        return Answer(records, self._expires(ttl, LONGEST_TTL), secure, _text(answer.canonical_name))

    def _expires(self, ttl: int, limit: float) -> float:
        return self.clock() + min(ttl, limit)

    def _trouble(self, text: str) -> DnsTrouble:
        return DnsTrouble(text, self.clock() + TROUBLE_TTL)

    def _is_secure(self, response: dns.message.Message) -> bool:
        return self._trust_ad and bool(response.flags & dns.flags.AD)


def _shown(server: str | dns.nameserver.Nameserver) -> str:
    return server if isinstance(server, str) else f"{server.answer_nameserver()}:{server.answer_port()}"


def _stub(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    stub = dns.asyncresolver.Resolver(configure=False)
    if servers:
        stub.nameservers = [_server(text) for text in servers]
    else:
        try:
            stub = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            stub.nameservers = ["127.0.0.1"]  # resolv.conf(5): without the file, the server on this machine
    stub.lifetime = float("inf")
    stub.cache = None
    # AD in a query asks for the AD bit in the answer without the bulk of signatures (RFC 6840 5.7).
    stub.flags = dns.flags.RD | dns.flags.AD
    stub.use_edns(0, 0, UDP_SIZE)
    return stub


def _server(text: str) -> dns.nameserver.Nameserver:
    host, port = host_and_port(text, 53)
    try:
        is_loopback(host)
    except ValueError:
        raise ValueError(f'{text!r} is no DNS server; write its address, like "127.0.0.1:53"') from None
    return dns.nameserver.Do53Nameserver(host, port)


def _all_local(stub: dns.asyncresolver.Resolver) -> bool:
    hosts = [server if isinstance(server, str) else server.answer_nameserver() for server in stub.nameservers]
    return all(is_loopback(host) for host in hosts)


def _wire_name(name: str) -> dns.name.Name:
    if name in ("", "@"):  # dnspython takes both for the root
        raise ValueError("the domain name is empty")
    try:
        return dns.name.from_text(a_labels(name))
    except dns.exception.DNSException as error:
        raise ValueError(f"{name} is no domain name: {error}") from error


def _failures(error: dns.resolver.NoNameservers) -> str:
    """What each server did: "SERVFAIL from Do53:192.0.2.1@53"."""
    return "; ".join(f"{what} from {server}" for server, _, _, what, _ in error.kwargs["errors"]) or str(error)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


_RECORD: dict[str, Callable[[Any], object]] = {
    "A": lambda rdata: rdata.address,
    "AAAA": lambda rdata: rdata.address,
    "MX": lambda rdata: Mx(rdata.preference, _text(rdata.exchange)),
    "TXT": lambda rdata: b"".join(rdata.strings),
    "PTR": lambda rdata: _text(rdata.target),
    "NS": lambda rdata: _text(rdata.target),
    "CNAME": lambda rdata: _text(rdata.target),
}


def _record(rdtype: str) -> Callable[[Any], object]:
    return _RECORD.get(rdtype, lambda rdata: rdata)


def _joined(four: Outcome[str], six: Outcome[str]) -> Outcome[str]:
    """One outcome out of those of A and AAAA."""
    both = (four, six)
    expires = min(outcome.expires for outcome in both)
    secure = all(not isinstance(outcome, DnsTrouble) and outcome.secure for outcome in both)
    found = [outcome for outcome in both if isinstance(outcome, Answer)]
    if found:
        turns = chain.from_iterable(zip_longest(*(outcome.records for outcome in found)))
        addresses = tuple(address for address in turns if address is not None)
        return Answer(addresses, expires, all(outcome.secure for outcome in found), found[0].name)
    for outcome in both:
        if isinstance(outcome, DnsTrouble):
            return outcome
    if isinstance(four, NoSuchName) and isinstance(six, NoSuchName):
        return NoSuchName(expires, secure, four.text)
    return NoData(expires, secure)
