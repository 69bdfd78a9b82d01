"""The lists on disk: of the server, of each domain, of each account; changed by commands, read by all processes.

One database: key scope NUL entry, value "allow" or "block". The scope of the server is empty, that of a domain
"@example.org", that of an account its address. Every look is one short transaction of LMDB; what it makes of it is kept
until any process changes anything.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, Self, TypeAlias, TypeVar, cast

import lmdb

from engine.directory import Memory, Unavailable, split, valid_address, valid_domain
from engine.directory.errors import Invalid
from engine.lists.entries import Entry, Level, Sender, Word
from engine.storage.environment import StorageError, open_environment, reason, translated
from engine.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MAP_SIZE = 2**30
"""Octets that the lists may take on disk: some millions of entries."""

FOLDER = "lists"
"""In the data folder."""

SERVER = ""
"""The scope of the list that counts for all."""

_LONGEST = 500  # octets of a key; LMDB takes 511


class Listed(NamedTuple):
    """What a list says of a message to somebody, and whose list it is."""

    entry: Entry
    scope: str

    @property
    def allowed(self) -> bool:
        return self.entry.word == "allow"

    @property
    def by_user(self) -> bool:
        """Whether one person says so, and not a domain or the server."""
        return not self.scope.startswith("@") and bool(self.scope)


class Row(NamedTuple):
    """An entry with the scope that it stands in."""

    scope: str
    entry: Entry


def scope_of(*, address: str = "", domain: str = "") -> str:
    """The scope of an account or a domain, as it is stored; of the server without both. Invalid."""
    if address:
        name = split(valid_address(address))
        if name is None:
            raise Invalid(f"{address!r} is no address")
        return "@".join(name)
    return f"@{valid_domain(domain)}" if domain else SERVER


class Lists(Store):
    """The open lists. One object a process, shared by its threads. Every method may raise Unavailable."""

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._levels: Memory[str, Level] = Memory()
        self._entries = environment.open_db(b"entries")

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open, and make if need be, the lists in the data folder."""
        path = data / FOLDER
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=1))
        except StorageError as error:
            raise Unavailable(str(error)) from error
        except lmdb.Error as error:
            raise Unavailable(f"cannot read the lists in {path}: {reason(error)}") from error

    def says(self, sender: Sender, recipient: str) -> Listed | None:
        """What counts for a message from ``sender`` to the account ``recipient``: its own list, else that of its
        domain, else the server's.
        """
        name = split(recipient)
        scopes = ("@".join(name), f"@{name[1]}", SERVER) if name else (SERVER,)
        for scope, level in self._read(self._of, scopes):
            if level.entries and (met := level.meets(sender)):
                return Listed(met, scope)
        return None

    def rows(self, scope: str | None = None) -> list[Row]:
        """All entries, or those of one scope, in order."""
        return self._read(lambda txn: list(self._rows(txn, scope)))

    def put(self, rows: Iterable[Row]) -> None:
        """Add entries, in one change; one that stands in its scope already has the new word then."""
        self._write(self._put, list(rows))

    def remove(self, scope: str, texts: Iterable[str]) -> list[str]:
        """Take entries away; those that are not there."""
        return self._write(self._remove, scope, list(texts))

    def forget(self, scope: str) -> int:
        """Take all entries of an account or a domain away, and how many those were."""
        return self._write(lambda txn: len(self._remove_all(txn, scope)))

    # Transactions

    def _read(self, look: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._environment.begin() as txn:
                return look(txn, *args, **kwargs)
        except lmdb.Error as error:
            raise Unavailable(f"cannot read the lists: {reason(error)}") from error

    def _write(self, change: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._environment.begin(write=True) as txn:
                return change(txn, *args, **kwargs)
        except lmdb.Error as error:
            raise Unavailable(f"cannot change the lists: {translated(error)}") from error

    def _of(self, txn: Transaction, scopes: Iterable[str]) -> list[tuple[str, Level]]:
        return [(scope, self._level(txn, scope)) for scope in scopes]

    def _level(self, txn: Transaction, scope: str) -> Level:
        found = self._levels.get(txn.id(), scope)
        if found is None:
            found = Level({row.entry.text: row.entry.word for row in self._rows(txn, scope)})
            self._levels.put(txn.id(), scope, found)
        return found

    def _rows(self, txn: Transaction, scope: str | None) -> Iterator[Row]:
        prefix = b"" if scope is None else _key(scope, "")
        cursor = txn.cursor(self._entries)
        if len(prefix) <= _LONGEST and cursor.set_range(prefix):
            for key, value in cursor:
                if not key.startswith(prefix):
                    return
                found, _, text = key.decode().partition("\0")
                yield Row(found, Entry(cast("Word", value.decode()), text))

    def _put(self, txn: Transaction, rows: list[Row]) -> None:
        for scope, entry in rows:
            key = _key(scope, entry.text)
            if len(key) > _LONGEST:
                raise Invalid(f"{entry.text!r} in the list of {scope!r} is too long")
            txn.put(key, entry.word.encode(), db=self._entries)

    def _remove(self, txn: Transaction, scope: str, texts: list[str]) -> list[str]:
        return [text for text in texts if not txn.delete(_key(scope, text), db=self._entries)]

    def _remove_all(self, txn: Transaction, scope: str) -> list[Row]:
        rows = list(self._rows(txn, scope))
        self._remove(txn, scope, [row.entry.text for row in rows])
        return rows


def _key(scope: str, text: str) -> bytes:
    return f"{scope}\0{text}".encode("utf-8", "surrogatepass")
