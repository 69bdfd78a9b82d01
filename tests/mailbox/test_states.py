"""Blocks of flags: what is done to one is what would be done to a dictionary, and its octets say all of it."""

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailbox_samples import ANN, append

from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Begin, Copy, Expunge, Store
from engine.mailbox.flags import DELETED, FLAGGED, SEEN, Mode
from engine.mailbox.layout import INBOX, message_key, state_key
from engine.mailbox.restating import Restated
from engine.mailbox.rows import MessageRow, State
from engine.mailbox.states import Block, by_block, lows, uids_in

HIGHEST = 2**63
LOWS = st.integers(0, 255)
STATES = st.builds(State, st.sampled_from([0, SEEN, SEEN | DELETED, 31]), st.sampled_from([0, 1, 1 << 63]))
MODSEQS = st.integers(1, 300) | st.integers(1, 2**63 - 1)
ROWS = st.dictionaries(LOWS, st.tuples(STATES, MODSEQS), max_size=256)


def block_of(rows: dict[int, tuple[State, int]]) -> Block:
    """As it is made of records."""
    items = [
        (
            message_key(1, 1, low),
            MessageRow(bytes(24), state.flags, state.keywords, modseq, 1, 2, 3, b"Heading").octets(),
        )
        for low, (state, modseq) in sorted(rows.items())
    ]
    return Block.of(items)


def rows_of(block: Block) -> dict[int, tuple[State, int]]:
    found = {}
    for low in range(256):
        one = block.get(low)
        if one is not None:
            found[low] = State.parse(one[0]), one[1]
    return found


def agrees(block: Block, rows: dict[int, tuple[State, int]]) -> None:
    assert rows_of(block) == rows
    assert list(block.lows) == sorted(rows)
    for start, stop in ((0, len(rows)), (1, 5)):
        flags, keywords, modseqs = block.columns(start, stop)
        expected = [rows[low] for low in block.lows[start:stop]]
        assert list(zip(flags, keywords, modseqs, strict=True)) == [(*state, modseq) for state, modseq in expected]
    assert len(block.states) == len(set(block.states)) == len({state for state, _ in rows.values()})
    assert block.count(DELETED) == len(block.having(DELETED))
    assert block.having(SEEN) == bytes(low for low, (state, _) in sorted(rows.items()) if state.flags & SEEN)
    if rows:
        again = Block.parse(block.octets())
        assert rows_of(again) == rows
        assert again.octets() == block.octets()


@given(ROWS)
def test_a_block_says_what_the_records_said(rows: dict[int, tuple[State, int]]) -> None:
    agrees(block_of(rows), rows)


@pytest.mark.parametrize("count", [1, 255, 256])
@pytest.mark.parametrize(("alike", "octets"), [(True, 11 + 12), (False, 11 + 2 * 12 + 256 + 2 * 256)])
def test_what_is_the_same_in_all_rows_is_written_once(count: int, alike: bool, octets: int) -> None:
    rows = {low: (State(SEEN if alike or low % 2 else 0, 0), 7 if alike else 1000 * low + 1) for low in range(count)}
    size = len(block_of(rows).octets())
    agrees(block_of(rows), rows)
    if count == 256:
        assert size <= octets + (0 if alike else 2 * 256)
    else:
        assert size <= octets + 4 * count


@given(ROWS, ROWS)
def test_blocks_are_joined(rows: dict[int, tuple[State, int]], more: dict[int, tuple[State, int]]) -> None:
    more = {low: row for low, row in more.items() if low not in rows}
    block = block_of(rows)
    block.join(block_of(more))
    agrees(block, rows | more)


@given(ROWS, st.lists(LOWS, max_size=9))
def test_messages_go(rows: dict[int, tuple[State, int]], gone: list[int]) -> None:
    block = block_of(rows)
    assert block.drop(bytes(gone)) == any(low in rows for low in gone)
    agrees(block, {low: row for low, row in rows.items() if low not in gone})


@given(ROWS, st.sets(LOWS) | st.just(set(range(256))), st.sampled_from(list(Mode)), STATES)
def test_states_become_others(rows: dict[int, tuple[State, int]], chosen: set[int], mode: Mode, named: State) -> None:
    class Become(dict[bytes, bytes]):
        def __missing__(self, octets: bytes) -> bytes:
            state = State.parse(octets)
            return State(mode(state.flags, named.flags), mode(state.keywords, named.keywords)).octets()

    block = block_of(rows)
    there = block.rows(bytes(sorted(chosen)))
    changed = {block.lows[row] for row in block.turn(there, Become(), HIGHEST)}
    expected = {}
    for low in chosen & set(rows):
        state = State.parse(Become()[rows[low][0].octets()])
        if state != rows[low][0]:
            expected[low] = (state, HIGHEST)
    assert changed == set(expected)
    agrees(block, rows | expected)


@given(st.sets(st.integers(1, 2**32 - 1) | st.integers(1, 1000)))
def test_uids_are_parted_into_blocks(uids: set[int]) -> None:
    ordered = array("I", sorted(uids))
    found = array("I")
    for number, some in by_block(ordered):
        assert {uid >> 8 for uid in some} == {number}
        assert uids_in(number, lows(some)) == some
        found += some
    assert found == ordered


def test_nothing_that_was_changed_is_empty() -> None:
    assert Restated() == Restated(*(array("I") for _ in range(5)))
    assert not len(Block())


# In a store.


async def stored(owner: MailboxOwner, uids: range, mode: Mode, flags: int) -> None:
    await owner.change(Store(account=ANN, mailbox=INBOX, uids=tuple(uids), mode=mode, flags=flags))


def blocks(owner: MailboxOwner) -> dict[bytes, bytes]:
    with owner.reader.snapshot() as snapshot:
        return dict(snapshot.scan(owner.databases.state))


async def test_flags_are_in_blocks_as_long_as_their_messages_are_there(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await append(owner, *[b"%d" % number for number in range(600)])
    assert blocks(owner) == {}, "a message comes with its flags"
    await stored(owner, range(1, 601), Mode.ADD, FLAGGED)
    await stored(owner, range(250, 260), Mode.ADD, SEEN)
    found = blocks(owner)
    assert list(found) == [state_key(ANN, INBOX, number) for number in range(3)]
    assert sum(map(len, found.values())) < 1500
    (copied,) = (await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(255,), to=INBOX))).uids
    view = owner.reader.of(ANN, INBOX, [copied])
    assert list(view.flags) == [FLAGGED | SEEN]
    for gone in (range(200, 256), range(256, 300), range(1, 200), range(300, copied + 1)):
        await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=tuple(gone), deleted_only=False))
        assert owner.reader.verify() == []
    assert blocks(owner) == {}


async def test_verify_finds_flags_of_messages_that_are_not_there(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await owner.change(Begin(account=ANN))
        await append(owner, b"1", b"2")
        await stored(owner, range(1, 3), Mode.ADD, SEEN)
        (octets,) = blocks(owner).values()
        wrong, key = Block.parse(octets), state_key(ANN, INBOX, 0)
        wrong.join(block_of({9: (State(0, 0), 1)}))
        await owner.writer.apply(lambda batch: batch.put(owner.databases.state, key, wrong.octets()))
        assert owner.reader.verify() == [f"block {key.hex()} has flags of message 9, which is not there"]
        wrong.lows = wrong.lows[::-1]
        await owner.writer.apply(lambda batch: batch.put(owner.databases.state, key, wrong.octets()))
        assert f"block {key.hex()} of flags is malformed" in owner.reader.verify()
