"""`[oversight]`, `[retention.NAME]`, `[journal.NAME]`: who sees people's mail, how long it stays, who has copies."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.config.document import Document
from engine.config.egress import named
from engine.config.names import a_label, check_address
from engine.units import Duration

EVERYONE = "*"

SHORTEST = 86400.0
"""Seconds that a rule keeps mail at least: who writes less means another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversight:
    """How auditors get at people's mail."""

    consent: bool = True  # whether a grant takes a second person
    longest: Duration = Duration("7d")  # that a grant may last
    notice: Literal["never", "begin", "end"] = "never"  # when the people are told that somebody may look, or could


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long mail is kept. Of all rules the first one that is about an account and a folder counts."""

    keep: Duration = Duration(0)  # 0: for ever
    who: tuple[str, ...] = (EVERYONE,)  # addresses and domains of accounts
    folders: tuple[str, ...] = (EVERYONE,)  # names, with wildcards, and special uses: "\\Trash"
    age: Literal["saved", "received"] = "saved"  # since it came into the folder, or since it was received

    def is_about(self, address: str) -> bool:
        """Whether it is about the account of that address, as it compares."""
        return _names(self.who, address)

    def is_in(self, folder: str, use: str) -> bool:
        """Whether it is about a folder of that name, which has that special use, if any."""
        return any(one == use if one.startswith("\\") else fnmatch.fnmatchcase(folder, one) for one in self.folders)


_INBOX = "INBOX"


def days_of(rules: Iterable[Retention], address: str) -> int:
    """For how many days the INBOX of an account keeps mail at least; 0: for ever."""
    rule = next((rule for rule in rules if rule.is_about(address) and rule.is_in(_INBOX, "")), None)
    return int(rule.keep // SHORTEST) if rule is not None else 0


def days_of_all(rules: Iterable[Retention]) -> tuple[int, bool]:
    """The same of whoever it may be, and whether it may differ: then it is the least that anybody has."""
    found: list[Retention] = []
    for rule in rules:
        if rule.is_in(_INBOX, ""):
            found.append(rule)
            if EVERYONE in rule.who:  # none of those behind it counts
                break
    days = [int(rule.keep // SHORTEST) for rule in found if rule.keep]
    return min(days, default=0), bool(days) and EVERYONE not in found[0].who


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Whose mail is copied, and to whom."""

    who: tuple[str, ...]  # addresses and domains of accounts
    to: str  # the address that gets the reports
    direction: Literal["both", "sent", "received"] = "both"
    errors: str = ""  # who hears of a report that cannot be delivered; empty: postmaster at the domain of ``to``

    def is_about(self, address: str) -> bool:
        """Whether it is about the account of that address, as it compares."""
        return _names(self.who, address)

    @property
    def sender(self) -> str:
        """The envelope sender of its reports."""
        return self.errors or f"postmaster@{self.to.rpartition('@')[2]}"


def _names(who: tuple[str, ...], address: str) -> bool:
    domain = address.rpartition("@")[2]
    return any(one in (EVERYONE, address, domain) for one in who)


def check_oversight(document: Document, settings: Oversight) -> None:
    if settings.longest <= 0:
        document.problem("oversight.longest", "must be more than 0")


def read_retention(document: Document) -> Mapping[str, Retention]:
    """By name, in the order of the file."""
    found: dict[str, Retention] = {}
    for name, rule in named(document, "retention", document.table("retention"), Retention):
        place = f"retention.{name}"
        who = _who(document, f"{place}.who", rule.who)
        if not rule.folders:
            document.problem(f"{place}.folders", 'names no folder; write "*" for all')
        if 0 < rule.keep < SHORTEST:
            document.problem(f"{place}.keep", "must be a day at least, or 0 for ever")
        found[name] = dataclasses.replace(rule, who=who)
    return found


def read_journals(document: Document) -> Mapping[str, Journal]:
    """By name, in the order of the file."""
    found: dict[str, Journal] = {}
    for name, written in named(document, "journal", document.table("journal"), Journal):
        journal = written
        place = f"journal.{name}"
        if {"who", "to"} <= document.table(name, document.table("journal"), place).keys():
            journal = dataclasses.replace(journal, who=_who(document, f"{place}.who", journal.who))
            check_address(document, f"{place}.to", journal.to)
            if journal.errors:
                check_address(document, f"{place}.errors", journal.errors)
        found[name] = journal
    return found


def _who(document: Document, key: str, who: tuple[str, ...]) -> tuple[str, ...]:
    """As addresses of accounts compare."""
    if not who:
        document.problem(key, 'names nobody; write addresses and domains, or "*"')
    return tuple([one if one == EVERYONE else _compared(document, key, one) for one in who])


def _compared(document: Document, key: str, name: str) -> str:
    local, at, domain = name.lower().removeprefix("@").rpartition("@")
    try:
        domain = a_label(domain)
    except ValueError as error:
        document.problem(key, str(error))
    if at:
        check_address(document, key, f"{local}@{domain}")
    return f"{local}{at}{domain}"
