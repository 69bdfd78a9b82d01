"""Clients of a long run: readers who empty Bob's mailbox and keep books, and those who leave in mid-command."""

import contextlib
import poplib
import random
import smtplib
import socket
import ssl
import struct
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

from tests.crash.system import BOB, FAR, tokens
from tests.support.server import PASSWORD, PATIENCE, Dialogue, Postroad, letter

BROKEN = (OSError, EOFError, AssertionError, smtplib.SMTPException, poplib.error_proto)
"""What a client meets when the server hangs up, or a worker dies."""

VISIT, AT_ONCE = 500, 20
"""Messages that a reader takes at one visit, and commands that it sends before it reads the replies."""


@contextlib.contextmanager
def coming(visit: Callable[[], None], pause: float) -> Iterator[None]:
    """A client that does ``visit`` again and again meanwhile. ``pause``: seconds between two visits, about."""
    over = threading.Event()
    surprises: list[str] = []

    def run() -> None:
        while not over.wait(2 * pause * random.random()):
            try:
                visit()
            except BROKEN:
                pass
            except Exception:
                surprises.append(traceback.format_exc())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(300)
    assert not thread.is_alive(), "a client never came to its end"
    assert not surprises, surprises[0]


class Readers:
    """Fetch all that Bob has, note it, and delete it."""

    def __init__(self, server: Postroad) -> None:
        self._server = server
        self._had: dict[str, str] = {}  # unique id of a message → its token

    def __len__(self) -> int:
        return len(self._had)

    def tokens(self) -> Counter[str]:
        return Counter(filter(None, list(self._had.values())))

    def visit(self) -> None:
        with contextlib.closing(_pop3(self._server)) as client:
            client.user(BOB)
            client.pass_(PASSWORD)
            lines = [line.decode().split() for line in client.uidl()[1][:VISIT]]
            for start in range(0, len(lines), AT_ONCE):
                self._fetch(client, lines[start : start + AT_ONCE])
            client.quit()

    def _fetch(self, client: poplib.POP3, lines: list[list[str]]) -> None:
        """All commands first, then the replies (RFC 2449 6.6): else each message takes two round trips."""
        for number, _ in lines:
            client._putcmd(f"RETR {number}\r\nDELE {number}")  # type: ignore[attr-defined]
        for _, unique in lines:
            content = client._getlongresp()[1]  # type: ignore[attr-defined]
            client._getresp()  # type: ignore[attr-defined]
            self._had[unique] = "".join(tokens([b"\r\n".join(content)]))


class Passers:
    """Each visit ends in another way that nobody would call polite. None of them leaves a message."""

    def __init__(self, server: Postroad) -> None:
        self._server = server
        self._ways = (
            *(self._talk, self._talk_under_tls, self._talk, self._talk_under_tls),
            *(self._read_a_part, self._wrong_password, self._say_nothing, self._break_a_handshake),
        )
        self.visits = 0

    def visit(self) -> None:
        self.visits += 1
        random.choice(self._ways)()

    def _talk(self) -> None:
        with Dialogue(self._server.ports["smtp"]) as client:
            said = [
                b"EHLO passer.example.net\r\n",
                b"MAIL FROM:<ann@example.net>\r\n",
                f"RCPT TO:<{BOB}>\r\nRCPT TO:<{FAR}>\r\n".encode(),
                b"DATA\r\n",
                letter("never", "line\r\n" * random.choice([1, 100, 50_000])),
            ]
            octets = b"".join(said[: random.randrange(1, 6)])
            client.send(octets[: -random.randrange(1, 8)])
            _leave(client.socket)

    def _talk_under_tls(self) -> None:
        with contextlib.closing(self._server.smtp()) as client:
            client.starttls(context=_anybody())
            client.ehlo()
            if random.random() < 0.5:
                client.mail("ann@example.net")
                client.rcpt(BOB)
                client.putcmd("data")
            assert client.sock is not None
            _leave(client.sock)

    def _read_a_part(self) -> None:
        client = _pop3(self._server)
        try:
            if random.random() < 0.5:
                client.stls(_anybody())
            client.user(BOB)
            client.pass_(PASSWORD)
            client._putcmd("RETR 1")  # type: ignore[attr-defined]
            _leave(client.sock)
        finally:
            client.close()

    def _wrong_password(self) -> None:
        with contextlib.closing(_pop3(self._server)) as client:
            client.user(BOB)
            client.pass_("guessed")

    def _say_nothing(self) -> None:
        with Dialogue(self._server.ports["smtp"]) as client:
            client.reply()  # when our time is over

    def _break_a_handshake(self) -> None:
        with Dialogue(self._server.ports["smtp"]) as client:
            client.ask("EHLO passer.example.net", "250")
            client.ask("STARTTLS", "220")
            client.send(b"\x16\x03\x01\x02")
            _leave(client.socket)


def _pop3(server: Postroad) -> poplib.POP3:
    return poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)


def _anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _leave(connection: socket.socket) -> None:
    """Go: at once, after a while, with a reset, or with an end that still lets the other side speak."""
    if random.random() < 0.3:
        time.sleep(0.1)
    match random.randrange(3):
        case 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: socket(7)
        case 1:
            connection.shutdown(socket.SHUT_WR)
