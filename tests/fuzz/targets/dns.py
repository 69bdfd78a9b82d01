"""DNS: what a hostile server may answer to our resolver, and what anybody may ask our zones."""

from typing import Any

import dns.asyncbackend
import dns.message
import dns.nameserver
import dns.query
import trio

from engine.net.dns import Answer, DnsTrouble, Mx, NoData, NoSuchName, Resolver
from engine.net.zone import Zone, _reply, _serve_stream
from tests.fuzz.targets.cutting import cut, option

TYPES = ("MX", "A", "AAAA", "TXT", "PTR", "CNAME", "NS", "TLSA")
ZONE = Zone(
    "example.org",
    {
        "@": {"MX": "10 mx", "TXT": ["x" * 250] * 4},
        "mx": {"A": "192.0.2.1", "AAAA": "2001:db8::1"},
        "alias": {"CNAME": "mx"},
        "loop": {"CNAME": "loop"},
    },
)


class _Hostile(dns.nameserver.Nameserver):
    """Answers with these octets, under the id that was asked for."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def __str__(self) -> str:
        return "hostile"

    def kind(self) -> str:
        return "hostile"

    def is_always_max_size(self) -> bool:
        return True

    def answer_nameserver(self) -> str:
        return "127.0.0.1"

    def answer_port(self) -> int:
        return 53

    async def async_query(self, request: dns.message.QueryMessage, *_: Any, **__: Any) -> dns.message.Message:  # type: ignore[override]
        response = dns.message.from_wire(request.id.to_bytes(2, "big") + self._octets)
        if not request.is_response(response):  # as dnspython sees to over the network
            raise dns.query.BadResponse
        return response


def dns_answer(data: bytes) -> None:
    """An answer to our resolver: an outcome, whatever it is."""
    chosen, octets = option(data)
    rdtype = TYPES[chosen % len(TYPES)]

    async def ask() -> object:
        resolver = Resolver(["127.0.0.1:53"], attempts=1)
        resolver._stub.nameservers = [_Hostile(octets)]
        return await resolver.ask("a.test", rdtype)

    outcome = trio.run(ask)
    assert isinstance(outcome, Answer | DnsTrouble | NoData | NoSuchName)
    if isinstance(outcome, Answer):
        assert outcome.records
        kind = {"MX": Mx, "TXT": bytes, "TLSA": object}.get(rdtype, str)
        assert all(isinstance(record, kind) for record in outcome.records)


def dns_question(data: bytes) -> None:
    """Questions to our zones: over UDP one answer or none, over TCP the same ones however they are cut."""
    whole, pieces = cut(data)
    assert _over_tcp(whole) == _over_tcp(pieces)
    question = data[4:]
    answer = _run(_reply(question, [ZONE], over_udp=True))
    if answer is not None:
        parsed = dns.message.from_wire(answer)
        assert answer[:2] == question[:2]
        assert len(answer) <= max(dns.message.from_wire(question).payload, 512)
        assert len(parsed.question) == 1


def _over_tcp(pieces: list[bytes]) -> bytes:
    stream = _Stream(pieces)
    _run(_serve_stream(stream, [ZONE]))  # type: ignore[arg-type]
    return stream.sent


class _Stream:
    """A connection on which these pieces arrive."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)
        self.sent = b""

    async def __aenter__(self) -> "_Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def send_all(self, octets: bytes) -> None:
        self.sent += octets


def _run(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    raise AssertionError("it waits for something")
