"""Changes of the header section that a scanner asks for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from engine.message import HEADER_LIMIT, Message
from engine.mime.folding import folded

MOST = 1000
"""Fields that one scanner may add and remove: each is a change of the whole header section."""

ALL = 0
"""In place of the number of a field: every field of that name."""

_NAME = re.compile(r"[!-9;-~]{1,100}")
"""That of a field; the longest one that is registered has 32 octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Fields to remove and to add, a subject to write anew, a sender to go on from. In this order they are made."""

    remove: Mapping[str, int] = field(default_factory=dict)  # name → which one: ALL, 1 the topmost, -1 the last, …
    add: tuple[tuple[str, str], ...] = ()  # (name, value): on top, the first one topmost, folded here
    subject: str | None = None
    sender: str | None = None

    def __post_init__(self) -> None:
        """ValueError for what is no name of a header field (RFC 5322 2.2), or more than a header section may hold."""
        size = sum(len(name) + len(value) for name, value in self.add)
        if len(self.remove) + len(self.add) > MOST or size > HEADER_LIMIT:
            raise ValueError(f"more than {MOST} header fields, or {HEADER_LIMIT} characters of them")
        for name in (*self.remove, *(name for name, _ in self.add)):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name[:120]!r} is no header field name")

    def applied(self, message: Message) -> Message:
        """The message with these changes."""
        for name, which in self.remove.items():
            message = message.without_fields(name, _chosen(message, name, which))
        for name, value in reversed(self.add):
            message = message.with_field(folded(name, value))
        if self.subject is not None:
            message = message.without_fields("Subject", _every).with_field(folded("Subject", self.subject))
        if self.sender is not None:
            message = message.with_sender(self.sender)
        return message


def _every(_: str) -> bool:
    return True


def _chosen(message: Message, name: str, which: int) -> Callable[[str], bool]:
    """What is true of the field number ``which``, asked of each of that name from the topmost on."""
    if which == ALL:
        return _every
    wanted = which if which > 0 else len(message.headers(name)) + 1 + which
    numbers = count(1)
    return lambda _: next(numbers) == wanted
