r"""The states of the messages of one mailbox as a change works on them: read once, changed in memory, then written."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.mailbox.flags import DELETED, SEEN
from engine.mailbox.layout import Databases, message_key, state_key
from engine.mailbox.records import stored
from engine.mailbox.rows import State
from engine.mailbox.snapshot import Snapshot
from engine.mailbox.states import SPAN, Block, Items, by_block, lows, uids_in
from engine.storage.batch import Batch

FEW = 8
"""Messages that are looked up one by one: a scan would first write all that has gathered in the batch."""


def _none() -> "array[int]":
    return array("I")


@dataclass(slots=True)
class Restated:
    """What became of messages: their UIDs, which ascend."""

    changed: "array[int]" = field(default_factory=_none)
    failed: "array[int]" = field(default_factory=_none)  # they were changed before, and are left as they are
    unknown: "array[int]" = field(default_factory=_none)  # those of ``changed`` of which somebody had not known
    marked: "array[int]" = field(default_factory=_none)  # they have \Deleted now
    unmarked: "array[int]" = field(default_factory=_none)  # they have it no longer
    seen: int = 0  # by how many more have \Seen than before

    def mark(self, block: int, before: bytes, after: bytes) -> None:
        r"""Of messages of a block, these had \Deleted before, and those have it now."""
        self.marked += uids_in(block, after.translate(None, before))
        self.unmarked += uids_in(block, before.translate(None, after))


class _Becoming(dict[bytes, bytes]):
    """What becomes of each state, as it is stored: many messages have few."""

    def __init__(self, become: Callable[[State], State]) -> None:
        super().__init__()
        self._become = become

    def __missing__(self, octets: bytes) -> bytes:
        state = self[octets] = self._become(State.parse(octets)).octets()
        return state


class OpenStates:
    """Those of one mailbox. ``save`` writes what was changed."""

    __slots__ = ("_account", "_batch", "_blocks", "_databases", "_gone", "_mailbox", "_touched")

    def __init__(self, batch: Batch, databases: Databases, account: int, mailbox: int) -> None:
        self._batch, self._databases = batch, databases
        self._account, self._mailbox = account, mailbox
        self._blocks: dict[int, Block] = {}
        self._touched: set[int] = set()
        self._gone: dict[int, bytearray] = {}  # the last octets of UIDs, by block

    def get(self, uid: int) -> tuple[bytes, int] | None:
        """The state and the MODSEQ of a message; None: it has those with which it came."""
        return self._block(uid // SPAN).get(uid % SPAN)

    def drop(self, uid: int) -> None:
        """The message goes. Those that have gone are taken out of their blocks together."""
        self._gone.setdefault(uid // SPAN, bytearray()).append(uid % SPAN)

    def restate(
        self,
        uids: "array[int]",
        become: Callable[[State], State],
        modseq: int,
        *,
        unchanged_since: int | None,
        known: int | None,
    ) -> Restated:
        """Let the states of messages become others; not of those that have changed since a MODSEQ.

        UIDs ascend; those that are not there are passed over. ``known``: the MODSEQ up to which somebody knows them.
        """
        self._let_go()
        found, becoming = Restated(), _Becoming(become)
        for number, some in by_block(uids):
            block = self._complete(number, lows(some))
            rows = block.rows(lows(some))
            before = block.modseqs if unchanged_since is not None or known is not None else ()
            if unchanged_since is not None:
                rows, failed = _parted(rows, before, unchanged_since)
                found.failed += block.uids(number, failed)
            seen, deleted = block.count(SEEN), block.having(DELETED)
            changed = block.turn(rows, becoming, modseq)
            if not changed:
                continue
            self._touched.add(number)
            found.changed += some if len(changed) == len(some) else block.uids(number, changed)
            if known is not None:
                found.unknown += block.uids(number, _parted(changed, before, known)[1])
            found.seen += block.count(SEEN) - seen
            found.mark(number, deleted, block.having(DELETED))
        return found

    def save(self) -> None:
        self._let_go()
        for number in self._touched:
            key, block = state_key(self._account, self._mailbox, number), self._blocks[number]
            if len(block):
                self._batch.put(self._databases.state, key, block.octets())
            else:
                self._batch.delete(self._databases.state, key)
        self._touched.clear()

    def stored(self, uids: Sequence[int]) -> Items:
        """The records of those of the messages that are there, with the states in which they came. UIDs ascend."""
        if len(uids) > FEW:
            return stored(Snapshot(self._batch.transaction), self._databases, self._account, self._mailbox, uids)
        keys = [message_key(self._account, self._mailbox, uid) for uid in uids]
        found = ((key, self._batch.get(self._databases.message, key)) for key in keys)
        return [(key, octets) for key, octets in found if octets is not None]

    def _let_go(self) -> None:
        for number, gone in self._gone.items():
            if self._block(number).drop(bytes(gone)):
                self._touched.add(number)
        self._gone.clear()

    def _block(self, number: int) -> Block:
        block = self._blocks.get(number)
        if block is None:
            octets = self._batch.get(self._databases.state, state_key(self._account, self._mailbox, number))
            block = self._blocks[number] = Block.parse(octets) if octets is not None else Block()
        return block

    def _complete(self, number: int, wanted: bytes) -> Block:
        """A block that has all of these messages that are there."""
        block = self._block(number)
        lacking = wanted.translate(None, block.lows)
        if lacking:
            block.join(Block.of(self.stored(uids_in(number, lacking))))
        return block


def _parted(rows: Sequence[int], modseqs: Sequence[int], since: int) -> tuple[Sequence[int], Sequence[int]]:
    """Those that have not changed since that MODSEQ, and those that have."""
    if max(modseqs, default=0) <= since:
        return rows, ()
    return [row for row in rows if modseqs[row] <= since], [row for row in rows if modseqs[row] > since]
