"""Many sessions at once in one thread over epoll: those that come and go, and those that wait for news."""

import itertools
import select
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence

from bench import Failed
from bench.mailbox import wire
from bench.mailbox.letters import letter
from bench.mailbox.wire import TAG, Connection

_PATIENCE = 60.0
"""Seconds without a word from any session."""

_SMALL = 16 << 10
"""Octets of a buffer for short answers."""

_SERIES = (1 << 20) + 1
"""Of the messages that bring the news."""


# -- sessions that come and go


def logins(port: int, users: Sequence[tuple[str, str]], sessions: int, over: Callable[[], bool]) -> int:
    """LOGIN, SELECT and LOGOUT for one user after the other, so many at once, until it is over; how many ended."""
    turns = itertools.cycle(users)
    done = 0
    with select.epoll() as poll:
        open_: dict[int, _Session] = {}
        while True:
            while len(open_) < sessions and not over():
                session = _Session(port, *next(turns))
                open_[session.number] = session
                poll.register(session.number, select.EPOLLIN)
            if not open_:
                return done
            events = poll.poll(_PATIENCE)
            if not events:
                raise Failed(f"no word came from {len(open_)} sessions for {_PATIENCE:.0f} s")
            for number, _ in events:
                if open_[number].read():
                    del open_[number]  # closed, and so no longer watched
                    done += 1


class _Session:
    """From the greeting to the answer to LOGOUT."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._connection = Connection(port, _SMALL)
        self.number = self._connection.socket.fileno()
        self._dialog = self._talk(user, password)
        next(self._dialog)
        self._unread = b""

    def read(self) -> bool:
        """Whether it has come to its end."""
        octets = self._connection.socket.recv(_SMALL)
        if not octets:
            raise Failed(f"the server hung up after {self._unread[-200:].decode(errors='replace')}")
        self._unread += octets
        if not self._unread.endswith(b"\n"):
            return False
        *_, last = self._unread[:-1].rsplit(b"\n", 1)
        try:
            if self._dialog.send(last):
                self._unread = b""
        except StopIteration:
            self._connection.close()
            return True
        return False

    def _talk(self, user: str, password: str) -> Generator[bool, bytes, None]:
        """Is sent the last line that came; yields whether it was the one that was waited for."""
        line = yield True
        if not line.startswith(b"* OK"):
            raise Failed(f"refused: {line[:200].decode(errors='replace')}")
        for text in (f"LOGIN {user} {wire.quoted(password)}", "SELECT INBOX", "LOGOUT"):
            self._connection.send(wire.command(text))
            line = yield True
            while not line.startswith(TAG):
                line = yield False
            if not line.startswith(TAG + b" OK"):
                raise Failed(f"refused: {line[:200].decode(errors='replace')}")


# -- sessions that wait


class Idle:
    """Sessions in IDLE (RFC 2177)."""

    def __init__(self) -> None:
        self._of: defaultdict[str, list[Connection]] = defaultdict(list)

    def open(self, port: int, users: Sequence[tuple[str, str]], sessions: int) -> None:
        """So many in all, for each user in turn."""
        for user, password in itertools.islice(itertools.cycle(users), sessions):
            connection = wire.imap(port, user, password, "SELECT INBOX", buffer=_SMALL)
            self._of[user].append(connection)
            connection.send(wire.command("IDLE"))
            connection.line(b"+")

    def close(self) -> None:
        """Hang up on all."""
        for connection in itertools.chain(*self._of.values()):
            connection.close()
        self._of.clear()

    def news(self, port: int, users: Sequence[str]) -> list[float]:
        """Deliver to each user by LMTP on ``port``: seconds from the end of DATA to the last EXISTS of that user."""
        with wire.lmtp(port) as deliveries:
            return [self._delivered(deliveries, user) for user in users]

    def _delivered(self, deliveries: Connection, user: str) -> float:
        waiting = {connection.socket.fileno(): connection for connection in self._of[user]}
        content = b"X-Number: %d\r\n%s" % (time.time_ns(), letter(1, series=_SERIES).content)
        with select.epoll() as poll:
            for number in waiting:
                poll.register(number, select.EPOLLIN)
            written = wire.deliver(deliveries, user, content)
            while waiting:
                events = poll.poll(_PATIENCE)
                if not events:
                    raise Failed(f"{len(waiting)} sessions know nothing of a message after {_PATIENCE:.0f} s")
                for number, _ in events:
                    if b"EXISTS" in waiting[number].line(b"* "):
                        del waiting[number]
                        poll.unregister(number)
            return time.perf_counter() - written
