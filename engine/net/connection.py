"""One TCP connection, in the clear or under TLS: the only place where a protocol's octets meet a socket."""

import contextlib
import errno
import socket
import ssl
from typing import Self

import trio

from engine.net import channel_binding
from engine.net.shown import shown
from engine.net.targets import is_loopback
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.protocols.sasl import CLEAR, Channel

_HANDSHAKES = Counter(
    "postroad_tls_connections_total", "Handshakes that ended well, by the side that we were.", ("side", "version")
)
_CIPHERS = Counter("postroad_tls_ciphers_total", "The same by cipher suite.", ("side", "cipher"))
_HANDSHAKES_FAILED = Counter("postroad_tls_failures_total", "Handshakes that failed.", ("side",))

RECEIVE = 64 * 1024
"""Octets asked for at once: a typical message with its whole dialogue fits, a large one streams."""


EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say nothing of a peer: there is no room for one more socket here, until another one is closed."""

_BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What operations on a connection raise that is there no more."""


class ConnectionLost(OSError):
    """The peer is gone, or its TLS is broken. The text says how."""


class Connection:
    """Octets to and from a peer. Not for use by two tasks in the same direction at once."""

    def __init__(self, sock: socket.socket) -> None:
        # A plain socket, because trio's yields to the loop at every send and every receive; a dialogue of short lines
        # needs half of that: 35 µs of CPU less for a message.
        sock.setblocking(False)
        self._socket = sock
        self._peer = ""
        self._tls_stream: trio.SSLStream[trio.SocketStream] | None = None
        self._client = ""  # whom a proxy speaks for
        self.login = ""  # the account that another process of ours has seen log in
        self._is_here = sock.family == socket.AF_UNIX and bool(sock.getsockname())  # it came to a path
        self._is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._is_tcp:
            # Replies are gathered before they are sent, so Nagle's delay could only hold back a last short one.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def of(cls, sock: trio.socket.SocketType) -> Self:
        """The connection of a socket that trio has opened; ``sock`` is of no more use."""
        return cls(socket.socket(fileno=sock.detach()))

    def fileno(self) -> int:
        """The descriptor of its socket, to be handed to another process; -1 when it is closed."""
        return self._socket.fileno()

    @property
    def peer(self) -> str:
        """IP address of the other side, or "" when it is gone already; of a Unix socket, that of this machine.

        Of a proxy that has said so, that of its client.
        """
        if self._client:
            return self._client
        if not self._peer:
            self._peer = "127.0.0.1" if self._is_here else _host(self._socket.getpeername)
        return self._peer

    def speaks_for(self, client: str) -> None:
        """The other side is a proxy, and is believed that it speaks for this IP address."""
        self._client = client

    @property
    def is_loopback(self) -> bool:
        """Whether the other side is on this machine, where nobody can listen to it; False when it is gone already."""
        try:
            return is_loopback(self.peer)
        except ValueError:
            return False

    @property
    def tls(self) -> str:
        """Version and cipher, "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" in the clear."""
        if self._tls_stream is None:
            return ""
        cipher = self._tls_stream.cipher()
        return f"{self._tls_stream.version()} {cipher[0] if cipher else ''}"

    @property
    def own_address(self) -> str:
        """IP address of this side, or "" when the connection is gone already, or has none."""
        return _host(self._socket.getsockname)

    @property
    def shown(self) -> tuple[bytes, ...]:
        """The certificates that the other side has shown, in DER, its own first; whether they are worth anything is not
        said.
        """
        return shown(self._tls_stream) if self._tls_stream is not None else ()

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names of hosts for which the other side's certificate is, if it was verified."""
        if self._tls_stream is None:
            return ()
        return tuple(name.lower() for name in _names(self._tls_stream, "DNS"))

    @property
    def channel(self) -> Channel:
        """What TLS says that a login can rest upon. For a server's side alone."""
        if self._tls_stream is None:
            return CLEAR
        return Channel(channel_binding.bindings(self._tls_stream), _addresses(self._tls_stream))

    @property
    def server_bindings(self) -> dict[str, bytes]:
        """What our login can be bound to, by type (RFC 5056). For a client's side alone."""
        return {} if self._tls_stream is None else channel_binding.bindings_of_server(self._tls_stream)

    async def receive(self, limit: int = RECEIVE) -> bytes:
        """The next octets, at most ``limit``; b"" when the peer has finished. ConnectionLost when it broke off.

        Always lets other tasks run first: what a peer answers at once is there by then, and need not be waited for.
        """
        try:
            if self._tls_stream is not None:
                return bytes(await self._tls_stream.receive_some(limit))
            await trio.lowlevel.checkpoint()
            while (octets := self._receive_now(limit)) is None:
                await trio.lowlevel.wait_readable(self._socket)
            return octets
        except _BROKEN as error:
            raise _lost(error) from error

    async def speaks_within(self, seconds: float) -> bool:
        """Whether something comes from the peer within so many seconds; it is left to be received. In the clear alone.

        ConnectionLost when the peer hangs up.
        """
        try:
            with trio.move_on_after(seconds):
                await trio.lowlevel.wait_readable(self._socket)
            octet = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except _BROKEN as error:
            raise _lost(error) from error
        if not octet:
            raise ConnectionLost(errno.ECONNRESET, "closed before it was spoken to")
        return True

    def acknowledge(self) -> None:
        """Acknowledge what has come, and what comes next, at once; TCP on Linux alone.

        For a peer that writes several short answers, each of which its kernel holds back until the one before it is
        acknowledged (Nagle), while ours waits up to 40 ms for something to send along with that.
        """
        if self._is_tcp and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def send(self, data: bytes) -> None:
        """Send all of ``data``; without a checkpoint where the kernel takes it at once. ConnectionLost.

        The events of this turn are written before: whoever acts on what we say finds in the log what we did.
        """
        event.flush()
        try:
            if self._tls_stream is not None:
                await self._tls_stream.send_all(data)
                return
            sent = self._send_now(data)
            while sent < len(data):
                await trio.lowlevel.wait_writable(self._socket)
                sent += self._send_now(memoryview(data)[sent:])
        except _BROKEN as error:
            raise _lost(error) from error

    def _receive_now(self, limit: int = RECEIVE) -> bytes | None:
        """What is there; None: nothing yet."""
        try:
            return self._socket.recv(limit)
        except BlockingIOError:
            return None

    def _send_now(self, data: bytes | memoryview) -> int:
        """How many octets the kernel took."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool, hostname: str | None = None) -> None:
        """Do the handshake. ConnectionLost when it fails; the connection is of no use then."""
        stream = trio.SSLStream(
            trio.SocketStream(trio.socket.from_stdlib_socket(self._socket)),
            context,
            server_side=server_side,
            server_hostname=hostname,
            https_compatible=True,  # most mail programs close without a TLS goodbye
        )
        side = "server" if server_side else "client"
        try:
            await stream.do_handshake()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _HANDSHAKES_FAILED.of(side).value += 1
            raise _lost(error) from error
        cipher = stream.cipher()
        _HANDSHAKES.of(side, str(stream.version())).value += 1
        _CIPHERS.of(side, cipher[0] if cipher else "").value += 1
        self._tls_stream = stream

    def close(self) -> None:
        """Close at once. What was sent is still delivered by the kernel."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def close_gently(self, linger: float = 1.0) -> None:
        """Close after the last reply without destroying it.

        A socket that is closed with unread input resets the connection, and the peer may lose our reply:
        so stop sending, and read for up to ``linger`` seconds until the peer has closed too.
        """
        with contextlib.suppress(OSError), trio.move_on_after(linger):
            self._socket.shutdown(socket.SHUT_WR)
            while self._receive_now() != b"":
                await trio.lowlevel.wait_readable(self._socket)
        self.close()


def _host(name: object) -> str:
    try:
        host = str(name()[0])  # type: ignore[operator]
    except (OSError, IndexError):
        return ""
    return host.removeprefix("::ffff:") if "." in host else host


def _addresses(stream: trio.SSLStream[trio.SocketStream]) -> tuple[str, ...]:
    """Those that the certificate of the client is for, by its subjectAltName (RFC 5280 4.2.1.6): none but verified."""
    return _names(stream, "email")


def _names(stream: trio.SSLStream[trio.SocketStream], wanted: str) -> tuple[str, ...]:
    """Those of one kind in a certificate that was verified."""
    try:
        certificate = stream.getpeercert() or {}
    except (ValueError, ssl.SSLError):  # an authority has signed what makes no sense
        return ()
    return tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == wanted)


def _lost(error: BaseException) -> ConnectionLost:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return ConnectionLost(errno.EPROTO, f"TLS failed: {cause.reason or cause}")
    if isinstance(cause, OSError) and cause.errno:
        return ConnectionLost(cause.errno, cause.strerror or str(cause))
    return ConnectionLost(errno.ECONNRESET, str(cause) or "connection closed")
