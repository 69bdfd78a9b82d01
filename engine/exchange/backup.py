"""A backup as it is read: checked to its end first, then its records, then one content after the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from engine.exchange.backup_file import Damaged, read
from engine.mailbox.names import USES
from engine.mailbox.putback import FORMAT, SECTIONS, Row, content_of, granted, noted
from engine.mailbox.rights import MINUS, Grant
from engine.mailbox.rows import EntryRow, GrantRow, MailboxRow, MessageRow


@dataclass(slots=True)
class Saved:
    """One mailbox of a backup."""

    number: int
    status: MailboxRow
    use: str = ""
    keywords: tuple[str, ...] = ()
    grants: list[Grant] = field(default_factory=list)
    metadata: dict[str, bytes | None] = field(default_factory=dict)
    messages: dict[int, MessageRow] = field(default_factory=dict)  # by UID


@dataclass(slots=True)
class Backup:
    """What a backup says, but for contents. Its memory grows with the number of messages."""

    path: Path
    address: str = ""
    made: int = 0  # Unix seconds
    sections: frozenset[str] = frozenset()  # that it may have; none are said by an older Postroad
    rows: list[Row] = field(default_factory=list)
    gone: frozenset[bytes] = frozenset()  # contents that it lacks
    unknown: set[str] = field(default_factory=set)  # sections that only a newer Postroad knows

    @classmethod
    def opened(cls, path: Path) -> "Backup":
        """Read the file to its end. Damaged when it is not whole or not for us; OSError."""
        backup = cls(path)
        whole: set[bytes] = set()
        with path.open("rb") as file:
            for section, items in read(file):
                backup._take(section, items, whole)
        wanted = {content for row in backup.rows if (content := content_of(row))}
        backup.gone = frozenset(wanted - whole)
        return backup

    def _take(self, section: str, items: list[Any], whole: set[bytes]) -> None:
        match section:
            case "about":
                (about,) = items
                if about["format"] != FORMAT:
                    raise Damaged(f"its records have format {about['format']}; this Postroad knows format {FORMAT}")
                self.address, self.made = about["address"], about["made"]
                self.sections = frozenset(about.get("sections", ()))
            case "content":
                whole.update(key for key, _, more in items if not more)
            case "end":
                pass
            case _ if section in SECTIONS:
                self.rows += [(section, key, value) for key, value in items]
            case _:
                self.unknown.add(section)

    def there(self) -> Iterator[Row]:
        """The rows, but for those of messages whose content is lacking."""
        return (row for row in self.rows if content_of(row) not in self.gone)

    def holders(self) -> set[str]:
        """The addresses of accounts that were given rights."""
        grants = (granted(key, value)[1] for section, key, value in self.rows if section == "acl")
        return {grant.identifier.removeprefix(MINUS) for grant in grants if grant.who}

    def regrant(self, holders: Mapping[str, int]) -> None:
        """Let rights be those of the accounts that these addresses have now; what others were given is left out."""
        self.rows = [row for old in self.rows if (row := _regranted(old, holders)) is not None]

    def contents(self, wanted: set[bytes]) -> Iterator[tuple[bytes, Iterator[bytes]]]:
        """Those contents: key and pieces, to be read in turn."""
        for key, items in groupby(self._items(), itemgetter(0)):
            if key in wanted and key not in self.gone:
                yield key, (octets for _, octets, _ in items)

    def mailboxes(self) -> dict[str, Saved]:
        """Its mailboxes by their names, with the messages whose content is there."""
        by_number: dict[bytes, Saved] = {}
        uses: dict[str, str] = {}
        for section, key, value in self.there():
            match section:
                case "mailbox":
                    by_number[key] = Saved(int.from_bytes(key, "big"), MailboxRow.parse(value))
                case "entry":
                    uses[key.decode()] = USES[EntryRow.parse(value).use]
                case "keyword":
                    by_number[key[:4]].keywords += (value.decode(),)
                case "acl":
                    number, grant = granted(key, value)
                    by_number[number.to_bytes(4, "big")].grants.append(grant)
                case "metadata" if key[:4] in by_number:
                    _, entry, octets = noted(key, value)
                    by_number[key[:4]].metadata[entry] = octets
                case "message":
                    by_number[key[:4]].messages[int.from_bytes(key[4:], "big")] = MessageRow.parse(value)
        for one in by_number.values():
            one.use = uses.get(one.status.name, "")
        return {one.status.name: one for one in by_number.values()}

    def subscribed(self) -> set[str]:
        return {key.decode() for section, key, _ in self.rows if section == "subscribed"}

    def _items(self) -> Iterator[tuple[bytes, bytes, bool]]:
        with self.path.open("rb") as file:
            for section, items in read(file):
                if section == "content":
                    yield from items


def _regranted(row: Row, holders: Mapping[str, int]) -> Row | None:
    section, key, value = row
    if section != "acl":
        return row
    _, grant = granted(key, value)
    if not grant.who:  # a group, or anyone
        return row
    who = holders.get(grant.identifier.removeprefix(MINUS))
    return (section, key, GrantRow(who, grant.rights).octets()) if who else None
