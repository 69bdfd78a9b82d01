"""APPEND and REPLACE (RFC 9051 6.3.12, RFC 3502, 4469, 7889, 8508): messages that a client puts into a mailbox."""

from typing import Final

from engine.imap.changes import changeable
from engine.imap.flags import parted
from engine.imap.letters import Shelf
from engine.imap.octets import pieces
from engine.imap.place import Place
from engine.imap.reply import Done, No
from engine.imap.session import Session, refused
from engine.imap.urls import Url, parse
from engine.mailbox import MessageGone
from engine.mailbox.commands import Append, Appended, Expunge, Problem
from engine.mailbox.incoming import IncomingFile
from engine.mailbox.layout import INLINE
from engine.protocols.imap import append, codes, events, sets
from engine.protocols.imap.fetch import Body
from engine.protocols.imap.strings import NIL
from engine.protocols.imap.view import May

_GATHERED: Final = 64 * 1024
"""Octets of one message that are kept in memory as they come; a larger one goes to a file, in pieces of this size."""

_HELD: Final = 4 * 1024 * 1024
"""Octets of the messages of one command that are kept in memory; what comes behind them goes to files."""


class Appending:
    """One command under way. Its files are gone once it is closed."""

    def __init__(self, session: Session, command: append.AppendBegin) -> None:
        self._session = session
        self._command = command
        self._place: Place
        self._replaced: list[int] = []
        self._messages: list[Appended] = []
        self._files: list[IncomingFile] = []
        self._begun = append.MessageBegin((), None)
        self._binary = False
        self._gathered = bytearray()
        self._file: IncomingFile | None = None
        self._size = 0
        self._held = 0  # octets of messages in memory

    async def begin(self) -> None:
        session, command = self._session, self._command
        place = session.target(command.mailbox)
        if place is None:
            raise No("There is no such mailbox", b"TRYCREATE")
        session.demand(place, "i")
        if command.replaces is not None:
            changeable(session)
            session.demand(session.mailbox.place, "te")
            numbers = session.mailbox.numbers
            replaced = numbers.chosen(command.replaces, uid=command.uid)
            self._replaced = [uid for uid in replaced if not numbers.is_gone(uid)]
            if not self._replaced:
                raise No("There is no such message", b"NONEXISTENT")
        self._place = place

    async def take(self, happened: events.Event) -> None:
        """What the client says of a message. No where it cannot be taken."""
        imap = self._session.imap
        match happened:
            case append.MessageBegin():
                self._count()
                self._begun = happened
                self._gathered, self._file, self._size = bytearray(), None, 0
            case append.ContentBegin(size, binary):
                self._measure(self._size + size)
                self._binary = binary
                imap.go_on()
            case append.ContentUrl(url):
                await self._catenate(url)
                imap.go_on()
            case events.ContentPart(octets):
                _check(octets, binary=self._binary)
                await self._write(octets)
            case append.MessageEnd():
                await self._finish()

    async def take_whole(self, message: append.MessageWhole) -> None:
        """The same of a message that has come all at once."""
        self._count()
        self._measure(len(message.octets))
        _check(message.octets, binary=message.binary)
        content, name = message.octets, ""
        if len(content) > INLINE or self._held + len(content) > _HELD:
            content, name = b"", await self._filed(content)
        self._held += len(content)
        self._add(message, content, name, len(message.octets))

    async def end(self) -> Done:
        """All is there: put it into the mailbox."""
        session, place = self._session, self._place
        quota = await session.quota(place)
        answer = await session.change(
            Append(account=place.account, mailbox=place.mailbox, messages=tuple(self._messages), quota=quota)
        )
        if answer.problem is Problem.NONEXISTENT:
            raise No("There is no such mailbox", b"TRYCREATE")
        if answer.problem is not None:
            raise refused(answer.problem)
        code = codes.append_uid(answer.uidvalidity, sets.of(answer.uids))
        if not self._replaced:
            return Done("Stored", code)
        session.imap.send(codes.untagged_ok("It is there", code))  # RFC 8508 3.3
        selected = session.mailbox
        gone = Expunge(
            account=selected.account, mailbox=selected.mailbox, uids=tuple(self._replaced), deleted_only=False
        )
        await session.change(gone)
        await session.catch_up(May.ALL)
        return Done("Replaced")

    def close(self) -> None:
        """Let the files go."""
        for file in self._files:
            file.__exit__()
        self._files.clear()

    async def _write(self, octets: bytes) -> None:
        self._size += len(octets)
        self._gathered += octets
        if len(self._gathered) <= _GATHERED:
            return
        if self._file is None:
            self._file = await self._new_file()
        await self._session.read(self._file.write, bytes(self._gathered))
        self._gathered.clear()

    async def _new_file(self) -> IncomingFile:
        session = self._session
        file = await session.read(IncomingFile, session.mailboxes.path, session.service.limits.floor)
        self._files.append(file)
        return file

    async def _filed(self, content: bytes) -> str:
        """The name of a file that holds it."""
        session = self._session
        store, floor = session.mailboxes.path, session.service.limits.floor
        file = await session.read(IncomingFile.holding, content, store, floor)
        self._files.append(file)
        return file.name

    async def _finish(self) -> None:
        content, name = bytes(self._gathered), ""
        if self._file is not None:
            content, name = b"", await self._session.read(self._file.finish, content)
        self._add(self._begun, content, name, self._size)

    def _count(self) -> None:
        """One more message begins."""
        limits = self._session.service.limits
        most = min(limits.appended, limits.messages)
        if len(self._messages) >= most:
            raise No(f"At most {most} messages at once", codes.message_limit(most))

    def _measure(self, size: int) -> None:
        most = self._session.service.limits.message
        if size > most:
            raise No(f"A message has at most {most} octets", b"TOOBIG")

    def _add(self, message: append.MessageBegin | append.MessageWhole, content: bytes, file: str, size: int) -> None:
        if not size:
            raise No("A message has at least one octet", b"CANNOT")
        flags, keywords = parted(message.flags)
        received = max(int(message.date.timestamp() * 1000), 0) if message.date is not None else 0
        self._messages.append(Appended(content, file, flags, keywords, received))

    async def _catenate(self, url: bytes) -> None:
        """Octets of another message."""
        session = self._session
        found = parse(url, host=session.service.hostname, user=session.account.address)
        bad = No("This URL leads to no message", codes.bad_url(url))
        if found is None:
            raise bad
        place = self._meant(found)
        if place is None or (found.uidvalidity and found.uidvalidity != _validity(place)):
            raise bad
        shelf = Shelf(session.mailboxes, session.service.index, place.account, place.mailbox)
        letters = await session.read(shelf.letters, [found.uid])
        if not letters:
            raise bad
        item = Body(found.section, b"", partial=found.partial)
        octets = await session.read(pieces, letters[0], item)
        try:
            first = await session.read(next, octets)
            if first == NIL:
                raise bad
            piece: bytes | None = first.partition(b"\r\n")[2]  # behind the head of the literal
            while piece is not None:
                if self._size + len(piece) > session.service.limits.message:
                    raise No("The message becomes too large", b"TOOBIG")
                await self._write(piece)
                piece = await session.read(next, octets, None)
        except MessageGone as error:
            raise bad from error

    def _meant(self, url: Url) -> Place | None:
        """The mailbox of a URL; without one it is that which is selected (RFC 4469 3)."""
        session = self._session
        if url.mailbox:
            place = session.look(url.mailbox)
        else:
            place = session.selected.place if session.selected is not None else None
        return place if place is not None and place.mailbox and "r" in place.rights else None


def _check(octets: bytes, *, binary: bool) -> None:
    if not binary and b"\0" in octets:
        raise No("A message that holds NUL is no text: send it as a literal8", b"CANNOT")


def _validity(place: Place) -> int:
    return place.folder.status.uidvalidity if place.folder.status is not None else 0
