"""What of a client's set of UIDs is in a mailbox and in its history: right, and in no more steps than both are long."""

from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.imap.ranges import missing, overlap
from engine.protocols.imap.sets import STAR, SequenceSet

UID = st.integers(1, 60)
SETS = st.lists(st.tuples(UID | st.just(STAR), UID), min_size=1, max_size=4).map(
    lambda ranges: SequenceSet(tuple(ranges))
)


def ranges_of(uids: set[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if found and found[-1][1] == uid - 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


@given(st.sets(UID), st.lists(st.tuples(UID, UID), max_size=8), UID)
def test_the_overlap_is_what_both_have(gone: set[int], wanted: list[tuple[int, int]], largest: int) -> None:
    among = SequenceSet(tuple(wanted))
    named = {uid for low, high in among.spans(largest) for uid in range(low, high + 1)}
    found = [uid for low, high in overlap(ranges_of(gone), among, largest).ranges for uid in range(low, high + 1)]
    assert found == sorted(gone & named)


class Compared(int):
    """A number that counts how often it is compared."""

    times: ClassVar[int] = 0

    def __lt__(self, other: int) -> bool:
        Compared.times += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        Compared.times += 1
        return int(self) > int(other)


def test_long_sets_on_both_sides_are_not_compared_each_with_each() -> None:
    """A client may name some ten thousand spans in one command; a quadratic walk would hold up all other clients."""
    wanted = SequenceSet(tuple((uid, uid) for uid in range(1, 20_000, 4)))
    gone = [(Compared(uid), Compared(uid)) for uid in range(2, 20_000, 4)]
    Compared.times = 0
    assert overlap(gone, wanted, 20_000).ranges == ()
    assert Compared.times < 30 * len(gone)


@given(st.sets(UID), SETS, UID, st.integers(0, 60))
def test_what_no_message_has(uids: set[int], among: SequenceSet, largest: int, start: int) -> None:
    uids = {uid for uid in uids if uid <= largest}
    expected = {number for number in among.numbers(largest) if start < number <= largest} - uids
    assert set(missing(sorted(uids), among, largest, start).numbers(largest)) == expected
