"""An IMAP server that mail is taken from, in this process: it hangs up, holds back and lies, as no real one would."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

USER, PASSWORD = "ann", "wonder land"


@dataclass
class Message:
    content: bytes
    flags: str = ""
    size: int | None = None  # that is told, if it is not the true one
    modseq: int = 1


@dataclass
class Box:
    """``attributes``: of LIST."""

    messages: dict[int, Message] = field(default_factory=dict)
    validity: int = 7
    attributes: str = ""
    modseq: int = 0  # 0: it knows no CONDSTORE

    def put(self, *contents: bytes, flags: str = "") -> "Box":
        for content in contents:
            self.messages[max(self.messages, default=0) + 1] = Message(content, flags)
        return self


@dataclass
class Source:
    """``boxes`` by their names as they are said. The rest is how it misbehaves."""

    boxes: dict[str, Box] = field(default_factory=dict)
    hang_up_after: int = 0  # messages, in each connection
    refused: set[int] = field(default_factory=set)  # UIDs that it does not give
    nil: set[int] = field(default_factory=set)  # UIDs of which it gives NIL
    sign_in: list[bytes] = field(default_factory=list)  # answers to the next logins, but for the tag
    junk: dict[str, bytes] = field(default_factory=dict)  # what it says in place of an answer, by command
    capabilities: str = "IMAP4rev1 SASL-IR AUTH=PLAIN"
    asked: list[str] = field(default_factory=list)
    given: int = 0  # messages
    port: int = 0
    on_fetch: Callable[[], None] = lambda: None

    async def serve(self, stream: trio.SocketStream) -> None:
        with_box: Box | None = None
        given, waiting = 0, ""
        try:
            await stream.send_all(b"* OK ready\r\n")
            async for said_line in _lines(stream):
                line, waiting = (f"{waiting} {said_line}" if waiting else said_line), ""
                self.asked.append(line)
                tag, command, rest = (*line.split(" ", 2), "")[:3]
                if command in self.junk:
                    await stream.send_all(self.junk[command].replace(b"TAG", tag.encode()))
                    continue
                if command == "AUTHENTICATE" and " " not in rest:
                    await stream.send_all(b"+ \r\n")
                    waiting = self.asked.pop()
                    continue
                if command == "EXAMINE":
                    with_box = self.boxes[rest.strip('"')]
                if command == "UID" and with_box is not None:
                    for said in self._fetch(with_box, rest):
                        given += b"BODY[]" in said
                        self.given += b"BODY[]" in said
                        await stream.send_all(said)
                        if self.hang_up_after and given >= self.hang_up_after:
                            await stream.aclose()
                            return
                    self.on_fetch()
                else:
                    for said in self._answer(command, rest, with_box):
                        await stream.send_all(said)
                await stream.send_all(self._end(tag, command, rest))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def _answer(self, command: str, rest: str, box: Box | None) -> list[bytes]:
        if command == "CAPABILITY":
            return [f"* CAPABILITY {self.capabilities}\r\n".encode()]
        if command == "LIST":
            return [f'* LIST ({one.attributes}) "/" "{name}"\r\n'.encode() for name, one in self.boxes.items()]
        if command == "EXAMINE" and box is not None:
            said = [b"* %d EXISTS\r\n" % len(box.messages), b"* OK [UIDVALIDITY %d] good\r\n" % box.validity]
            return [*said, b"* OK [HIGHESTMODSEQ %d] good\r\n" % box.modseq] if box.modseq else said
        return []

    def _fetch(self, box: Box, rest: str) -> list[bytes]:
        found = re.match(r"FETCH (\S+) \(UID ([^)]*)\)(?: \(CHANGEDSINCE (\d+)\))?", rest)
        assert found is not None, rest
        said = []
        for number, (uid, one) in enumerate(sorted(box.messages.items()), 1):
            if not _in(found[1], uid) or one.modseq <= int(found[3] or 0):
                continue
            head = b"* %d FETCH (UID %d FLAGS (%b)" % (number, uid, one.flags.encode())
            if "RFC822.SIZE" in found[2]:
                said.append(head + b" RFC822.SIZE %d)\r\n" % (len(one.content) if one.size is None else one.size))
            elif "BODY" not in found[2]:
                said.append(head + b")\r\n")
            elif uid in self.nil:
                said.append(head + b" BODY[] NIL)\r\n")
            elif uid not in self.refused:
                date = b' INTERNALDATE "17-Jul-2020 02:44:25 +0000"'
                said.append(head + date + b" BODY[] {%d}\r\n%b)\r\n" % (len(one.content), one.content))
        return said

    def _end(self, tag: str, command: str, rest: str) -> bytes:
        if command in ("AUTHENTICATE", "LOGIN") and self.sign_in:
            return tag.encode() + b" " + self.sign_in.pop(0) + b"\r\n"
        if command == "UID" and "BODY" in rest:
            wanted = re.match(r"FETCH (\S+)", rest)
            assert wanted is not None
            if any(_in(wanted[1], uid) for uid in self.refused):
                return tag.encode() + b" NO some could not be fetched\r\n"
        return tag.encode() + b" OK done\r\n"


@asynccontextmanager
async def serving(source: Source) -> AsyncIterator[Source]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, source.serve, 0, host="127.0.0.1"))
        source.port = listeners[0].socket.getsockname()[1]
        yield source
        nursery.cancel_scope.cancel()


async def _lines(stream: trio.SocketStream) -> AsyncIterator[str]:
    buffer = b""
    async for octets in stream:
        buffer += octets
        while b"\r\n" in buffer:
            line, _, buffer = buffer.partition(b"\r\n")
            yield line.decode()


def _in(wanted: str, uid: int) -> bool:
    for part in wanted.split(","):
        first, _, last = part.partition(":")
        if int(first) <= uid <= (2**32 if last == "*" else int(last or first)):
            return True
    return False
