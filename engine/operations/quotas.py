"""What operators say of how much mailboxes may hold, and how much they do."""

from collections.abc import Iterator

import msgspec

from engine.config import Quota as Settings
from engine.directory import UNSAID, Account, Allowed, Directory, Embedded, Limit, NotFound
from engine.directory.errors import Invalid
from engine.mailbox import Quota, Quotas, Usage
from engine.operations.accounts import check_over
from engine.operations.operator import Operator
from engine.operations.reading import Reading


class QuotaRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds and may hold; a limit of 0: as much as it likes. ``share``: per cent, None without one."""

    address: str
    octets: int
    messages: int
    limit_octets: int
    limit_messages: int
    share: int | None


class QuotaPart(msgspec.Struct, frozen=True, kw_only=True):
    """One limit: of ``what`` ("size" in octets, or "messages"), for one account, "each" or "all" of several, and who
    says so. ``used`` is None where that is not of one mailbox. A limit of 0: as much as it likes.
    """

    what: str
    of: str
    used: int | None
    limit: int
    by: str


def say(directory: Embedded, by: Operator, name: str, each: Limit = UNSAID, total: Limit = UNSAID) -> None:
    """Say how much the account, each member of the group, or each account of the domain of this name may hold, and of a
    domain how much all together. What is None stays as it is. Invalid, NotFound.
    """
    _check_change(directory, by, name)
    if (each, total) == (UNSAID, UNSAID):
        raise Invalid("say how much")
    if total != UNSAID and "@" in name:
        raise Invalid(f"{name} is no domain: only a domain has a total")
    before, total_before = _said(directory, name)
    if each != UNSAID:
        directory.limit(name, _merged(before, each))
    if total != UNSAID:
        directory.limit_total(name, _merged(total_before, total))
    by.tell(
        "quota-set", name=name, octets=each.octets, messages=each.messages, total_octets=total.octets,
        total_messages=total.messages,
    )  # fmt: skip


def put(directory: Embedded, by: Operator, name: str, each: Limit, total: Limit | None = None) -> None:
    """Say it anew, as ``say`` does: what is None was said no longer. ``total`` None: that of a domain stays.
    NotFound.
    """
    _check_change(directory, by, name)
    directory.limit(name, each)
    if total is not None:
        directory.limit_total(name, total)
    if each == UNSAID and total in (None, UNSAID):
        by.tell("quota-unset", name=name)
        return
    octets, messages = total or UNSAID
    by.tell(
        "quota-set", name=name, octets=each.octets, messages=each.messages, total_octets=octets,
        total_messages=messages,
    )  # fmt: skip


def unset(directory: Embedded, by: Operator, name: str) -> None:
    """Take back what was said of this very name. NotFound."""
    _check_change(directory, by, name)
    directory.limit(name, UNSAID)
    if "@" not in name:
        directory.limit_total(name, UNSAID)
    by.tell("quota-unset", name=name)


def _check_change(directory: Embedded, by: Operator, name: str) -> None:
    """Forbidden where it is no domain of theirs, nor an account that they may change."""
    by.check(name)
    if "@" in name and (account := directory.account(name)) is not None:
        check_over(by, account)


def shown(directory: Directory, read: Reading, settings: Settings, by: Operator, name: str) -> list[QuotaPart]:
    """What an account holds, what it may hold, and who says so; or what was said of a group or a domain. NotFound."""
    by.check(name)
    account = directory.account(name) if "@" in name else None
    if account is not None:
        with read() as mailboxes:
            usage = mailboxes.usage(account.id)
        return _of_account(usage, Quotas(directory, settings=settings).allowed(account))
    if not isinstance(directory, Embedded):
        raise NotFound(f"there is no account {name}")
    return list(_set(directory, read, name))


def listed(
    directory: Embedded, read: Reading, settings: Settings, by: Operator, over: int | None = None
) -> list[QuotaRow]:
    """What all accounts hold, or those that are so many per cent full or fuller, the fullest first."""
    quotas = Quotas(directory, settings=settings)
    with read() as mailboxes:
        rows = [
            _row(one, mailboxes.usage(one.id), quotas.allowed(one))
            for one in directory.accounts()
            if by.may(one.address)
        ]
    if over is not None:
        rows = [row for row in rows if row.share is not None and row.share >= over]
    return sorted(rows, key=lambda row: (-(row.share or 0), -row.octets, row.address))


def _row(account: Account, usage: Usage, most: Allowed) -> QuotaRow:
    share = Quota(most.octets, most.messages).share(usage.size, usage.messages)
    return QuotaRow(
        address=account.address,
        octets=usage.size,
        messages=usage.messages,
        limit_octets=int(most.octets),  # pipeline.toml has it as a Size
        limit_messages=most.messages,
        share=share if most.octets or most.messages else None,
    )


def _of_account(usage: Usage, most: Allowed) -> list[QuotaPart]:
    return [
        QuotaPart(what="size", of="", used=usage.size, limit=int(most.octets), by=most.octets_by),
        QuotaPart(what="messages", of="", used=usage.messages, limit=most.messages, by=most.messages_by),
    ]


def _set(directory: Embedded, read: Reading, name: str) -> Iterator[QuotaPart]:
    """What was said of a group or a domain; of a domain that has a total, what there is of it."""
    each, total = _said(directory, name)
    if (each, total) == (UNSAID, UNSAID):
        raise NotFound(f"there is no account {name}, and no quota was set for a group or domain of this name")
    for what, limit in zip(("size", "messages"), each, strict=True):
        if limit is not None:
            yield QuotaPart(what=what, of="each", used=None, limit=limit, by=name)
    if total == UNSAID:
        return
    with read() as mailboxes:
        usages = mailboxes.usages(directory.numbers(name))
    used = {"size": sum(one.size for one in usages), "messages": sum(one.messages for one in usages)}
    for what, limit in zip(("size", "messages"), total, strict=True):
        if limit is not None:
            yield QuotaPart(what=what, of="all", used=used[what], limit=limit, by=name)


def _said(directory: Embedded, name: str) -> tuple[Limit, Limit]:
    """What was set for this very name so far, for each and for all together."""
    if "@" in name:
        account = directory.account(name)
        return (account.limit if account else directory.group_limit(name)), UNSAID
    found = directory.domain_limits(name)
    return found.each, found.total


def _merged(before: Limit, given: Limit) -> Limit:
    return Limit(*(old if new is None else new for old, new in zip(before, given, strict=True)))
