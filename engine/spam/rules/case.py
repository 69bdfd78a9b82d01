"""What rules look at: a message as it is read, how it came, and what stages before have found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

from engine.message import Fact, Session
from engine.mime.addresses import addresses
from engine.mime.fields import text
from engine.spam.letter import Letter
from engine.spam.urls import site_of


@dataclass(frozen=True)
class Case:
    """One message. Of one that is no longer under way the session is empty, and nothing is known of its arrival."""

    letter: Letter
    session: Session = Session()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    arrived: float = 0.0  # Unix time in seconds; 0: unknown

    @property
    def is_from_outside(self) -> bool:
        """Whether nobody of ours sent it: what our people's programs leave out is not held against them."""
        return not (self.session.login or self.session.trusted)

    @cached_property
    def author(self) -> "Mailbox":
        return self._mailbox(b"from")

    @cached_property
    def reply_to(self) -> "Mailbox":
        return self._mailbox(b"reply-to")

    @cached_property
    def subject(self) -> str:
        return self.letter.first(b"subject")

    @cached_property
    def sites(self) -> frozenset[str]:
        """The registered domains that links lead to."""
        return frozenset(url.site for url in self.letter.urls if not url.is_address)

    def _mailbox(self, name: bytes) -> "Mailbox":
        value = next((value for key, value in self.letter.fields if key.lower() == name), b"")
        for found in addresses(value):
            if found.host:
                host = text(found.host).lower()
                return Mailbox(text(found.name or b""), f"{text(found.mailbox or b'')}@{host}", site_of(host))
        return NOBODY


class Mailbox(NamedTuple):
    """The first address of a field; empty where there is none. ``site``: the registered domain."""

    name: str
    address: str
    site: str


NOBODY = Mailbox("", "", "")

Test: TypeAlias = Callable[[Case], bool]


class Rule(NamedTuple):
    """A symbol, what it adds to the score, and whether it is true of a message."""

    symbol: str
    weight: float
    test: Test
