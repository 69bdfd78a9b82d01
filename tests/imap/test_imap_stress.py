"""Many connections of two accounts say what is right and what is wrong, at random, for STRESS_SECONDS (4 if not said).

No exception is met, no connection is given up, nobody sees mail of another account, and what each is told makes sense.
"""

import contextlib
import os
import random
import time

import trio

from tests.imap.imap_knowledge import Knowledge
from tests.imap.imap_serving import ACCOUNTS, Client, Post
from tests.support.dice import seeded

SECONDS = float(os.environ.get("STRESS_SECONDS") or 4)
CONNECTIONS = 12
NAMES = ["INBOX", "INBOX", "Sent", "Trash", "made", "made/deep"]
FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "work", "$Junk", "k1", "k2"]
ITEMS = [
    "FLAGS", "UID", "(FLAGS UID)", "ENVELOPE", "BODYSTRUCTURE", "BODY[]", "BODY.PEEK[HEADER]", "BODY.PEEK[1]",
    "BINARY.PEEK[1]", "BODY.PEEK[]<3.9>", "RFC822.SIZE", "FAST", "FULL", "PREVIEW", "EMAILID", "SAVEDATE", "BODY[9]",
]  # fmt: skip
KEYS = [
    "ALL", "SEEN", "UNSEEN DELETED", "KEYWORD work", "NOT (OR SEEN 1)", "SUBJECT token", "TEXT for", "LARGER 60", "$",
    "SINCE 1-Jan-2020", "UID 3:*", "HEADER Subject x", "MODSEQ 5", "YOUNGER 99",
]  # fmt: skip
NOISE = [
    b"", b"*", b"FETCH", b"FETCH 1:* (FLAGS", b"STORE 1 FLAGS (\\Recent)", b"SEARCH (((", b"SELECT {3+}\r\n\0\0\0",
    b"APPEND INBOX (", b"APPEND INBOX {5+}\r\nabcde nonsense", b"APPEND INBOX {99999999999}", b"LIST (X) \"\" *",
    b"FETCH 4294967296 FLAGS", b"UID FETCH 0 FLAGS", b"FETCH 1 BODY[0]", b"FETCH 1 BODY[HEADER.FIELDS ()]",
    b"COPY 1 \"\"", b"RENAME INBOX INBOX", b"STATUS \"\" (MESSAGES)", b"SORT () UTF-8 ALL", b"THREAD X UTF-8 ALL",
    b"NOTIFY SET", b"ENABLE", b"ID (\"a\")", b"\xff\xfe", b"NOOP\r\nx", b"LOGIN a b", b"AUTHENTICATE PLAIN",
    b"UID EXPUNGE *", b"IDLE now", b"STORE 1 (UNCHANGEDSINCE 99999999999999999999) FLAGS ()", b"FETCH * (BODY[]<0.0>)",
    b"APPEND INBOX CATENATE (URL \"/;UID=1/;SECTION=%00\")", b"SEARCH CHARSET X ALL", b"REPLACE 1 INBOX {1+}\r\nx",
]  # fmt: skip


class Somebody:
    """One connection after the other of one account."""

    def __init__(self, post: Post, login: str, dice: random.Random) -> None:
        self._post = post
        self._login = login
        self._dice = dice
        self._selected: Knowledge | None = None
        self.commands = 0
        self.last: tuple[Client, Knowledge] | None = None  # the connection that is left at the end

    async def live(self, until: float) -> None:
        while time.monotonic() < until:
            kind = self._dice.choice(["", "CONDSTORE", "QRESYNC", "IMAP4rev2", "UTF8=ACCEPT IMAP4rev2 QRESYNC"])
            client = await self._post.client(self._login, enables=kind)
            with contextlib.suppress(trio.BrokenResourceError):
                await self._talk(client, kind, min(until, time.monotonic() + self._dice.random() * 3))
            if self._selected is not None and time.monotonic() >= until:
                self.last = client, self._selected
                return
            if self._dice.random() < 0.3:  # amid a command
                with contextlib.suppress(trio.BrokenResourceError):
                    await client.says(b"z APPEND INBOX {400000+}\r\n" + bytes(self._dice.randrange(1, 99_999)))
            await client.stream.aclose()

    async def agrees(self) -> None:
        """At the end, when all is quiet: it knows how many messages there are, and which."""
        if self.last is None:
            return
        client, knowledge = self.last
        assert knowledge.take(await client.does("NOOP"), "NOOP") == "OK"
        reader, account = self._post.owner.reader, ACCOUNTS[self._login]
        numbers = [folder.number for folder in reader.folders(account) if folder.number]
        views = [view for number in numbers if (view := reader.select(account, number)) is not None]
        uids = next((view.uids for view in views if view.status.uidvalidity == knowledge.validity), ())
        assert len(knowledge.messages) == len(uids)
        assert all(told.uid in (None, uid) for told, uid in zip(knowledge.messages, uids, strict=True))

    async def _talk(self, client: Client, kind: str, until: float) -> None:
        self._selected = knowledge = None
        while time.monotonic() < until:
            self.commands += 1
            if self._dice.random() < 0.15:
                self._selected = knowledge = None  # what is said of it is not looked at
                if not await self._noise(client):
                    return
                await client.does("UNSELECT")
                continue
            command = self._command(len(knowledge.messages) if knowledge is not None else 0)
            said = await client.does(command)
            if command.startswith(("SELECT", "EXAMINE")):
                knowledge = Knowledge(by_uid="QRESYNC" in kind, uid_only=False, condstore=False)
                # News that NOTIFY asked for are of the mailbox before, up to this.
                closed = [place for place, line in enumerate(said) if line.startswith(b"* OK [CLOSED]")]
                said = said[closed[0] :] if closed else said
            other = next(login for login in ACCOUNTS if login != self._login)
            assert not any(f"for {other}".encode() in line for line in said)
            if knowledge is not None:
                status = knowledge.take(said, command.split(maxsplit=1)[0])
                if command.startswith(("SELECT", "EXAMINE", "CLOSE", "UNSELECT")):
                    knowledge = knowledge if command[0] in "SE" and status == "OK" else None
            self._selected = knowledge

    async def _noise(self, client: Client) -> bool:
        """Something that is wrong; whether the connection is still there."""
        octets = self._dice.choice(NOISE)
        if self._dice.random() < 0.3:
            octets = bytes(self._dice.randrange(256) for _ in range(self._dice.randrange(60))).replace(b"{", b"")
        await client.says(b"n1 %b\r\nn2 NOOP\r\n" % octets)
        while not (said := await client.hears()).startswith(b"n2 "):
            if not said or said.startswith(b"* BYE"):
                return False
            if said.startswith(b"+ "):  # a SASL exchange or a literal took the second line for its own
                await client.says(b"*\r\nn2 NOOP\r\n")
        return True

    def _command(self, count: int) -> str:
        dice = self._dice
        some = ",".join(str(dice.randrange(1, count + 1)) for _ in range(dice.randrange(1, 4))) if count else "1"
        uid, name = dice.choice(["", "UID "]), dice.choice(NAMES)
        body = f"Subject: token\r\n\r\nfor {self._login}\r\n" * dice.choice([1, 1, 1, 3000])
        flags = " ".join(dice.sample(FLAGS, 2))
        return dice.choice([
            f"SELECT {name}", f"SELECT {name}", f"EXAMINE {name}", "NOOP", "CLOSE", "UNSELECT",
            f"APPEND {name} ({flags}) {{{len(body)}+}}\r\n{body}", f"APPEND INBOX {{{len(body)}+}}\r\n{body}",
            f"{uid}FETCH {some} {dice.choice(ITEMS)}", f"{uid}FETCH {some} {dice.choice(ITEMS)}",
            f"{uid}STORE {some} {dice.choice('+-')}FLAGS{dice.choice(['', '.SILENT'])} ({flags})",
            f"{uid}STORE {some} +FLAGS (\\Deleted)", "EXPUNGE", f"{uid}COPY {some} {name}", f"{uid}MOVE {some} {name}",
            f"{uid}SEARCH {dice.choice(KEYS)}", f"{uid}SEARCH RETURN (SAVE COUNT MIN) {dice.choice(KEYS)}",
            f"{uid}SORT ({dice.choice(['SUBJECT', 'REVERSE DATE', 'SIZE'])}) UTF-8 {dice.choice(KEYS)}",
            f"{uid}THREAD REFERENCES UTF-8 {dice.choice(KEYS)}", f"STATUS {name} (MESSAGES UNSEEN UIDNEXT)",
            'LIST "" "*"', 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%" RETURN (STATUS (MESSAGES))', f"CREATE {name}",
            f"DELETE {name}", f"RENAME {name} {dice.choice(NAMES)}", f"SUBSCRIBE {name}", 'LSUB "" "%"',
            f"REPLACE {some} {name} {{{len(body)}+}}\r\n{body}", f'APPEND {name} CATENATE (URL "/INBOX/;UID=1")',
            "NOTIFY SET (SELECTED-DELAYED (MessageNew (UID) MessageExpunge FlagChange)) (PERSONAL (MailboxName))",
            "NOTIFY NONE",
        ])  # fmt: skip


async def test_many_who_say_all_kinds_of_things(post: Post, caplog) -> None:
    dice = seeded()
    people = [
        Somebody(post, login, random.Random(dice.random()))
        for login in ACCOUNTS
        for _ in range(CONNECTIONS // len(ACCOUNTS))
    ]
    async with trio.open_nursery() as nursery:
        for one in people:
            nursery.start_soon(one.live, time.monotonic() + SECONDS)
    for one in people:
        await one.agrees()
    print(f"{sum(one.commands for one in people)} commands")
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
