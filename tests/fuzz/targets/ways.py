"""What is said before SMTP is: by proxies, and by servers that we log in to."""

import contextlib

from engine.protocols.proxy_protocol import Header, NoProxyHeader, Proxied, header
from engine.protocols.sasl_client import LoginError, Password, Scram
from engine.protocols.socks5 import Socks5, SocksError, SocksLogin
from tests.fuzz.targets.cutting import cut, option


def proxy_header(data: bytes) -> None:
    """A header of the PROXY protocol: in any pieces the same, no octet read behind it, and written again as it is."""
    whole, pieces = cut(data)
    found = _proxied(whole)
    assert _proxied(pieces) == found
    if found is not None and found[0].source:
        for version in (1, 2):
            assert _proxied([header(version, found[0])]) == (found[0], 0)  # type: ignore[arg-type]


def _proxied(pieces: list[bytes]) -> tuple[Proxied, int] | None:
    """What it says, and how many octets stand behind it."""
    read, buffer = Header(), b"".join(pieces)
    left = len(buffer)
    with contextlib.suppress(NoProxyHeader):
        for piece in pieces:
            while piece and read.proxied is None:
                size = min(len(piece), read.wanted)
                read.receive(piece[:size])
                piece, left = piece[size:], left - size  # noqa: PLW2901
        if read.proxied is not None:
            return read.proxied, left
    return None


def socks(data: bytes) -> None:
    """A SOCKS proxy: in any pieces it is heard alike, and no octet too many is taken for its own."""
    chosen, data = option(data)
    login = SocksLogin("ann", "secret") if chosen & 1 else None
    whole, pieces = cut(data)
    assert _socks(whole, login) == _socks(pieces, login)


def _socks(pieces: list[bytes], login: SocksLogin | None) -> tuple[bytes, bool, str, int]:
    client, said, left = Socks5("192.0.2.1", 25, login), b"", sum(map(len, pieces))
    try:
        for piece in pieces:
            while piece and not client.done:
                said += client.outgoing()
                size = min(len(piece), client.wanted)
                client.receive(piece[:size])
                piece, left = piece[size:], left - size  # noqa: PLW2901
    except SocksError as error:
        return said, False, str(error), 0
    return said, client.done, "", left


def scram_server(data: bytes) -> None:
    """A server that we log in to by SCRAM: it proves itself by the password, or not at all."""
    exchange = Scram(Password("ann", "secret"), "sha256", nonce="mine")
    exchange.initial()
    for challenge in data.split(b"\n"):
        with contextlib.suppress(LoginError):
            exchange.answer(challenge)
    assert not exchange.is_proven
