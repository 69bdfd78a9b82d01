"""POP3: a whole session, long listings, and a large message."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter
from engine.protocols.asking import Closed, Login
from engine.protocols.pop3 import Remove, Retrieve, RetrieveSome, Session, Signal

pytestmark = pytest.mark.benchmark(group="POP3")

PIECE = 16 * KIB  # octets of a message that are read from the mailbox at once


@dataclass(frozen=True, slots=True)
class Item:
    """A message in the listing."""

    size: int
    uidl: str


def items(count: int, size: int) -> list[Item]:
    return [Item(size, f"{number:026}") for number in range(count)]


def serve(session: Session, mailbox: Sequence[Item], octets: bytes, commands: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Obey the commands; every message is ``octets``. All that was answered, and the messages that were removed."""
    answers: list[bytes] = []
    removed: tuple[int, ...] = ()
    session.receive(commands)
    while True:
        match session.next_event():
            case Signal.NEED_DATA | Closed():
                answers.append(session.outgoing())
                return b"".join(answers), removed
            case Signal.SEND_FIRST:
                answers.append(session.outgoing())
            case Login():
                session.logged_in(mailbox)
            case Retrieve():
                session.body_begins()
                for start in range(0, len(octets), PIECE):
                    session.body(octets[start : start + PIECE])
                session.body_ends()
            case RetrieveSome(numbers):
                answers.append(session.some([octets] * len(numbers)))
            case Remove(numbers):
                removed = numbers
                session.removed()


def opened(mailbox: Sequence[Item]) -> Session:
    """A session that has logged in."""
    session = Session("pop.rcpt.test", plaintext=True)
    serve(session, mailbox, b"", b"USER bob@rcpt.test\r\nPASS secret\r\n")
    return session


def test_session(measure: Measure) -> None:
    octets = letter(4 * KIB)
    mailbox = items(10, len(octets))
    fetch = b"".join(b"RETR %d\r\nDELE %d\r\n" % (number, number) for number in range(1, 11))
    commands = b"CAPA\r\nUSER bob@rcpt.test\r\nPASS secret\r\nSTAT\r\nUIDL\r\n" + fetch + b"QUIT\r\n"

    def work() -> tuple[bytes, tuple[int, ...]]:
        return serve(Session("pop.rcpt.test", plaintext=True), mailbox, octets, commands)

    answers, removed = measure("session, 10 messages of 4 KiB fetched and deleted", work)
    assert answers.count(octets + b".\r\n") == 10
    assert b"-ERR" not in answers
    assert removed == tuple(range(1, 11))


@pytest.mark.parametrize(
    ("command", "shown"),
    [(b"LIST", lambda item: str(item.size)), (b"UIDL", lambda item: item.uidl)],
    ids=["LIST", "UIDL"],
)
def test_listing(measure: Measure, command: bytes, shown: Callable[[Item], str]) -> None:
    mailbox = items(10_000, 4 * KIB)
    session = opened(mailbox)
    answers, _ = measure(f"{command.decode()} of 10,000 messages", serve, session, mailbox, b"", command + b"\r\n")
    first, *lines, dot = answers.decode().splitlines()
    assert (first[:4], dot) == ("+OK ", ".")
    assert lines == [f"{number} {shown(item)}" for number, item in enumerate(mailbox, 1)]


@pytest.mark.parametrize("dotted", [False, True], ids=["", "dotted"])
def test_large(measure: Measure, *, dotted: bool) -> None:
    octets = letter(64 * KIB, line=b".hidden by a dot, as files are.\r\n") if dotted else letter(64 * KIB)
    mailbox = items(1, len(octets))
    session = opened(mailbox)
    what = f"RETR, 64 KiB{', a dot on each line' * dotted}"
    answers, _ = measure(what, serve, session, mailbox, octets, b"RETR 1\r\n")
    assert answers == b"+OK %d octets\r\n" % len(octets) + octets.replace(b"\n.", b"\n..") + b".\r\n"
