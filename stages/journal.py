"""Journal: whose mail is copied, and to whom, as the tables `[journal.NAME]` say. A pure stage, before `queue`."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from engine import Defer, Message, Verdict
from engine.directory import Account, Alias, Directory, Unavailable, asked, split
from engine.message import JOURNAL
from engine.oversight.journaling import Journals

DEPTH = 10
"""Aliases that may follow each other on the way to a person, as `route` has it."""


class Journal:
    """Leaves the fact ``journal.to`` on mail that accounts named in a rule send or receive: at `queue` a report of it
    is stored, and only then the mail itself.

    Who sends is who has logged in, and the sender of a trusted client if that has an account here. Who receives is
    looked up through aliases and groups, each of which can be named as well.
    """

    early: ClassVar = True
    leaves: ClassVar = ("journal.to",)
    acts_on: ClassVar[tuple[str, ...]] = ("journal",)

    def __init__(self, directory: Directory, journals: Journals) -> None:
        self._directory = directory
        self._journals = journals

    async def __call__(self, message: Message) -> Verdict:
        if not self._journals.any:
            return message
        try:
            senders, recipients = await asked(self._directory, self._parties, message)
        except Unavailable as error:
            return Defer("Local trouble, please try again later", code="4.3.0", log=str(error))
        found = self._journals.of(senders, recipients)
        return message.with_fact(JOURNAL, found) if found else message

    def _parties(self, message: Message) -> tuple[set[str], set[str]]:
        return set(self._senders(message)), set(self._reached(message.recipients))

    def _senders(self, message: Message) -> Iterator[str]:
        session = message.session
        for address in (session.login, message.sender if session.trusted or session.login else ""):
            if name := self._local(address):
                yield name

    def _reached(self, recipients: Iterable[str]) -> Iterator[str]:
        """The recipients here, and those they stand for in the end, with all names on the way."""
        seen: set[str] = set()
        layer = [name for address in recipients if (name := self._local(address))]
        for _ in range(DEPTH):
            deeper: list[str] = []
            for name in layer:
                if name in seen:
                    continue
                seen.add(name)
                yield name
                found = self._directory.find(name)
                if isinstance(found, Account):
                    yield found.address
                elif isinstance(found, Alias):
                    yield found.address
                    deeper += [inner for target in found.targets if (inner := self._local(target))]
            layer = deeper

    def _local(self, address: str) -> str:
        """An address as it compares, if it is one of ours; else empty."""
        name = split(address) if address else None
        return "@".join(name) if name is not None and self._directory.is_local(name[1]) else ""
