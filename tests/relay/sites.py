"""Thousands of virtual sites in one process, over epoll: ``python -m tests.relay.sites TABLE``.

On standard input it takes orders, a JSON value on a line each, and answers each by one line; at the end of the input it
ends. ``"report"``: all tallies, by site; ``{"report": "grey"}``: those of one behaviour; ``{"change": "grey", "by":
{"greylist": 0}}``: let its sites do otherwise from now on; ``"forget"``: begin the tallies anew.
"""

import contextlib
import gc
import heapq
import itertools
import json
import os
import resource
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import trio
import trustme

from engine.net.zone import serve_zone
from tests.relay.behaviour import ORIGIN, Table
from tests.relay.dialog import Dialog, Site, Turn

_CONNECTIONS = 1000
"""Descriptors for connections at least, beside one to listen at each site; as many more as there may be."""

_BACKLOG = 512
_READ = 1 << 18
_PIECE = 1 << 14
_AT_ONCE = 8
"""Pieces that one connection is sent before others have their turn."""

_LINGER = struct.pack("ii", 1, 0)  # a close breaks the connection (socket(7))

_NEVER_ENDING = {Turn.FLOOD: 200 * (b"250-" + 70 * b"x" + b"\r\n"), Turn.LINE: b"250 " + _PIECE * b"x"}


class _Connection:
    """A socket, its dialog, and the TLS between them."""

    __slots__ = ("_endless", "_incoming", "_outgoing", "_shaking", "_tls", "_unsent", "dialog", "due", "site", "socket")

    def __init__(self, sock: socket.socket, site: Site, dialog: Dialog) -> None:
        self.socket = sock
        self.site = site
        self.dialog = dialog
        self.due = False  # whether it will be looked at when its next answer is due
        self._unsent = b""
        self._endless = b""
        self._shaking = False
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def receive(self, octets: bytes, now: float) -> bool:
        """Whether the connection goes on."""
        if self._tls is None:
            self.dialog.receive(octets, now)
            return True
        self._incoming.write(octets)
        if self._shaking and not self._shake():
            return False
        # What ends the handshake may come along with the first command.
        return self._shaking or self._decrypt(self._tls, now)

    def _decrypt(self, tls: ssl.SSLObject, now: float) -> bool:
        try:
            while octets := tls.read(_READ):
                self.dialog.receive(octets, now)
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            return False
        return False  # it was closed

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaking = True

    def _shake(self) -> bool:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._unsent += self._outgoing.read()
            self.flush()
            return False
        else:
            self._shaking = False
            self.dialog.secured()
        self._unsent += self._outgoing.read()
        return True

    def say(self, octets: bytes) -> None:
        if self._tls is None:
            self._unsent += octets
        elif octets:
            self._tls.write(octets)
            self._unsent += self._outgoing.read()

    def say_forever(self, octets: bytes) -> None:
        self._endless = octets

    def flush(self) -> bool:
        """Send what there is. Whether some is left; ConnectionError when nobody is there any more."""
        for _ in range(_AT_ONCE):
            if not self._unsent:
                self.say(self._endless)
            if not self._unsent:
                return False
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                return True
            self._unsent = self._unsent[sent:]
        return bool(self._unsent or self._endless)


class Sites:
    """All hosts that listen, and their connections."""

    def __init__(self, table: Table, port: int, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """OSError when one of them cannot listen."""
        self._poll = select.epoll()
        self._contexts = contexts
        self._listening: dict[int, tuple[socket.socket, Site]] = {}
        self._connections: dict[int, _Connection] = {}
        self._writing: set[int] = set()
        self._due: list[tuple[float, int, int, _Connection]] = []  # moment, order, descriptor
        self._order = itertools.count()
        self._orders = b""
        started = time.monotonic()
        self.sites = [Site(place, started) for place in table.places()]
        for site in self.sites:
            listening = socket.create_server((site.place.address, port), backlog=_BACKLOG)
            listening.setblocking(False)
            self._listening[listening.fileno()] = listening, site
            self._poll.register(listening, select.EPOLLIN)

    def run(self) -> None:
        """Take mail until standard input comes to its end."""
        self._poll.register(0, select.EPOLLIN)
        over = False
        while not over:
            callers = []
            for descriptor, event in self._poll.poll(self._pause(), 4096):
                if descriptor in self._listening:
                    callers.append(descriptor)  # behind those who hang up, so that they are not counted any more
                elif descriptor == 0:
                    over = self._obey()
                else:
                    self._go_on(descriptor, event)
            for descriptor in callers:
                self._accept(*self._listening[descriptor])
            self._do_what_is_due()

    def _pause(self) -> float | None:
        return max(self._due[0][0] - time.monotonic(), 0.0) if self._due else None

    # -- connections

    def _accept(self, listening: socket.socket, site: Site) -> None:
        with contextlib.suppress(OSError):  # nobody is left, or who called has given up
            while True:
                sock, peer = listening.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = _Connection(sock, site, Dialog(site, peer[0], time.monotonic()))
                self._connections[sock.fileno()] = connection
                self._poll.register(sock, select.EPOLLIN)
                self._say(sock.fileno(), connection)

    def _go_on(self, descriptor: int, event: int) -> None:
        connection = self._connections.get(descriptor)
        if connection is None:
            return
        if event & ~select.EPOLLOUT:
            try:
                octets = connection.socket.recv(_READ)
            except BlockingIOError:
                return
            except OSError:
                octets = b""
            if not octets or not connection.receive(octets, time.monotonic()):
                self._close(descriptor, connection)
                return
        self._say(descriptor, connection)

    def _say(self, descriptor: int, connection: _Connection) -> None:
        """Say and do what is due; see to it that the rest is, when it is."""
        out = connection.dialog.out
        now = time.monotonic() if out and out[0][0] else 0.0
        said = []
        while out and out[0][0] <= now:
            _, what = out.popleft()
            if isinstance(what, bytes):
                said.append(what)
                continue
            connection.say(b"".join(said))
            said.clear()
            if not self._turn(descriptor, connection, what):
                return
        connection.say(b"".join(said))
        self._flush(descriptor, connection)
        if out and not connection.due and descriptor in self._connections:
            connection.due = True
            heapq.heappush(self._due, (out[0][0], next(self._order), descriptor, connection))

    def _turn(self, descriptor: int, connection: _Connection, turn: Turn) -> bool:
        """Whether the connection goes on."""
        if turn in _NEVER_ENDING:
            connection.say_forever(_NEVER_ENDING[turn])
            return True
        if turn is Turn.TLS:
            tls = connection.site.now.tls
            connection.start_tls(self._contexts[tls])
            return True
        with contextlib.suppress(OSError):
            connection.flush()
        if turn is Turn.RESET:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._close(descriptor, connection)
        return False

    def _flush(self, descriptor: int, connection: _Connection) -> None:
        try:
            left = connection.flush()
        except OSError:
            self._close(descriptor, connection)
            return
        if left != (descriptor in self._writing):
            self._poll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if left else 0))
            (self._writing.add if left else self._writing.discard)(descriptor)

    def _close(self, descriptor: int, connection: _Connection) -> None:
        connection.dialog.lost()
        del self._connections[descriptor]
        self._writing.discard(descriptor)
        connection.socket.close()

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, descriptor, connection = heapq.heappop(self._due)
            connection.due = False
            if self._connections.get(descriptor) is connection:
                self._say(descriptor, connection)

    # -- orders

    def _obey(self) -> bool:
        """Whether the input has ended."""
        octets = os.read(0, 1 << 16)
        *orders, self._orders = (self._orders + octets).split(b"\n")
        for order in orders:
            try:
                answer = self._order_of(json.loads(order))
            except (ValueError, KeyError) as error:
                answer = {"error": str(error)}
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
        return not octets

    def _order_of(self, order: Any) -> Any:
        match order:
            case "report":
                return {site.place.name: site.tally.report() for site in self.sites}
            case {"report": name}:
                return {site.place.name: site.tally.report() for site in self._named(name)}
            case {"change": name, "by": changes}:
                for site in self._named(name):
                    site.behave(site.now.changed(changes))
                return {"changed": name}
            case "forget":
                for site in self.sites:
                    site.tally.forget()
                return {"forgotten": len(self.sites)}
        raise ValueError(f"no such order: {order}")

    def _named(self, name: str) -> list[Site]:
        found = [site for site in self.sites if site.place.behaviour.name == name]
        if not found:
            raise KeyError(name)
        return found


def contexts(authority: Path | None) -> Mapping[str, ssl.SSLContext]:
    """What each kind of TLS takes; the certificate of the authority is written to that file."""
    issuer = trustme.CA()
    if authority is not None:
        issuer.cert_pem.write_to_path(authority)
    found = {kind: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for kind in ("good", "wrong-name", "alert")}
    issuer.issue_cert(f"*.{ORIGIN}").configure_cert(found["good"])
    issuer.issue_cert("mx.elsewhere.test").configure_cert(found["wrong-name"])
    return found  # without a certificate there is nothing that both sides could use


def _allow_descriptors(wanted: int) -> None:
    """Let this process have as many as it may. ClickException when that is less."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < wanted:
        raise click.ClickException(f"the sites need {wanted} descriptors: raise ulimit -Hn, now {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@click.command()
@click.option("--port", default=2500, show_default=True, help="Of all sites; each has an address of its own.")
@click.option("--dns", help="Serve the sites' DNS at this address and port, too.")
@click.option("--authority", type=click.Path(path_type=Path), help="Write the certificate of the TLS authority there.")
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(port: int, dns: str | None, authority: Path | None, table: Path) -> None:
    """Be all the sites of TABLE until standard input ends, which takes orders."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        read = Table.read(table)
        _allow_descriptors(sum(each.sites for each in read.site) + _CONNECTIONS)
        sites = Sites(read, port, contexts(authority))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if dns is not None:
        serve = partial(serve_zone, read.zone(), listen=dns)
        threading.Thread(target=trio.run, args=(serve,), daemon=True).start()
    click.echo(json.dumps({"port": port, "sites": len(sites.sites)}))
    gc.freeze()
    sites.run()


if __name__ == "__main__":
    main()
