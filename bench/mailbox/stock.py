"""The mailboxes: whose they are, what lies in each, and how Postroad and others are filled with it."""

import array
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from bench import Failed
from bench.mailbox import wire
from bench.mailbox.letters import IN_SUBJECT, IN_TEXT, VERSION, Letter, letter
from bench.servers.base import DOMAIN
from engine.directory import Embedded
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Answer, Append, Appended, Begin, Create
from engine.mailbox.flags import SEEN
from engine.mailbox.layout import INBOX

READER = f"reader@{DOMAIN}"
"""Whose INBOX is the large one."""

KEEPER = f"keeper@{DOMAIN}"
"""Who has the many folders."""

_AT_ONCE = 200

_FILLED = "filled.json"
_SIZES = "sizes"


class Batch(NamedTuple):
    """Letters that go into one folder of a user together."""

    user: str
    folder: str
    letters: list[Letter]


@dataclass(frozen=True)
class Stock:
    """One large mailbox, one user with many folders, and many users with a small mailbox each."""

    messages: int
    folders: int = 200
    in_folder: int = 20  # messages in each
    small: int = 100
    in_small: int = 20

    @cached_property
    def users(self) -> list[str]:
        """Those with a small mailbox."""
        return [f"u{number:02d}@{DOMAIN}" for number in range(self.small)]

    @property
    def folder_names(self) -> list[str]:
        return [f"Folder {number:03d}" for number in range(self.folders)]

    @property
    def passwords(self) -> dict[str, str]:
        """For servers that take any: a password for each user."""
        return {user: f"for {user}" for user in (READER, KEEPER, *self.users)}

    def batches(self) -> Iterator[Batch]:
        """All mail, in the order in which it lies there."""
        for start in range(0, self.messages, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, self.messages))
            yield Batch(READER, "INBOX", [letter(number) for number in numbers])
        for series, name in enumerate(self.folder_names, 1):
            yield Batch(KEEPER, name, [letter(number, series=series) for number in range(self.in_folder)])
        for series, user in enumerate(self.users, self.folders + 1):
            yield Batch(user, "INBOX", [letter(number, series=series) for number in range(self.in_small)])


# -- what is known of a folder that was filled


def is_filled(folder: Path, stock: Stock) -> bool:
    """Whether it holds just these mailboxes, all of them."""
    path = folder / _FILLED
    return path.exists() and json.loads(path.read_text())["stock"] == _named(stock)


def filled(folder: Path, stock: Stock, passwords: dict[str, str], sizes: "array.array[int]") -> None:
    """Note that it is."""
    (folder / _SIZES).write_bytes(sizes.tobytes())
    (folder / _FILLED).write_text(json.dumps({"stock": _named(stock), "passwords": passwords}))


def passwords_in(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / _FILLED).read_text())["passwords"]
    return found


def sizes_in(folder: Path) -> "array.array[int]":
    """Octets of each message of the large mailbox."""
    return array.array("I", (folder / _SIZES).read_bytes())


def _named(stock: Stock) -> str:
    return f"{VERSION}: {stock}"


# -- by IMAP


def fill_by_imap(port: int, stock: Stock) -> "array.array[int]":
    """Append all to a server that is empty. The sizes; Failed."""
    sizes = array.array("I")
    with ExitStack() as stack:
        connections = {
            user: stack.enter_context(wire.imap(port, user, password)) for user, password in stock.passwords.items()
        }
        for user, folder, letters in stock.batches():
            if folder != "INBOX":
                _done(connections[user], wire.command(f"CREATE {wire.quoted(folder)}"))
            _done(connections[user], wire.append(folder, letters))
            if user == READER:
                sizes.extend(len(one.content) for one in letters)
    return sizes


def prime(port: int, passwords: Mapping[str, str]) -> None:
    """Read the large mailbox and look into all others once, so that what a server makes when it is asked is there."""
    for user, password in passwords.items():
        with wire.imap(port, user, password, *(_ALL if user == READER else _PRIMED)):
            pass


_PRIMED = ("SELECT INBOX", 'LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))')

_ALL = (
    *_PRIMED,
    "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    f"SEARCH SUBJECT {IN_SUBJECT}",
    f"SEARCH TEXT {IN_TEXT}",
)


def _done(connection: wire.Connection, octets: bytes) -> None:
    connection.send(octets)
    connection.tagged()


# -- into Postroad's own store


async def fill_store(data: Path, stock: Stock) -> tuple[dict[str, str], "array.array[int]"]:
    """``directory`` and ``mailbox`` in the data folder of a server that does not run; the passwords, and the sizes.

    The passwords are app passwords, which are checked by SHA-256: the cost of argon2id is not what this is about.
    """
    passwords, accounts = {}, {}
    with Embedded.open(data / "directory", [DOMAIN]) as directory:
        for user in stock.passwords:
            accounts[user] = directory.add_account(user).id
            passwords[user] = directory.add_app_password(user, "benchmarks", ("imap", "pop3"))
    sizes = array.array("I")
    with MailboxOwner(data / "mailbox") as owner:
        for user, folder, batch in stock.batches():
            account, mailbox = accounts[user], INBOX
            _good(await owner.change(Begin(account=account)))
            if folder != "INBOX":
                mailbox = _good(await owner.change(Create(account=account, name=folder))).mailbox
            appended = tuple(
                Appended(content=one.content, flags=SEEN if one.seen else 0, received=one.received * 1000)
                for one in batch
            )
            _good(await owner.change(Append(account=account, mailbox=mailbox, messages=appended)))
            if user == READER:
                sizes.extend(len(one.content) for one in batch)
    return passwords, sizes


def _good(answer: Answer) -> Answer:
    if answer.problem is not None:
        raise Failed(f"Postroad's store cannot be filled: {answer.problem}")
    return answer
