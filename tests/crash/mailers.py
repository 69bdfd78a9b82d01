"""IMAP clients that store, flag, move and remove messages whatever breaks, and the books that are kept of it."""

import contextlib
import imaplib
import itertools
import json
import random
import re
import threading
import time
from dataclasses import dataclass

from tests.support.server import PASSWORD, PATIENCE, Postroad, until

EVE = "eve@example.org"
CLIENTS = 3
FOLDERS = ("INBOX", "Archive")
GONE = "gone"
LOOKS = 30
"""Messages for which the index is asked."""

BROKEN = (OSError, EOFError, imaplib.IMAP4.error)
"""What a client meets when the server hangs up, or a change cannot be made."""


@dataclass
class Entry:
    """A message: where it may be, and whether it must be flagged. Of a change without an answer both may be true."""

    places: frozenset[str]
    flagged: bool = False


class Mailers:
    """Clients of Eve's mailboxes; each works on messages of its own, told apart by their tokens."""

    def __init__(self, server: Postroad) -> None:
        self._server = server
        self.books: dict[str, Entry] = {}
        self.answered = 0
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a client never came to its end"

    def until_answered(self, count: int) -> None:
        until(lambda: self.answered >= count, f"{count} answers")

    def _client(self) -> None:
        while not self._over.is_set():
            try:
                with contextlib.closing(Mailer(self._server)) as client:
                    while not self._over.wait(random.random() / 20):
                        self._work(client)
            except BROKEN:
                time.sleep(0.05)

    def _work(self, client: "Mailer") -> None:
        """The life of one message; each step is in the books before it is asked for as what may be, then as what is."""
        token = f"token-{next(self._numbers)}-"
        self.books[token] = entry = Entry(frozenset({"INBOX", GONE}))
        uid = client.append(token, random.choice([10, 10, 10, 30_000]))
        entry.places = frozenset({"INBOX"})
        steps = random.choice(["", "flag", "flag move", "move", "remove", "flag remove"])
        for step in steps.split():
            self.answered += 1
            if step == "flag":
                client.ask("STORE", uid, "+FLAGS.SILENT", r"(\Flagged)")
                entry.flagged = True
            elif step == "move":
                entry.places = frozenset(FOLDERS)
                client.ask("MOVE", uid, "Archive")
                entry.places = frozenset({"Archive"})
            else:
                entry.places = frozenset({"INBOX", GONE})
                client.ask("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)")
                client.ask("EXPUNGE", uid)
                entry.places = frozenset({GONE})
        self.answered += 1

    def settle(self) -> None:
        """All that was answered is so, each message is there once at most, and the store agrees with itself."""
        with contextlib.closing(Mailer(self._server)) as client:
            found = {folder: client.found(folder) for folder in FOLDERS}
        places = {token: [GONE] for token in self.books}
        for folder, messages in found.items():
            for token, _ in messages:
                places[token] = [place for place in places[token] if place != GONE] + [folder]
        allowed = {token: [[place] for place in entry.places] for token, entry in self.books.items()}
        assert {token: where for token, where in places.items() if where not in allowed[token]} == {}
        flagged = {token for messages in found.values() for token, flags in messages if "Flagged" in flags}
        assert {token for token, entry in self.books.items() if entry.flagged and places[token] != [GONE]} <= flagged
        there = sum(map(len, found.values()))
        print(f"{len(self.books)} messages of IMAP clients, {self.answered} answers, {there} are there")
        done = self._server.command("mailbox", "verify")
        assert done.returncode == 0, done.stdout + done.stderr

    def settle_index(self) -> None:
        """The index comes to know all that is there, and finds each message where it is, and nowhere else."""
        until(self._is_indexed, "all mail to be in the index", 120)
        with contextlib.closing(Mailer(self._server)) as client:
            for folder in FOLDERS:
                there = {token for token, _ in client.found(folder)}
                some = random.sample(sorted(self.books), min(len(self.books), LOOKS))
                assert {token for token in some if client.searched(token)} == there.intersection(some)

    def _is_indexed(self) -> bool:
        done = self._server.command("mailbox", "index", EVE, "--json")
        (row,) = json.loads(done.stdout)
        return bool(row["known"] == row["messages"])


class Mailer:
    """One connection."""

    def __init__(self, server: Postroad) -> None:
        self._imap = imaplib.IMAP4("127.0.0.1", server.ports["imap"], PATIENCE)
        try:
            self._imap.login(EVE, PASSWORD)
            self._imap.select("INBOX")
        except BROKEN:
            self.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(*BROKEN):
            self._imap.shutdown()

    def append(self, token: str, lines: int) -> str:
        """The UID of the new message. One of BROKEN where nobody knows whether it is there."""
        content = f"Subject: {token}\r\n\r\n".encode() + b"line\r\n" * lines
        status, data = self._imap.append("INBOX", "", "", content)
        found = re.search(rb"APPENDUID \d+ (\d+)", data[0] or b"")
        if status != "OK" or found is None:
            raise imaplib.IMAP4.error(str(data))
        return found[1].decode()

    def ask(self, *words: str) -> None:
        """A command by UID."""
        status, data = self._imap.uid(*words)
        if status != "OK":
            raise imaplib.IMAP4.error(str(data))

    def searched(self, token: str) -> bool:
        """Whether a full-text search of the folder that was looked at last finds it."""
        status, data = self._imap.uid("SEARCH", "TEXT", f'"{token}"')
        assert status == "OK"
        return bool(data[0].split())

    def found(self, folder: str) -> list[tuple[str, str]]:
        """Token and flags of each message."""
        assert self._imap.select(folder, readonly=True)[0] == "OK"
        status, data = self._imap.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert status == "OK"
        return [
            (re.findall(rb"token-\d+-", part[1])[0].decode(), part[0].decode())
            for part in data
            if isinstance(part, tuple)
        ]
