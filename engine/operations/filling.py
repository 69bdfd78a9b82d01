"""Who will have a full mailbox, and when, if it goes on as in the last weeks."""

import time

import msgspec

from engine.config import Quota as Settings
from engine.directory import Embedded
from engine.growth import Growth, estimate
from engine.mailbox import Quotas
from engine.operations.operator import Operator
from engine.operations.reading import Reading

DAY = 86_400
"""Seconds."""

SOON = 30.0
"""Days."""


class FillingRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account that will be full in so many ``days``, by a straight line through the ``rests_on`` days before."""

    address: str
    days: float
    rests_on: int


def today() -> int:
    return int(time.time()) // DAY


def note(directory: Embedded, read: Reading, growth: Growth) -> bool:
    """Write down what all accounts hold, once a day; whether it was done now. StorageError, Unavailable."""
    day = today()
    if growth.noted >= day:
        return False
    numbers = [one.id for one in directory.accounts()]
    with read() as mailboxes:
        held = [(one.size, one.messages) for one in mailboxes.usages(numbers)]
    growth.note(day, dict(zip(numbers, held, strict=True)))
    return True


def soon(
    directory: Embedded, growth: Growth, settings: Settings, by: Operator, within: float = SOON
) -> list[FillingRow]:
    """Accounts that will be full within so many days, the first of them first. StorageError."""
    quotas = Quotas(directory, settings=settings)
    accounts = [one for one in directory.accounts() if by.may(one.address)]
    found = []
    for account, days in zip(accounts, growth.of(one.id for one in accounts), strict=True):
        most = quotas.allowed(account)
        told = estimate(days, int(most.octets), most.messages)
        if told is not None and told.days <= within:
            found.append(FillingRow(address=account.address, days=told.days, rests_on=told.rests_on))
    return sorted(found, key=lambda row: (row.days, row.address))
