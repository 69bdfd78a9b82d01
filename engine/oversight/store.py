"""What oversight keeps: the audit log, grants and holds. What changes is changed in one transaction with its entry.

log    number u64     an Entry, as it is written
grant  number u64     a Grant
hold   account u64    a Held
wide   name           a Wide: a domain or a group of which all are held
under  account u64    an Under: held by these
known  name           what was last noted of something that others say, so that a change of it is noticed
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.oversight.entries import FIRST, Entry, digest, now, read, written
from engine.oversight.grants import LONGEST_REASON, Grant, Whose
from engine.storage.environment import StorageError, open_environment, reason
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
T = TypeVar("T")

FOLDER = "oversight"
"""In the data folder."""

MAP_SIZE = 2**36
"""Octets of address space: some hundred million entries."""

PAGE = 1000
"""Entries that are read in one transaction."""

_key = struct.Struct(">Q").pack


class Refusal(Exception):
    """It may not be done; the text says why."""


class NoSuchGrant(Refusal):
    """There is no grant of that number."""


class Wide(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of a domain, or those to which a group leads, are held: those too that come to it later, and those
    that leave it meanwhile.
    """

    name: str  # a domain as an A-label, or the address of a group as it compares
    reason: str
    by: str
    since: float  # Unix time in seconds

    @property
    def is_domain(self) -> bool:
        return "@" not in self.name


class Under(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is held by a wide hold, or several: until the last of them is lifted."""

    account: int
    address: str  # as it was when the first of them came to hold it
    names: tuple[str, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """An account of which nothing is removed."""

    account: int
    address: str  # as it was when the hold began
    reason: str
    by: str
    since: float  # Unix time in seconds


_encode = msgspec.msgpack.Encoder().encode
_grant = msgspec.msgpack.Decoder(Grant).decode
_held = msgspec.msgpack.Decoder(Held).decode
_wide = msgspec.msgpack.Decoder(Wide).decode
_under = msgspec.msgpack.Decoder(Under).decode


class Oversight(Store):
    """The open store. One object a process, shared by its threads. Every method may block; StorageError."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._log = environment.open_db(b"log")
        self._grants = environment.open_db(b"grant")
        self._holds = environment.open_db(b"hold")
        self._known = environment.open_db(b"known")
        self._wide = environment.open_db(b"wide")
        self._under = environment.open_db(b"under")
        self._clock = clock

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, what is in the data folder. StorageError."""
        environment = open_environment(data / FOLDER, map_size=MAP_SIZE, databases=6)
        try:
            return cls(environment, clock)
        except lmdb.Error as error:
            environment.close()
            raise StorageError(f"cannot open the store in {data / FOLDER}: {reason(error)}") from error

    # -- the log

    def write(self, what: str, by: str, about: Iterable[str] = (), peer: str = "", **details: Any) -> Entry:
        """Add an entry. When this returns it is on disk, synced: what it tells of may be done then."""
        return self._do(lambda txn: self._write(txn, what, by, about, peer=peer, details=details))

    def lines(self, after: int = 0) -> Iterator[bytes]:
        """The entries behind that number, as they are written; read bit by bit, so that nothing is held open."""
        while some := self._do(partial(self._page, after=after), write=False):
            for number, octets in some:
                yield octets
                after = number

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The same, read. ValueError where one is none any more."""
        return map(read, self.lines(after))

    def latest(self, count: int, before: int = 0) -> list[Entry]:
        """The last entries, or the last before that number, the newest first; without those that cannot be read."""
        found = []
        for octets in self._do(lambda txn: self._last(txn, count, before), write=False):
            try:
                found.append(read(octets))
            except ValueError:
                continue
        return found

    def tip(self) -> tuple[int, str]:
        """The number of the last entry and its hash: whoever writes them down elsewhere can tell if entries vanish."""
        return self._do(self._tip, write=False)

    def changed(self, name: str, value: Any, what: str, by: str, **details: Any) -> Entry | None:
        """Note, if ``value`` is another one than was noted last under that name, that it has changed: from, to."""

        def change(txn: Transaction) -> Entry | None:
            kept = txn.get(name.encode(), db=self._known)
            before = msgspec.json.decode(kept) if kept is not None else None
            octets = msgspec.json.encode(value)
            if kept == octets or (kept is None and not value):
                return None
            txn.put(name.encode(), octets, db=self._known)
            return self._write(txn, what, by, details={"from": before, "to": value, **details})

        return self._do(change)

    # -- holds

    def hold(self, held: Held, peer: str = "") -> Entry:
        """Hold an account. Refusal: it is held already."""

        def change(txn: Transaction) -> Entry:
            if txn.get(_key(held.account), db=self._holds) is not None:
                raise Refusal(f"{held.address} is held already")
            txn.put(_key(held.account), _encode(held), db=self._holds)
            details = {"account": held.account, "reason": held.reason}
            return self._write(txn, "hold-begun", held.by, (held.address,), peer=peer, details=details)

        return self._do(change)

    def lift(self, account: int, by: str, why: str, peer: str = "") -> tuple[Held, Entry]:
        """Hold it no longer; what the hold was. Refusal: there is none."""

        def change(txn: Transaction) -> tuple[Held, Entry]:
            octets = txn.get(_key(account), db=self._holds)
            if octets is None:
                raise Refusal("it is not held")
            held = _held(octets)
            txn.delete(_key(account), db=self._holds)
            details = {"account": account, "reason": why, "since": now(held.since)}
            return held, self._write(txn, "hold-lifted", by, (held.address,), peer=peer, details=details)

        return self._do(change)

    def holds(self) -> list[Held]:
        """All, by number of the account."""
        return self._do(lambda txn: [_held(value) for _, value in txn.cursor(self._holds)], write=False)

    def hold_wide(self, wide: Wide, whose: Iterable[Whose], peer: str = "") -> Entry:
        """Hold a domain or a group, and these who are of it now. Refusal: it is held already."""

        def change(txn: Transaction) -> Entry:
            if txn.get(wide.name.encode(), db=self._wide) is not None:
                raise Refusal(f"{wide.name} is held already")
            txn.put(wide.name.encode(), _encode(wide), db=self._wide)
            people = list(whose)
            for one in people:
                self._put_under(txn, one, wide.name)
            details = {"accounts": [one.account for one in people], "reason": wide.reason}
            return self._write(txn, "hold-begun", wide.by, (wide.name,), peer=peer, details=details)

        return self._do(change)

    def widen(self, name: str, whose: Whose) -> Entry | None:
        """Somebody has come to what is held by that name; None: it is known, or that hold is lifted."""

        def change(txn: Transaction) -> Entry | None:
            if txn.get(name.encode(), db=self._wide) is None or not self._put_under(txn, whose, name):
                return None
            return self._write(
                txn, "hold-widened", "postroad", (whose.address, name), details={"account": whose.account}
            )

        return self._do(change)

    def lift_wide(self, name: str, by: str, why: str, peer: str = "") -> tuple[Wide, list[int], Entry]:
        """Hold a domain or a group no longer: what the hold was, and the accounts that nothing holds now. Refusal."""

        def change(txn: Transaction) -> tuple[Wide, list[int], Entry]:
            octets = txn.get(name.encode(), db=self._wide)
            if octets is None:
                raise Refusal("it is not held")
            wide, free = _wide(octets), list[int]()
            txn.delete(name.encode(), db=self._wide)
            for one in [_under(value) for _, value in txn.cursor(self._under)]:
                if name in one.names and not self._take_under(txn, one, name):
                    free.append(one.account)
            details = {"reason": why, "since": now(wide.since), "freed": free}
            return wide, free, self._write(txn, "hold-lifted", by, (name,), peer=peer, details=details)

        return self._do(change)

    def wides(self) -> list[Wide]:
        """All holds of domains and groups, by name."""
        return self._do(lambda txn: [_wide(value) for _, value in txn.cursor(self._wide)], write=False)

    def unders(self) -> list[Under]:
        """All accounts that these hold, by number."""
        return self._do(lambda txn: [_under(value) for _, value in txn.cursor(self._under)], write=False)

    def held(self) -> dict[int, str]:
        """All accounts that are held, by whatever hold, with their addresses."""
        return {one.account: one.address for one in self.unders()} | {one.account: one.address for one in self.holds()}

    def _put_under(self, txn: Transaction, whose: Whose, name: str) -> bool:
        """Whether that is new."""
        octets = txn.get(_key(whose.account), db=self._under)
        known = _under(octets) if octets is not None else Under(account=whose.account, address=whose.address, names=())
        if name in known.names:
            return False
        put = msgspec.structs.replace(known, names=(*known.names, name))
        return txn.put(_key(whose.account), _encode(put), db=self._under)

    def _take_under(self, txn: Transaction, one: Under, name: str) -> bool:
        """Whether something holds the account still."""
        left = tuple(other for other in one.names if other != name)
        if left:
            txn.put(_key(one.account), _encode(msgspec.structs.replace(one, names=left)), db=self._under)
        else:
            txn.delete(_key(one.account), db=self._under)
        return bool(left) or txn.get(_key(one.account), db=self._holds) is not None

    # -- grants

    def ask(
        self, by: str, whose: Iterable[Whose], why: str, *, seconds: float, consent: bool, tell: bool, peer: str = ""
    ) -> tuple[Grant, Entry]:
        """Ask to look at people's mail; without ``consent`` it begins at once. Refusal."""
        people, why = tuple(whose), why.strip()
        if not people:
            raise Refusal("say whose mail it is about")
        if not why or len(why) > LONGEST_REASON:
            raise Refusal(f"write a reason, of {LONGEST_REASON} characters at most")

        def change(txn: Transaction) -> tuple[Grant, Entry]:
            at = self._clock()
            accounts, addresses = [one.account for one in people], [one.address for one in people]
            details = {"accounts": accounts, "reason": why, "seconds": seconds, "consent": consent}
            entry = self._write(txn, "grant-asked", by, addresses, peer=peer, details=details)
            begun = 0.0 if consent else at
            grant = Grant(
                number=entry.number, by=by, whose=people, reason=why, seconds=seconds, asked=at, needs_consent=consent,
                begun=begun, until=begun + seconds if begun else 0.0, tell=tell,
            )  # fmt: skip
            txn.put(_key(grant.number), _encode(grant), db=self._grants)
            return grant, entry

        return self._do(change)

    def consent(self, number: int, by: str, peer: str = "") -> tuple[Grant, Entry]:
        """Let a grant begin: somebody else than who has asked. Refusal."""
        return self._decide(number, by, "grant-consented", peer, lambda grant, at: msgspec.structs.replace(
            grant, consented_by=by, begun=at, until=at + grant.seconds,
        ))  # fmt: skip

    def refuse(self, number: int, by: str, peer: str = "") -> tuple[Grant, Entry]:
        """Let it never begin. Refusal."""
        return self._decide(
            number, by, "grant-refused", peer, lambda grant, _: msgspec.structs.replace(grant, refused_by=by)
        )

    def end(self, number: int, by: str, peer: str = "") -> tuple[Grant, Entry]:
        """Let it be over now. Refusal."""

        def change(txn: Transaction) -> tuple[Grant, Entry]:
            grant, at = self._found(txn, number), self._clock()
            if grant.state(at) != "open":
                raise Refusal(f"grant {number} is not open: it is {grant.state(at)}")
            return self._kept(txn, msgspec.structs.replace(grant, until=at), "grant-ended", by, peer)

        return self._do(change)

    def told(self, number: int) -> tuple[Grant, Entry]:
        """The people were told of it."""

        def change(txn: Transaction) -> tuple[Grant, Entry]:
            grant = msgspec.structs.replace(self._found(txn, number), told=self._clock())
            return self._kept(txn, grant, "people-told", "postroad", "")

        return self._do(change)

    def look(self, number: int, by: str, what: str, peer: str = "", **details: Any) -> tuple[Grant, Entry]:
        """Note that whoever a grant is for does something by it, now that it is open. Refusal, and then nothing is
        noted and nothing may be done.
        """

        def change(txn: Transaction) -> tuple[Grant, Entry]:
            grant = self._usable(txn, number, by)
            about = details.pop("about", grant.addresses)
            return grant, self._write(txn, what, by, about, peer=peer, details={"grant": number, **details})

        return self._do(change)

    def usable(self, number: int, by: str) -> Grant:
        """The grant, if it is for them and open now. Refusal."""
        return self._do(lambda txn: self._usable(txn, number, by), write=False)

    def grant(self, number: int) -> Grant:
        """NoSuchGrant."""
        return self._do(lambda txn: self._found(txn, number), write=False)

    def grants(self) -> list[Grant]:
        """All that there ever were, the newest first."""
        found = self._do(lambda txn: [_grant(value) for _, value in txn.cursor(self._grants)], write=False)
        return found[::-1]

    # -- within a transaction

    def _decide(
        self, number: int, by: str, what: str, peer: str, change: Callable[[Grant, float], Grant]
    ) -> tuple[Grant, Entry]:
        def decided(txn: Transaction) -> tuple[Grant, Entry]:
            grant, at = self._found(txn, number), self._clock()
            if grant.state(at) != "waiting":
                raise Refusal(f"grant {number} does not wait for anybody: it is {grant.state(at)}")
            if grant.by == by:
                raise Refusal("whoever asks for a grant cannot decide on it: that takes somebody else")
            return self._kept(txn, change(grant, at), what, by, peer)

        return self._do(decided)

    def _kept(self, txn: Transaction, grant: Grant, what: str, by: str, peer: str) -> tuple[Grant, Entry]:
        txn.put(_key(grant.number), _encode(grant), db=self._grants)
        details = {"grant": grant.number, "until": now(grant.until)} if grant.until else {"grant": grant.number}
        return grant, self._write(txn, what, by, grant.addresses, peer=peer, details=details)

    def _usable(self, txn: Transaction, number: int, by: str) -> Grant:
        grant, at = self._found(txn, number), self._clock()
        if grant.by != by:
            raise Refusal(f"grant {number} is not for {by}")
        if grant.state(at) != "open":
            raise Refusal(f"grant {number} is not open: it is {grant.state(at)}")
        return grant

    def _found(self, txn: Transaction, number: int) -> Grant:
        octets = txn.get(_key(number), db=self._grants) if 0 < number < 2**63 else None
        if octets is None:
            raise NoSuchGrant(f"there is no grant {number}")
        return _grant(octets)

    def _write(
        self,
        txn: Transaction,
        what: str,
        by: str,
        about: Iterable[str] = (),
        *,
        peer: str = "",
        details: Mapping[str, Any],
    ) -> Entry:
        number, before = self._tip(txn)
        entry = Entry(number + 1, now(self._clock()), what, by, peer, tuple(about), details, before)
        txn.put(_key(entry.number), written(entry), db=self._log, append=True)
        return entry

    def _tip(self, txn: Transaction) -> tuple[int, str]:
        cursor = txn.cursor(self._log)
        if not cursor.last():
            return 0, FIRST
        return int.from_bytes(cursor.key(), "big"), digest(bytes(cursor.value()))

    def _page(self, txn: Transaction, after: int) -> list[tuple[int, bytes]]:
        cursor = txn.cursor(self._log)
        if not cursor.set_range(_key(after + 1)):
            return []
        return [(int.from_bytes(key, "big"), bytes(value)) for key, value in islice(cursor, PAGE)]

    def _last(self, txn: Transaction, count: int, before: int) -> list[bytes]:
        cursor = txn.cursor(self._log)
        there = cursor.prev() if before and cursor.set_range(_key(before)) else cursor.last()
        return [bytes(value) for _, value in islice(cursor.iterprev(), count)] if there else []
