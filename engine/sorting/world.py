"""What a script may ask about its account and its message: the mailboxes, what is remembered, what stages found out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from engine.directory import Unavailable, split
from engine.mailbox import Mailboxes, Quota
from engine.mailbox.names import AT_FIRST, INBOX_NAME, USES, canonical
from engine.mailbox.quotas import NO_QUOTA
from engine.mailbox.views import mailbox_id
from engine.message import Message, Recipient
from engine.sieve import Location, Script, ScriptError
from engine.sorting.library import Library
from engine.wording.letters import LanguageOf, english

MaySendAs: TypeAlias = "Callable[[str, str], bool]"
"""Whether the account of an address may send in the name of another one. It may block; Unavailable."""

SPAM, VIRUS = "spam.percent", "virus.level"
"""Facts that a stage may leave for `spamtest` and `virustest` (RFC 5235): 0 to 100, and 0 to 5."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose script it is: the account, its address, and the recipient that the sender wrote to."""

    account: int
    address: str
    recipient: Recipient
    quota: Quota = NO_QUOTA

    @property
    def envelope(self) -> str:
        """The address with its tag, where the sender gave one: what `envelope :detail` looks at (RFC 5233)."""
        given = self.recipient.original_address
        compared, own = split(given), split(self.address)
        if compared is None or own is None or compared[1] != own[1]:
            return self.address
        return given if compared[0].partition("+")[0] == own[0] else self.address


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A ``World`` over the store. What cannot be read there stops the run by an exception."""

    mailboxes: Mailboxes
    library: Library
    message: Message
    person: Person
    hostname: str
    time: float  # Unix time, seconds
    may_send_as: MaySendAs
    language: LanguageOf = english
    looked_up: dict[str, int] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        return self.message.sender

    @property
    def recipient(self) -> str:
        return self.person.envelope

    @property
    def addresses(self) -> Sequence[str]:
        return [one for one in (self.person.address, self.person.recipient.original_address) if one]

    def may_write_as(self, address: str) -> bool:
        """As for what the account submits: a script must not lend it another's name, nor that domain's signature."""
        try:
            return self.may_send_as(self.person.address, address)
        except Unavailable:
            return False

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time).astimezone()

    def folder_exists(self, name: str) -> bool:
        try:
            name = canonical(name)
        except ValueError:
            return False
        if name == INBOX_NAME:
            return True
        folder = self.mailboxes.folder(self.person.account, name)
        if folder is not None:
            return folder.exists and folder.number > 0
        return self._is_new and any(name == first for first, _ in AT_FIRST)

    def folder_id_exists(self, mailbox_id: str) -> bool:
        return self.number(mailbox_id) > 0

    def number(self, wanted: str) -> int:
        """The number of the mailbox that has this MAILBOXID; 0: none has."""
        account = self.person.account
        numbers = [folder.number for folder in self.mailboxes.folders(account) if folder.number]
        return next((number for number in numbers if mailbox_id(account, number) == wanted), 0)

    def has_special_use(self, use: str, folder: str | None) -> bool:
        found = {one.name: one.use for one in self.mailboxes.folders(self.person.account)}
        if self._is_new:
            found = {name: USES[number] for name, number in AT_FIRST}
        try:
            name = None if folder is None else canonical(folder)
        except ValueError:
            return False
        return any(one.lower() == use.lower() and name in (None, holder) for holder, one in found.items())

    def was_seen(self, key: str) -> bool:
        return self.times(key) > 0

    was_answered = was_seen

    def times(self, key: str) -> int:
        """How often it has happened, as far as that is remembered: the same as long as this message is looked at."""
        if key not in self.looked_up:
            self.looked_up[key] = self.mailboxes.times(self.person.account, key, int(self.time * 1000))
        return self.looked_up[key]

    def script(self, name: str, location: Location) -> Script | None:
        """None also for one that cannot be compiled: whoever includes it is told that it is not there."""
        try:
            return (
                self.library.shared(name) if location == "global" else self.library.personal(self.person.account, name)
            )
        except (ScriptError, OSError):
            return None

    def environment(self, item: str) -> str | None:
        session = self.message.session
        return {
            "name": "Postroad",
            "host": self.hostname,
            "domain": self.hostname.partition(".")[2],
            "location": "MDA",
            "phase": "during",
            "remote-ip": session.peer,
            "remote-host": session.helo,
        }.get(item)

    def spam_percent(self) -> float | None:
        found = self.message.fact(SPAM)
        return float(found) if isinstance(found, int | float) else None

    def virus_level(self) -> int:
        found = self.message.fact(VIRUS)
        return found if isinstance(found, int) and 0 <= found <= 5 else 0

    @property
    def _is_new(self) -> bool:
        """Whether the account has no mailboxes yet: they are made with its first message."""
        return self.mailboxes.folder(self.person.account, INBOX_NAME) is None
