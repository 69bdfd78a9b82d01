"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): who a connection by way of a proxy is from.

``header`` is what is said first on a connection; ``Header`` reads it, octet by octet if need be. Its driver receives
never more than ``wanted`` octets at once: what stands behind the header belongs to the connection.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

V1_LIMIT = 107
"""Octets of a header of version 1, with its line end (2.1)."""

V2_LIMIT = 4096
"""Octets behind the fixed part of a header of version 2: addresses take 36, and what may follow is a few fields."""

_LOCAL, _PROXY = 0, 1
_STREAM = 1
_IPV4, _IPV6, _UNIX = 1, 2, 3
_LENGTHS = {_IPV4: 4, _IPV6: 16}
_UNIX_ADDRESSES = 216
_FIXED = 16
_SHORTEST = 15
"""Octets of the shortest header there is: "PROXY UNKNOWN" and its line end."""

_LINE = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")

Version: TypeAlias = Literal[1, 2]


class NoProxyHeader(Exception):
    """What came is no header of the PROXY protocol."""


class Proxied(NamedTuple):
    """Whom a proxy speaks for. ``source`` is empty where it speaks for itself, or does not know."""

    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0


def header(version: Version, proxied: Proxied) -> bytes:
    """What to say first. ValueError where the two addresses are not of one family."""
    source, destination = ipaddress.ip_address(proxied.source), ipaddress.ip_address(proxied.destination)
    if source.version != destination.version:
        raise ValueError(f"{source} and {destination} are not of one family")
    if version == 1:
        line = f"PROXY TCP{source.version} {source} {destination} {proxied.source_port} {proxied.destination_port}\r\n"
        return line.encode()
    family = _IPV4 if source.version == 4 else _IPV6
    ports = proxied.source_port.to_bytes(2, "big") + proxied.destination_port.to_bytes(2, "big")
    addresses = source.packed + destination.packed + ports
    kinds = bytes([2 << 4 | _PROXY, family << 4 | _STREAM])
    return SIGNATURE + kinds + len(addresses).to_bytes(2, "big") + addresses


class Header:
    """A header as it comes. NoProxyHeader out of ``receive`` is its end; ``proxied`` is there once it is whole."""

    def __init__(self) -> None:
        self.wanted = _SHORTEST
        self.proxied: Proxied | None = None
        self._buffer = b""
        self._step: _Step = Header._on_beginning

    def receive(self, data: bytes) -> None:
        """Take octets, at most ``wanted``. NoProxyHeader; ValueError for more than was wanted."""
        if len(data) > self.wanted:
            raise ValueError("these octets are not all of the header")
        self._buffer += data
        self.wanted -= len(data)
        if not self.wanted:
            self._step(self)

    def _on_beginning(self) -> None:
        if self._buffer.startswith(SIGNATURE):
            self._step, self.wanted = Header._on_fixed, _FIXED - _SHORTEST
        elif self._buffer.startswith(b"PROXY "):
            self._step = Header._on_line
            self._on_line()
        else:
            raise NoProxyHeader("a connection that does not begin with the PROXY protocol")

    def _on_line(self) -> None:
        """Never read past the line end, and yet not all of it octet by octet."""
        line = self._buffer
        if b"\n" in line:
            self.proxied = _of_line(line)
        elif len(line) >= V1_LIMIT:
            raise NoProxyHeader("a header of the PROXY protocol has no end")
        elif line.startswith(b"PROXY TCP"):
            # Each field that is missing has a space before it and one octet at least; then comes the line end.
            self.wanted = 1 if line.endswith(b"\r") else 2 + 2 * max(0, 5 - line.count(b" "))
        else:
            self.wanted = 1

    def _on_fixed(self) -> None:
        length = int.from_bytes(self._buffer[14:16], "big")
        if self._buffer[12] >> 4 != 2:
            raise NoProxyHeader(f"version {self._buffer[12] >> 4} of the PROXY protocol is none")
        if length > V2_LIMIT:
            raise NoProxyHeader("a header of the PROXY protocol is too long")
        self._step, self.wanted = Header._on_rest, length
        if not length:
            self._on_rest()

    def _on_rest(self) -> None:
        self.proxied = _of_binary(self._buffer[12] & 15, self._buffer[13], self._buffer[_FIXED:])


_Step: TypeAlias = Callable[[Header], None]


def _of_line(line: bytes) -> Proxied:
    if _UNKNOWN.fullmatch(line):
        return Proxied()
    found = _LINE.fullmatch(line)
    if found is None:
        raise NoProxyHeader("a line of the PROXY protocol that makes no sense")
    try:
        source, destination = (ipaddress.ip_address(found[part].decode()) for part in (2, 3))
    except ValueError as error:
        raise NoProxyHeader("an address in a header of the PROXY protocol is none") from error
    ports = int(found[4]), int(found[5])
    if {source.version, destination.version} != {int(found[1])} or max(ports) > 65535:
        raise NoProxyHeader("a line of the PROXY protocol that makes no sense")
    return Proxied(str(source), ports[0], str(destination), ports[1])


def _of_binary(command: int, kind: int, rest: bytes) -> Proxied:
    """What follows the addresses, fields with types and lengths (2.2.1 on), is nothing to us."""
    if command == _LOCAL:
        return Proxied()
    if command != _PROXY:
        raise NoProxyHeader(f"the command {command} of the PROXY protocol is none")
    family, transport = kind >> 4, kind & 15
    if family not in _LENGTHS or transport != _STREAM:
        if family == _UNIX and len(rest) < _UNIX_ADDRESSES:
            raise NoProxyHeader("a header of the PROXY protocol is too short for its addresses")
        return Proxied()  # 2.2: unspecified, or what is no TCP: the addresses of the connection itself are used
    length = _LENGTHS[family]
    if len(rest) < 2 * length + 4:
        raise NoProxyHeader("a header of the PROXY protocol is too short for its addresses")
    source, destination = (ipaddress.ip_address(rest[start : start + length]) for start in (0, length))
    ports = rest[2 * length : 2 * length + 4]
    return Proxied(str(source), int.from_bytes(ports[:2], "big"), str(destination), int.from_bytes(ports[2:], "big"))
