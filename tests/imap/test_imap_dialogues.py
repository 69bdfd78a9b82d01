"""The dialogues beside this file: what clients of one account say to the service, and what it answers.

``==`` begins a dialogue, over a new store. ``C:`` a command without its tag; ``C2:`` to ``C9:`` of further clients,
each of which has logged in. ``C>``, ``C2>``: a line that is no command. ``S:`` a response to whoever spoke last, or
``S2:`` to that client; tags are left out. ``…`` stands for anything, and alone for any lines. ``↵`` is CRLF,
``«text»`` a literal that nobody waits for. ``D:`` a message is delivered, ``D3:`` three: the mailbox, then keywords.
``#`` a comment.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from tests.imap.imap_serving import Client, Post


class Dialogue(NamedTuple):
    name: str
    lines: list[str]


def dialogues() -> Iterator[Dialogue]:
    for path in sorted((Path(__file__).parent / "dialogues").glob("*.txt")):
        for text in path.read_text().split("\n== ")[1:]:
            title, *lines = text.splitlines()
            yield Dialogue(f"{path.stem}: {title}", [line for line in lines if line and not line.startswith("#")])


class Run:
    """One dialogue under way."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._clients: dict[str, Client] = {}
        self._tags: dict[str, str] = {}
        self._skips = False

    async def take(self, line: str) -> None:
        found = re.fullmatch(r"([CSD])(\d?)([:>]) ?(.*)", line)
        assert found is not None, f"{line!r} is no line of a dialogue"
        kind, name, mark, text = found.groups()
        if kind == "D":
            mailbox, *keywords = text.split()
            for _ in range(int(name or 1)):
                await self._post.deliver(mailbox, keywords=keywords)
        elif kind == "S":
            await self._hear(name or self._speaker, text)
        else:
            self._speaker = name or "1"
            await self._say(self._speaker, _octets(text), command=mark == ":")

    async def _say(self, name: str, text: bytes, *, command: bool) -> None:
        if name not in self._clients:
            self._clients[name] = await self._post.client()
        client = self._clients[name]
        if command:
            self._tags[name] = await client.begins(text)
        else:
            await client.says(text + b"\r\n")

    async def _hear(self, name: str, wanted: str) -> None:
        if wanted == "…":
            self._skips = True
            return
        skipped = []
        while True:
            said = (await self._clients[name].hears()).decode().replace("\r\n", "↵").replace("\0", "␀")
            said = said.removeprefix(self._tags.get(name, "?") + " ")
            pattern = ".*".join(map(re.escape, wanted.split("…")))
            if re.fullmatch(pattern, said, re.S):
                self._skips = False
                return
            skipped.append(said)
            assert self._skips, f"{wanted!r} was not said, but {skipped}"
            assert re.match(r"[*+] ", said), f"{wanted!r} was not said, but {skipped}"

    async def end(self) -> None:
        """Nothing was left to be said."""
        for client in self._clients.values():
            assert (await client.does("LOGOUT"))[:-1] == [b"* BYE Good bye"]


def _octets(text: str) -> bytes:
    octets = text.replace("↵", "\r\n").encode()
    opening, closing = "«".encode(), "»".encode()
    literal = re.compile(opening + b"(.*?)" + closing, re.S)
    return literal.sub(lambda found: b"{%d+}\r\n%b" % (len(found[1]), found[1]), octets)


@pytest.mark.parametrize("dialogue", [*dialogues()], ids=lambda dialogue: dialogue.name)
async def test_dialogue(post: Post, dialogue: Dialogue) -> None:
    run = Run(post)
    for number, line in enumerate(dialogue.lines):
        try:
            with trio.move_on_after(20) as patience:
                await run.take(line)
            assert not patience.cancelled_caught, "nothing was said"
        except AssertionError as error:
            said = "\n".join(dialogue.lines[max(0, number - 8) : number + 1])
            raise AssertionError(f"{error}\nafter\n{said}") from error
    await run.end()
