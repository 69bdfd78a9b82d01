"""How much an account may have, and what it has been told about how much that is.

Whoever stores something says what the quota is. In the same change the account is put down to be told that it has
come over one of the shares of which it is to be told; once, until it sinks below that share and rises again. What is
brought back by undelete, which has no quota, is looked at with the next message.
"""

from typing import NamedTuple, Self

import msgpack

from engine.mailbox.layout import tell_key, told_key
from engine.message import MessageId
from engine.storage.batch import Batch, Database


class Quota(NamedTuple):
    """What one account may have; 0: as much as it likes."""

    octets: int = 0
    messages: int = 0
    closed: bool = False  # nothing is taken, whatever the account has: those of its domain have all that is for them
    warn: tuple[int, ...] = ()  # shares in per cent of which it is told
    address: str = ""  # of who is told

    def used_up(self, size: int, messages: int) -> bool:
        """Whether so much is all of it. Mail that comes to an account that is not quite full may go over it, once."""
        return self.closed or 0 < self.octets <= size or 0 < self.messages <= messages

    def exceeded(self, size: int, messages: int) -> bool:
        """Whether so much, with what a client wants to store, is more than all of it."""
        return self.closed or 0 < self.octets < size or 0 < self.messages < messages

    def share(self, size: int, messages: int) -> int:
        """How much of it that is, in per cent, rounded down."""
        return max(
            size * 100 // self.octets if self.octets else 0, messages * 100 // self.messages if self.messages else 0
        )

    def level(self, size: int, messages: int) -> int:
        """The highest of the shares in ``warn`` that so much reaches; 0: none."""
        share = self.share(size, messages)
        return max((one for one in self.warn if one <= share), default=0)


class TellRow(NamedTuple):
    """What an account is still to be told."""

    id: bytes  # of the message that tells it, so that it comes once
    above: int  # the share of which it had been told before
    level: int  # the share that it has come to
    size: int  # octets that it had then
    messages: int
    quota: Quota

    def octets(self) -> bytes:
        octets: bytes = msgpack.packb(self)
        return octets

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        *fields, quota = msgpack.unpackb(octets, use_list=False)
        return cls._make((*fields, Quota(*quota)))


def note(
    batch: Batch, database: Database, account: int, quota: Quota, *, before: tuple[int, int], now: tuple[int, int]
) -> bool:
    """Put the account down to be told if it needs to be, for the octets and messages it has now; whether it was."""
    level = quota.level(*now)
    if not level:
        return False
    said = batch.get(database, told_key(account)) or b"\0"
    told = min(said[0], quota.level(*before))  # it may have sunk since
    if level <= told:
        return False
    waiting = batch.get(database, tell_key(account))
    above = min(told, TellRow.parse(waiting).above) if waiting else told
    row = TellRow(bytes(MessageId.new()), above, level, *now, quota)
    batch.put(database, tell_key(account), row.octets())
    batch.put(database, told_key(account), bytes([level]))
    return True
