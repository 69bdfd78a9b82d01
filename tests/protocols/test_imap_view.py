"""Sequence sets, and how a session numbers its messages: against simple models."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.protocols.imap import sets
from engine.protocols.imap.sets import SAVED, SequenceSet
from engine.protocols.imap.view import Changed, May, View
from tests.support.examples import TIMES


def numbers(text: bytes) -> SequenceSet:
    found = sets.parse(text)
    assert found is not None
    return found


@pytest.mark.parametrize("text", [b"1", b"*", b"2:4", b"4:2", b"1:*", b"*:4,7", b"2,4:7,9,12:*", b"$", b"4294967295"])
def test_a_set_is_written_as_it_was_read(text: bytes) -> None:
    assert numbers(text).render() == text


@pytest.mark.parametrize("text", [b"", b"0", b"1,", b",1", b"1:", b"1::2", b"01", b"$,1", b"-1", b"4294967296", b"1 2"])
def test_what_is_no_set(text: bytes) -> None:
    assert sets.parse(text) is None


@pytest.mark.parametrize(
    ("text", "largest", "found"),
    [
        (b"2,4:7,9,12:*", 15, [2, 4, 5, 6, 7, 9, 12, 13, 14, 15]),  # RFC 9051 9
        (b"*:4,5:7", 10, [4, 5, 6, 7, 8, 9, 10]),
        (b"*:4,7:5", 6, [4, 5, 6, 7]),
        (b"559:*", 500, list(range(500, 560))),
        (b"3,1,2,2", 9, [1, 2, 3]),
        (b"*", 0, []),
        (b"1:5", 0, []),
    ],
)
def test_the_numbers_of_a_set(text: bytes, largest: int, found: list[int]) -> None:
    assert list(numbers(text).numbers(largest)) == found


def test_places() -> None:
    uids = [3, 5, 9, 12]
    assert numbers(b"1:4,12").positions_among(uids) == [range(1), range(3, 4)]
    assert numbers(b"600:*").positions_among(uids) == [range(3, 4)]  # always the last one (RFC 9051 6.4.9)
    assert numbers(b"6:8").positions_among(uids) == []
    assert numbers(b"2:9,*").positions(4) == [range(1, 4)]
    assert numbers(b"7").positions(4) == []


@given(found=st.sets(st.integers(1, 60)))
def test_a_set_of_numbers_and_back(found: set[int]) -> None:
    made = sets.of(sorted(found))
    assert set(made.numbers(60)) == found
    if found:
        assert sets.parse(made.render()) == made


def test_a_large_range_costs_nothing() -> None:
    assert numbers(b"1:4294967295").positions_among([1, 2, 4294967295]) == [range(3)]


# The view.


def test_expunged_messages_keep_their_numbers_until_they_may_be_told() -> None:
    """RFC 9051 7.5.1."""
    view = View([11, 12, 13, 14])
    view.vanished([12, 13])
    view.appeared([20])
    view.changed([14], [b"\\Seen"], [7])
    view.changed([20], [b""], [8])
    assert not view.tell(May.NOTHING)
    news = view.tell(May.NO_EXPUNGE)
    assert (news.expunged, news.exists) == ((), 5)
    assert news.changed == (Changed(4, 14, b"\\Seen", 7), Changed(5, 20, b"", 8))
    assert (view.number(13), view.uid(2), view.is_gone(12)) == (3, 12, True)
    news = view.tell(May.ALL)
    assert (news.expunged, news.vanished.render(), news.exists) == ((3, 2), b"12:13", None)
    assert (view.number(13), view.uid(2), len(view)) == (None, 14, 3)
    assert not view.tell(May.ALL)
    assert not view.has_news


def test_news_of_unknown_and_of_gone_messages_are_none() -> None:
    view = View([1, 2])
    view.changed([9], [b""], [1])
    view.changed([2], [b"b"], [4])
    view.changed([2], [b"a"], [5])
    assert [change.flags for change in view.tell(May.ALL).changed] == [b"a"]
    view.changed([1], [b""], [9])
    view.vanished([1, 7])
    view.changed([1], [b""], [10])
    view.appeared([2, 3, 3, 4])
    view.vanished([3])
    view.changed([4], [b"x"], [11])
    view.seen([4])
    news = view.tell(May.ALL)
    assert (news.expunged, news.exists, news.changed) == ((1,), 2, ())
    assert list(view.uids) == [2, 4]


def test_messages_by_set() -> None:
    view = View([10, 20, 30])
    assert list(view.chosen(numbers(b"2:*"), uid=False)) == [20, 30]
    assert list(view.chosen(numbers(b"15:25"), uid=True)) == [20]
    view.saved = [10, 25, 30]
    assert list(view.chosen(SAVED, uid=False)) == [10, 30]
    assert not view.is_beyond(numbers(b"1:3,*"))
    assert view.is_beyond(numbers(b"1:4"))
    assert not View([]).is_beyond(numbers(b"1:*"))
    assert list(View([]).chosen(numbers(b"1:*"), uid=True)) == []
    for wrong in (0, 4):
        with pytest.raises(IndexError):
            view.uid(wrong)


class Sessions(RuleBasedStateMachine):
    """A client's list of messages, kept by nothing but what it is told, against the mailbox."""

    @initialize(count=st.integers(0, 6))
    def begin(self, count: int) -> None:
        self.mailbox = dict.fromkeys(range(1, count + 1), b"")
        self.next, self.modseq = count + 1, 1
        self.view = View(self.mailbox)
        self.client = [[uid, b""] for uid in self.mailbox]

    @rule(count=st.integers(1, 3))
    def arrive(self, count: int) -> None:
        new = range(self.next, self.next + count)
        self.mailbox.update(dict.fromkeys(new, b""))
        self.next += count
        self.view.appeared(new)

    @rule(data=st.data())
    def expunge(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(sorted(self.mailbox)))) if self.mailbox else set()
        for uid in gone:
            del self.mailbox[uid]
        self.view.vanished(gone)

    @rule(data=st.data(), flags=st.sampled_from([b"\\Seen", b"", b"a"]))
    def flag(self, data: st.DataObject, flags: bytes) -> None:
        if self.mailbox:
            uid = data.draw(st.sampled_from(sorted(self.mailbox)))
            self.mailbox[uid] = flags
            self.modseq += 1
            self.view.changed([uid], [flags], [self.modseq])

    @rule(may=st.sampled_from(May))
    def tell(self, may: May) -> None:
        news = self.view.tell(may)
        assert may is May.ALL or not news.expunged
        assert may is not May.NOTHING or not news
        told = [self.client.pop(number - 1)[0] for number in news.expunged]
        assert sorted(told) == list(news.vanished.numbers(self.next))
        if news.exists is not None:
            known = {uid for uid, _ in self.client}
            fresh = [uid for uid in self.view.uids if uid not in known]
            self.client += [[uid, b""] for uid in fresh]
            assert len(self.client) == news.exists
        for change in news.changed:
            assert self.client[change.number - 1][0] == change.uid
            self.client[change.number - 1][1] = change.flags
        if may is May.ALL:
            assert self.client == [[uid, flags] for uid, flags in self.mailbox.items()]

    @invariant()
    def the_numbers_are_the_clients(self) -> None:
        assert list(self.view.uids) == [uid for uid, _ in self.client]
        assert all(self.view.number(uid) == number for number, (uid, _) in enumerate(self.client, 1))


Sessions.TestCase.settings = settings(max_examples=50 * TIMES, stateful_step_count=20)
TestSessions = Sessions.TestCase


def test_sessions_that_know_the_same_messages_share_them() -> None:
    uids = array("I", [1, 2, 5])
    one, other = View(uids), View(uids)
    assert one.uids is uids
    one.appeared([7])
    one.vanished([2])
    one.tell(May.ALL)
    assert (list(one.uids), list(other.uids), list(uids)) == ([1, 5, 7], [1, 2, 5], [1, 2, 5])
