"""Getting a connection to a server: from the address of a source, or by way of its proxy."""

import errno
import socket

import trio

from engine.net.connection import Connection, ConnectionLost
from engine.outbound.way import ANY, Proxy, Source
from engine.protocols.proxy_protocol import Proxied, header
from engine.protocols.socks5 import Socks5, SocksError

_BIND_ADDRESS_NO_PORT = 24
"""From linux/in.h: a port is picked when we connect, so that it can be used for each destination again."""

_NOT_OURS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Errors of binding that say that this machine does not have the address."""


class SourceFailed(OSError):
    """The source is of no use now, whatever the target is: its address is not ours, or its proxy does not serve us."""


async def dial(source: Source, address: str, port: int) -> Connection:
    """A connection to an IP address, or to the path of a Unix socket. OSError; SourceFailed where that is to blame."""
    if source.proxy is None or address.startswith("/"):
        return await _connected(source, address, port)
    try:
        connection = await _connected(ANY, *await _place(source.proxy))
    except OSError as error:
        raise SourceFailed(error.errno, f"its proxy cannot be reached: {error.strerror}") from error
    try:
        await _ask(connection, source, source.proxy, address, port)
    except BaseException:
        connection.close()
        raise
    return connection


async def _connected(source: Source, address: str, port: int) -> Connection:
    local = address.startswith("/")
    family = socket.AF_UNIX if local else socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await _bind(sock, source.of_family(address))
        await sock.connect(address if local else (address, port))
        return Connection.of(sock)
    except BaseException:
        sock.close()
        raise


async def _bind(sock: trio.socket.SocketType, address: str) -> None:
    """Connect from that address, where there is one. OSError."""
    if not address:
        return
    sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    try:
        await sock.bind((address, 0))
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise SourceFailed(error.errno, f"this machine does not have {address}") from error
        raise


async def _place(proxy: Proxy) -> tuple[str, int]:
    """The address of a proxy, as the system finds it. OSError."""
    found = await trio.socket.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    return str(found[0][4][0]), proxy.port


async def _ask(connection: Connection, source: Source, proxy: Proxy, address: str, port: int) -> None:
    try:
        if proxy.kind == "haproxy":
            # Which of its ports it takes is the proxy's to pick.
            await connection.send(header(proxy.version, Proxied(source.of_family(address), 0, address, port)))
        else:
            await _by_socks(connection, Socks5(address, port, proxy.login))
    except SocksError as error:
        if error.of_target:
            raise OSError(errno.ECONNREFUSED, str(error)) from error
        raise SourceFailed(errno.EPROTO, str(error)) from error
    except ConnectionLost as lost:
        raise SourceFailed(lost.errno, f"its proxy broke off: {lost.strerror}") from lost


async def _by_socks(connection: Connection, socks: Socks5) -> None:
    while not socks.done:
        if data := socks.outgoing():
            await connection.send(data)
        data = await connection.receive(socks.wanted)
        if not data:
            raise SocksError("the proxy broke off")
        socks.receive(data)
