"""One TCP connection, in the clear or under TLS: the only place where a protocol's octets meet a socket."""

import contextlib
import errno
import socket
import ssl

import trio

RECEIVE = 64 * 1024
"""Octets asked for at once: a typical message with its whole dialogue fits, a large one streams."""


class ConnectionLost(OSError):
    """The peer is gone, or its TLS is broken. The text says how."""


class Connection:
    """Octets to and from a peer. Not for use by two tasks in the same direction at once."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        self._tls_stream: trio.SSLStream[trio.SocketStream] | None = None
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Replies are gathered before they are sent, so Nagle's delay could only hold back a last short one.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def peer(self) -> str:
        """IP address of the other side, or "" when it is gone already."""
        return _host(self._socket.getpeername)

    @property
    def local(self) -> str:
        """IP address of this side."""
        return _host(self._socket.getsockname)

    @property
    def tls(self) -> str:
        """Version and cipher, "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" in the clear."""
        if self._tls_stream is None:
            return ""
        cipher = self._tls_stream.cipher()
        return f"{self._tls_stream.version()} {cipher[0] if cipher else ''}"

    @property
    def ssl_object(self) -> trio.SSLStream[trio.SocketStream] | None:
        """The TLS layer, for a look at certificates; None in the clear."""
        return self._tls_stream

    async def receive(self, limit: int = RECEIVE) -> bytes:
        """The next octets, at most ``limit``; b"" when the peer has finished. ConnectionLost when it broke off."""
        try:
            if self._tls_stream is not None:
                return bytes(await self._tls_stream.receive_some(limit))
            return await self._socket.recv(limit)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _lost(error) from error

    async def send(self, data: bytes) -> None:
        """Send all of ``data``. ConnectionLost when the peer is gone."""
        try:
            if self._tls_stream is not None:
                await self._tls_stream.send_all(data)
                return
            sent = await self._socket.send(data)
            if sent < len(data):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[await self._socket.send(rest) :]
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _lost(error) from error

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> None:
        """Do the handshake. ConnectionLost when it fails; the connection is of no use then."""
        stream = trio.SSLStream(
            trio.SocketStream(self._socket),
            context,
            server_side=server_side,
            server_hostname=hostname,
            https_compatible=True,  # most mail programs close without a TLS goodbye
        )
        try:
            await stream.do_handshake()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _lost(error) from error
        self._tls_stream = stream

    def close(self) -> None:
        """Close at once. What was sent is still delivered by the kernel."""
        self._socket.close()

    async def close_gently(self, linger: float = 1.0) -> None:
        """Close after the last reply without destroying it.

        A socket that is closed with unread input resets the connection, and the peer may lose our reply:
        so stop sending, and read for up to ``linger`` seconds until the peer has closed too.
        """
        with contextlib.suppress(OSError), trio.move_on_after(linger):
            self._socket.shutdown(socket.SHUT_WR)
            while await self._socket.recv(RECEIVE):
                pass
        self._socket.close()


def _host(name: object) -> str:
    try:
        host = str(name()[0])  # type: ignore[operator]
    except (OSError, IndexError):
        return ""
    return host.removeprefix("::ffff:") if "." in host else host


def _lost(error: BaseException) -> ConnectionLost:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return ConnectionLost(errno.EPROTO, f"TLS failed: {cause.reason or cause}")
    if isinstance(cause, OSError) and cause.errno:
        return ConnectionLost(cause.errno, cause.strerror or str(cause))
    return ConnectionLost(errno.ECONNRESET, str(cause) or "connection closed")
