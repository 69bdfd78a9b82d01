"""A small authoritative DNS server on loopback, for tests and the demo: UDP and TCP, with faults on request."""

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import click
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
import trio

from engine.net.listening import shown
from engine.net.targets import host_and_port

Records = Mapping[str, Mapping[str, str | Sequence[str]]]
"""Name → type → text of one record or several. Names without a final dot stand below the origin, "@" is the origin."""

_ALIAS_LIMIT = 32  # more than any asker follows, so that an asker's own limit can be tried
_PORT_TRIES = 20


class Fault(enum.Enum):
    """What the server does wrong about a name."""

    SILENT = "never answers"
    SERVFAIL = "answers SERVFAIL"
    REFUSED = "answers REFUSED"
    WRONG_ID = "answers under another id, as a forger would"
    WRONG_QUESTION = "answers another question, under the right id"
    TRUNCATED = "answers over TCP only"
    GARBAGE = "answers with octets that are no DNS message"


class Zone:
    """The records of one zone. They may be changed while it is served.

    ``secure``: answers carry the AD bit, as those of a validating resolver would. ``questions`` counts what was
    asked, by name (lower case, no final dot) and type.
    """

    def __init__(self, origin: str, records: Records | None = None, *, ttl: int = 300, secure: bool = False) -> None:
        """ValueError for records that cannot be read. A missing SOA is made up; its negative TTL is 60 seconds."""
        self.origin = dns.name.from_text(origin)
        self.ttl = ttl
        self.secure = secure
        self.questions: Counter[tuple[str, str]] = Counter()
        self._asked = trio.Event()
        self._nodes: dict[dns.name.Name, dict[str, dns.rdataset.Rdataset]] = {}
        self._names: set[dns.name.Name] = set()  # of all nodes, and those above them; empty: not yet gathered
        self._faults: dict[tuple[dns.name.Name, str], Fault] = {}
        self._delays: dict[dns.name.Name, float] = {}
        self.set("@", "SOA", "ns hostmaster 1 3600 600 86400 60")
        for name, by_type in (records or {}).items():
            for rdtype, texts in by_type.items():
                self.set(name, rdtype, *([texts] if isinstance(texts, str) else texts))

    @classmethod
    def parse(cls, text: str, origin: str | None = None) -> Self:
        """A zone file (RFC 1035 5); without ``origin`` its first $ORIGIN names the zone. ValueError if broken."""
        try:
            parsed = dns.zone.from_text(text, origin, relativize=False, check_origin=False)
        except (dns.exception.DNSException, KeyError, ValueError) as error:
            raise ValueError(f"the zone file cannot be read: {error}") from error
        if parsed.origin is None:
            raise ValueError("the zone file has no $ORIGIN")
        zone = cls(str(parsed.origin))
        for name, rdataset in parsed.iterate_rdatasets():
            zone._nodes.setdefault(name, {})[dns.rdatatype.to_text(rdataset.rdtype)] = rdataset
        zone._names.clear()
        return zone

    def set(self, name: str, rdtype: str, *texts: str, ttl: int | None = None) -> None:
        """Put these records in the place of all of that name and type."""
        try:
            rdatas = [
                dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(rdtype), text, self.origin, False)
                for text in texts
            ]
            rdataset = dns.rdataset.from_rdata_list(self.ttl if ttl is None else ttl, rdatas)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(f"{name} {rdtype} {texts}: {error}") from error
        self._nodes.setdefault(self._name(name), {})[rdtype] = rdataset
        self._names.clear()

    def remove(self, name: str, rdtype: str = "") -> None:
        """Take away the records of that type, or the whole name. The SOA stays: denials need it."""
        whole = self._nodes.pop(self._name(name), {})
        kept = {other: rdataset for other, rdataset in whole.items() if other == "SOA" or rdtype not in ("", other)}
        if kept:
            self._nodes[self._name(name)] = kept
        self._names.clear()

    def fail(self, name: str, fault: Fault | None, rdtype: str = "") -> None:
        """Answer questions about this name wrongly, those of one type or all; None mends it."""
        key = (self._name(name), rdtype)
        self._faults.pop(key, None)
        if fault is not None:
            self._faults[key] = fault

    def delay(self, name: str, seconds: float) -> None:
        """Answer questions about this name that much later, by trio's clock."""
        self._delays[self._name(name)] = seconds

    async def until_asked(self, name: str, rdtype: str, times: int = 1) -> None:
        """Wait until this question has come so many times since the zone was made."""
        key = (_plain(self._name(name)), rdtype)
        while self.questions[key] < times:
            await self._asked.wait()

    def note(self, name: dns.name.Name, rdtype: str) -> None:
        """Count a question that has come."""
        self.questions[_plain(name), rdtype] += 1
        self._asked.set()
        self._asked = trio.Event()

    def fault_of(self, name: dns.name.Name, rdtype: str) -> Fault | None:
        return self._faults.get((name, rdtype)) or self._faults.get((name, ""))

    def delay_of(self, name: dns.name.Name) -> float:
        return self._delays.get(name, 0.0)

    def rrset(self, name: dns.name.Name, rdtype: str) -> dns.rrset.RRset | None:
        rdataset = self._nodes.get(name, {}).get(rdtype)
        return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset)) if rdataset else None

    def knows(self, name: dns.name.Name) -> bool:
        """Whether the name exists, be it only as the middle of a longer one (RFC 8020)."""
        if not self._names:
            self._names.update(*(_up_to(self.origin, node) for node in self._nodes))
        return name in self._names

    def _name(self, name: str) -> dns.name.Name:
        return self.origin if name == "@" else dns.name.from_text(name, self.origin)


def _up_to(origin: dns.name.Name, name: dns.name.Name) -> Iterator[dns.name.Name]:
    """A name of the zone and those above it, to the origin."""
    for depth in range(len(name), len(origin) - 1, -1):
        yield name.split(depth)[1]


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


async def serve_zone(
    *zones: Zone,
    listen: str = "127.0.0.1:0",
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer questions about these zones until cancelled: ``address = await nursery.start(serve_zone, zone)``.

    The address is like "127.0.0.1:40123", the same port for UDP and TCP. Everything else is REFUSED.
    """
    host, port = _where(listen)
    udp, tcp = await _bind(host, port)
    with udp, tcp:
        tcp.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_udp, udp, zones, nursery)
            nursery.start_soon(_serve_tcp, tcp, zones, nursery)
            task_status.started(shown(host, _port(udp)))


def _where(listen: str) -> tuple[str, int]:
    """Like ``host_and_port``, but port 0 is any free one."""
    if listen.endswith(":0"):
        return listen[:-2].strip("[]"), 0
    return host_and_port(listen, 53)


def _port(socket: trio.socket.SocketType) -> int:
    return int(socket.getsockname()[1])


async def _bind(host: str, port: int) -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    for tries_left in reversed(range(1 if port else _PORT_TRIES)):
        udp = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
        tcp = trio.socket.socket(family, trio.socket.SOCK_STREAM)
        tcp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        try:
            await udp.bind((host, port))
            await tcp.bind((host, _port(udp)))
        except OSError:  # the free UDP port may be somebody's TCP port
            udp.close()
            tcp.close()
            if not tries_left:
                raise
        else:
            return udp, tcp
    raise AssertionError("the last try returns or raises")


async def _serve_udp(socket: trio.socket.SocketType, zones: Sequence[Zone], nursery: trio.Nursery) -> None:
    async def answer(octets: bytes, peer: tuple[object, ...]) -> None:
        reply = await _reply(octets, zones, over_udp=True)
        if reply is not None:
            with suppress(OSError):
                await socket.sendto(reply, peer)

    while True:
        octets, peer = await socket.recvfrom(65535)
        nursery.start_soon(answer, octets, peer)


async def _serve_tcp(socket: trio.socket.SocketType, zones: Sequence[Zone], nursery: trio.Nursery) -> None:
    while True:
        connection, _ = await socket.accept()
        nursery.start_soon(_serve_stream, trio.SocketStream(connection), zones)


async def _serve_stream(stream: trio.SocketStream, zones: Sequence[Zone]) -> None:
    """Questions over TCP stand behind their length in two octets (RFC 1035 4.2.2)."""
    waiting = b""
    with suppress(trio.BrokenResourceError):
        async with stream:
            async for octets in stream:
                waiting += octets
                while len(waiting) >= 2 and len(waiting) >= (end := 2 + int.from_bytes(waiting[:2], "big")):
                    reply = await _reply(waiting[2:end], zones, over_udp=False)
                    waiting = waiting[end:]
                    if reply is not None:
                        await stream.send_all(len(reply).to_bytes(2, "big") + reply)


async def _reply(octets: bytes, zones: Sequence[Zone], *, over_udp: bool) -> bytes | None:
    """What goes back for these octets; None: nothing."""
    try:
        query = dns.message.from_wire(octets)
    except dns.exception.DNSException:
        return None
    if query.flags & dns.flags.QR or len(query.question) != 1:
        return None
    name, rdtype = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
    zone = _zone_of(name, zones)
    if zone is None:
        return _refusal(query, dns.rcode.REFUSED)
    zone.note(name, rdtype)
    if zone.delay_of(name):
        await trio.sleep(zone.delay_of(name))
    response, fault = _answer(query, name, rdtype, zones), zone.fault_of(name, rdtype)
    if fault is not None and (fault is not Fault.TRUNCATED or over_udp):
        return _faulty(fault, query, response)
    try:
        # Without EDNS an answer over UDP has at most 512 octets (RFC 1035 4.2.1, RFC 6891 6.2.5).
        return response.to_wire(max_size=max(query.payload, 512) if over_udp else 65535)
    except dns.exception.TooBig:
        return _cut_short(query)


def _faulty(fault: Fault, query: dns.message.Message, response: dns.message.Message) -> bytes | None:
    """What a broken server would send in place of the response."""
    match fault:
        case Fault.SILENT:
            return None
        case Fault.SERVFAIL:
            return _refusal(query, dns.rcode.SERVFAIL)
        case Fault.REFUSED:
            return _refusal(query, dns.rcode.REFUSED)
        case Fault.GARBAGE:
            return query.id.to_bytes(2, "big") + b"\xff" * 9
        case Fault.WRONG_ID:
            response.id ^= 1
        case Fault.WRONG_QUESTION:
            response.question[0].name = dns.name.from_text("elsewhere.test")
        case Fault.TRUNCATED:
            return _cut_short(query)
    return response.to_wire()


def _zone_of(name: dns.name.Name, zones: Sequence[Zone]) -> Zone | None:
    holding = [zone for zone in zones if name.is_subdomain(zone.origin)]
    return max(holding, key=lambda zone: len(zone.origin), default=None)


def _refusal(query: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    return response.to_wire()


def _cut_short(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.TC
    return response.to_wire()


def _answer(query: dns.message.Message, name: dns.name.Name, rdtype: str, zones: Sequence[Zone]) -> dns.message.Message:
    """The answer as RFC 1034 4.3.2 finds it, following aliases through all zones that are served here."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    passed: list[Zone] = []
    zone = _zone_of(name, zones)
    while zone is not None and len(passed) < _ALIAS_LIMIT:
        passed.append(zone)
        found, alias = zone.rrset(name, rdtype), zone.rrset(name, "CNAME")
        if found is not None:
            response.answer.append(found)
            break
        if alias is None:
            response.authority.append(_denial(zone))
            if not zone.knows(name):
                response.set_rcode(dns.rcode.NXDOMAIN)
            break
        response.answer.append(alias)
        name = alias[0].target
        zone = _zone_of(name, zones)
    if query.flags & dns.flags.AD and all(zone.secure for zone in passed):
        response.flags |= dns.flags.AD
    return response


def _denial(zone: Zone) -> dns.rrset.RRset:
    """The SOA record that a negative answer carries (RFC 2308 3); every zone has one."""
    soa = zone.rrset(zone.origin, "SOA")
    if soa is None:
        raise ValueError(f"the zone {zone.origin} has lost its SOA record")
    return soa


@click.command()
@click.option("--listen", default="127.0.0.1:5353", show_default=True, help="Address and port, for UDP and TCP.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(listen: str, files: tuple[Path, ...]) -> None:
    """Serve zone files, each with its $ORIGIN, until interrupted."""
    try:
        zones = [Zone.parse(file.read_text()) for file in files]
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    trio.run(partial(serve_zone, *zones, listen=listen))


if __name__ == "__main__":
    main()
