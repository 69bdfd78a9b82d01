"""What of a set of UIDs has vanished, beside the arithmetic of Python's own sets."""

from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.imap.ranges import missing, overlap
from engine.protocols.imap.sets import STAR, SequenceSet

NUMBERS = st.integers(1, 30)
SPANS = st.lists(st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple), max_size=5)
SETS = st.lists(st.tuples(NUMBERS | st.just(STAR), NUMBERS), min_size=1, max_size=4).map(
    lambda ranges: SequenceSet(tuple(ranges))
)


@given(SPANS, SETS, NUMBERS)
def test_the_overlap_of_ranges_and_a_set(ranges: list[tuple[int, int]], among: SequenceSet, largest: int) -> None:
    vanished = {number for low, high in ranges for number in range(low, high + 1)}
    assert set(overlap(ranges, among, largest).numbers(largest)) == vanished & set(among.numbers(largest))


@given(st.sets(NUMBERS), SETS, NUMBERS, st.integers(0, 30))
def test_what_no_message_has(uids: set[int], among: SequenceSet, largest: int, start: int) -> None:
    uids = {uid for uid in uids if uid <= largest}
    expected = {number for number in among.numbers(largest) if start < number <= largest} - uids
    assert set(missing(sorted(uids), among, largest, start).numbers(largest)) == expected
