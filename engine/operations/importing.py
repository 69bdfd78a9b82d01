"""Accounts from a CSV file: all of its mistakes are told together, and what was broken off is given again."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import msgspec

from engine.directory import UNSAID, Alias, Embedded, Group, Limit, split, valid_address, valid_domain
from engine.operations import accounts, aliases, quotas
from engine.operations.operator import Forbidden, Operator
from engine.operations.sheets import LineMistake, Row, rows
from engine.units import Size

COLUMNS = ("address", "password", "admin", "size", "messages", "send_as", "aliases", "groups")
"""What the first line of a file may name; ``address`` it must. The last three have addresses, with blanks between."""

UNLIMITED = "unlimited"

MOST = 200_000
"""Accounts of one file: to hash so many passwords takes hours."""

_YES = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file: an account, as it is to be. ``line``: its number."""

    line: int
    address: str
    password: str = ""
    admin: bool = False
    limit: Limit = UNSAID
    send_as: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts that were added (or would be), those that were there before, and those that are left to do."""

    added: int
    there: int
    left: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """What stands in a file."""

    entries: Sequence[Entry]
    mistakes: Sequence[LineMistake]


def parsed(lines: Iterable[str]) -> Sheet:
    """What stands in the lines of a CSV file (RFC 4180), whose first one names columns."""
    entries: list[Entry] = []
    mistakes: list[LineMistake] = []
    for row in rows(lines, COLUMNS, MOST, mistakes):
        _take(row, entries, mistakes)
    return Sheet(entries, mistakes)


class _Standing:
    """What stands for others, as it is before anything is done; unlike ``find`` it never makes a postmaster."""

    def __init__(self, directory: Embedded) -> None:
        found: list[Alias] = [*directory.aliases(), *directory.groups()]
        self.targets = {one.address: {*map(_plain, one.targets)} for one in found}
        self.groups = {one.address for one in found if isinstance(one, Group)}


def checked(directory: Embedded, by: Operator, sheet: Sheet) -> list[LineMistake]:
    """All that is wrong, in the order of lines: in the file itself, and with what the directory has."""
    mistakes, seen, standing = list(sheet.mistakes), dict[str, int](), _Standing(directory)
    for entry in sheet.entries:
        for address in (entry.address, *entry.aliases):
            if address in seen:
                mistakes.append(LineMistake(entry.line, f"{address} stands in line {seen[address]} already"))
            seen.setdefault(address, entry.line)
        mistakes += [LineMistake(entry.line, text) for text in _objections(directory, standing, by, entry)]
    return sorted(mistakes, key=lambda one: one.line)


def planned(directory: Embedded, sheet: Sheet) -> Imported:
    """What would be done."""
    there = sum(directory.account(entry.address) is not None for entry in sheet.entries)
    return Imported(added=len(sheet.entries) - there, there=there)


def take_in(
    directory: Embedded,
    by: Operator,
    sheet: Sheet,
    *,
    seconds: float = inf,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Imported:
    """Make it so, in the order of lines, and stop after so many seconds. Blocks.

    An account that is there keeps its password, its limits and all else that it has; only what is missing is added. So
    the same file may be given again, whenever it was broken off. ``sheet`` must have been ``checked``.
    """
    end, added, there, standing = time.monotonic() + seconds, 0, 0, _Standing(directory)
    for number, entry in enumerate(sheet.entries):
        if time.monotonic() >= end:
            return Imported(added=added, there=there, left=len(sheet.entries) - number)
        is_new = directory.account(entry.address) is None
        if is_new:
            accounts.add(directory, by, entry.address, entry.password or None, admin=entry.admin)
        _complete(directory, standing, by, entry)
        added, there = added + is_new, there + (not is_new)
        told(number + 1, len(sheet.entries))
    return Imported(added=added, there=there)


def _complete(directory: Embedded, standing: _Standing, by: Operator, entry: Entry) -> None:
    """Add what the account lacks."""
    account = accounts.known(directory, by, entry.address)
    if entry.admin and not account.admin:
        accounts.set_admin(directory, by, account.address, True)
    if entry.limit != UNSAID and account.limit == UNSAID:
        quotas.say(directory, by, account.address, entry.limit)
    if missing := [sender for sender in entry.send_as if sender not in account.send_as]:
        accounts.grant(directory, by, account.address, missing)
    for address in entry.aliases:
        if address not in standing.targets:
            aliases.add(directory, by, address, [account.address])
    for address in entry.groups:
        if account.address not in standing.targets[address]:
            aliases.change_group(directory, by, address, [account.address])


def _take(row: Row, entries: list[Entry], mistakes: list[LineMistake]) -> None:
    line, names, cells = row
    if len(cells) > len(names):
        mistakes.append(LineMistake(line, f"{len(cells)} fields, where the first line names {len(names)}"))
        return
    values = dict(zip(names, cells, strict=False))
    try:
        entries.append(_entry(line, values))
    except ValueError as error:
        mistakes.append(LineMistake(line, str(error)))


def _entry(line: int, values: dict[str, str]) -> Entry:
    """The account of a line. ValueError."""
    admin = values.get("admin", "").strip().lower()
    if admin not in _YES:
        raise ValueError(f'admin: {admin!r} is neither "yes" nor "no"')
    return Entry(
        line=line,
        address=_address(values.get("address", "").strip()),
        password=values.get("password", ""),
        admin=_YES[admin],
        limit=Limit(_most("size", values), _most("messages", values)),
        send_as=_several(values, "send_as", _sender),
        aliases=_several(values, "aliases", _address),
        groups=_several(values, "groups", _address),
    )


def _most(name: str, values: dict[str, str]) -> int | None:
    text = values.get(name, "").strip()
    try:
        return None if not text else 0 if text == UNLIMITED else int(Size(text))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _several(values: dict[str, str], name: str, read: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(read, values.get(name, "").split())))


def _address(text: str) -> str:
    """An address as it compares. Invalid."""
    return _plain(valid_address(text))


def _sender(text: str) -> str:
    return f"@{valid_domain(text[1:])}" if text.startswith("@") else _address(text)


def _plain(address: str) -> str:
    name = split(address)
    return "@".join(name) if name else address


def _objections(directory: Embedded, standing: _Standing, by: Operator, entry: Entry) -> Iterator[str]:
    """What the directory has against a line."""
    try:
        by.check(entry.address, *entry.aliases, *entry.groups, *entry.send_as)
    except Forbidden as error:
        yield str(error)
        return
    for address in (entry.address, *entry.aliases):
        domain = address.rpartition("@")[2]
        if not directory.is_local(domain):
            yield f"{domain} is no local domain"
    if (account := directory.account(entry.address)) is not None and not by.over(account):
        yield f"{entry.address} has a role ({', '.join(account.roles)}), and {by.name} may change no such account"
    if entry.address in standing.targets:
        yield f"there is an alias or a group {entry.address} already"
    for address in entry.aliases:
        is_ours = standing.targets.get(address, {entry.address}) == {entry.address} and address not in standing.groups
        if directory.account(address) is not None or not is_ours:
            yield f"{address} is there already, and does not stand for {entry.address} alone"
    for address in entry.groups:
        if address not in standing.groups:
            yield f"there is no group {address}"
