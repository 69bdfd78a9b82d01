"""SOCKS 5 (RFC 1928, with the login of RFC 1929), the client's side: how a connection by way of a proxy is asked for.

A driver sends what ``outgoing`` gives, and feeds what arrives to ``receive``, never more than ``wanted`` octets at
once: what stands behind the last reply belongs to the connection that was asked for.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

_VERSION, _LOGIN_VERSION = 5, 1
_NO_LOGIN, _BY_PASSWORD, _NONE_OF_THESE = 0, 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_LENGTHS = {_IPV4: 4, _IPV6: 16}

_LONGEST = 255
"""Octets of a name or a password (RFC 1929 2)."""

_OF_THE_TARGET: Mapping[int, str] = {
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
}
_OF_THE_PROXY: Mapping[int, str] = {
    1: "general failure",
    2: "not allowed by its rules",
    7: "it does not know CONNECT",
    8: "it does not know this kind of address",
}


class SocksError(Exception):
    """There is no connection. ``of_target``: the proxy did what it could, and the target is to blame."""

    def __init__(self, text: str, *, of_target: bool = False) -> None:
        super().__init__(text)
        self.of_target = of_target


@dataclass(frozen=True, slots=True)
class SocksLogin:
    """Who we are to the proxy, which hears the password in the clear (RFC 1929 3). ValueError: too long, or empty."""

    name: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not all(0 < len(text.encode()) <= _LONGEST for text in (self.name, self.password)):
            raise ValueError(f"a login of SOCKS 5 has a name and a password of 1 to {_LONGEST} octets")


class Socks5:
    """One request for a connection to an IP address, else ValueError. SocksError out of ``receive`` is its end."""

    def __init__(self, address: str, port: int, login: SocksLogin | None = None) -> None:
        self.done = False  # all octets from now on are the target's
        self.wanted = 2
        self._login = login
        self._request = _request(address, port)
        methods = bytes([_NO_LOGIN, _BY_PASSWORD] if login else [_NO_LOGIN])
        self._outgoing = bytes([_VERSION, len(methods)]) + methods
        self._buffer = b""
        self._step: _Step = Socks5._on_method

    def outgoing(self) -> bytes:
        """What is to be sent now; b"" when nothing is."""
        data, self._outgoing = self._outgoing, b""
        return data

    def receive(self, data: bytes) -> None:
        """Take octets of the proxy, at most ``wanted``. SocksError; ValueError for more than was wanted."""
        if len(data) > self.wanted:
            raise ValueError("these octets are not all the proxy's")
        self._buffer += data
        self.wanted -= len(data)
        if not self.wanted:
            whole, self._buffer = self._buffer, b""
            self._step(self, whole)

    def _on_method(self, answer: bytes) -> None:
        version, method = answer
        _check(version, _VERSION)
        if method == _BY_PASSWORD and self._login is not None:
            name, password = self._login.name.encode(), self._login.password.encode()
            self._say(
                bytes([_LOGIN_VERSION, len(name)]) + name + bytes([len(password)]) + password, Socks5._on_login, 2
            )
        elif method == _NO_LOGIN:
            self._ask()
        elif method == _NONE_OF_THESE:
            raise SocksError("the proxy wants another login" if self._login else "the proxy wants a login")
        else:
            raise SocksError(f"the proxy picked the method {method}, which was not offered")

    def _on_login(self, answer: bytes) -> None:
        version, status = answer
        _check(version, _LOGIN_VERSION)
        if status:
            raise SocksError("the proxy refused our login")
        self._ask()

    def _ask(self) -> None:
        self._say(self._request, Socks5._on_reply, 5)

    def _on_reply(self, answer: bytes) -> None:
        """The beginning of a reply, and one octet of the address that the proxy has bound."""
        version, reply, _, kind, first = answer
        _check(version, _VERSION)
        if reply in _OF_THE_TARGET:
            raise SocksError(f"the proxy says: {_OF_THE_TARGET[reply]}", of_target=True)
        if reply:
            raise SocksError(f"the proxy says: {_OF_THE_PROXY.get(reply, f'error {reply}')}")
        length = 1 + first if kind == _NAME else _LENGTHS.get(kind, 0)
        if not length:
            raise SocksError(f"the proxy's reply has an address of the kind {kind}, which there is not")
        self._say(b"", Socks5._on_rest, length - 1 + 2)

    def _on_rest(self, _: bytes) -> None:
        self.done = True

    def _say(self, data: bytes, step: "_Step", wanted: int) -> None:
        self._outgoing += data
        self._step, self.wanted = step, wanted


_Step: TypeAlias = Callable[[Socks5, bytes], None]


def _request(address: str, port: int) -> bytes:
    found = ipaddress.ip_address(address)
    kind = _IPV4 if found.version == 4 else _IPV6
    return bytes([_VERSION, _CONNECT, 0, kind]) + found.packed + port.to_bytes(2, "big")


def _check(version: int, wanted: int) -> None:
    if version != wanted:
        raise SocksError("the proxy does not speak SOCKS 5")
