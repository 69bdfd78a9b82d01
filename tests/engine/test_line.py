"""A line that moves: its room, how its window shrinks and grows, and when it may try before it was told to."""

import pytest

from engine import Envelope, MessageId, Recipient
from engine.queue.line import PATIENCE, SHORTEST, SHRINK, SLOWLY, Line
from engine.queue.shares import mark
from engine.queue.store import WAITING, Record, position_of

NOW = 1_000.0


def busy(window: float, *, through: int = 0, rising: bool = False) -> Line:
    """A line of a busy site, of which so many got through since its window was made smaller, two seconds ago."""
    line = Line("mx.test", window)
    line.busy, line.through, line.rising, line.shrunk = True, through, rising, NOW - 2
    return line


def test_a_line_begins_with_one_that_goes_ahead() -> None:
    line = Line("d.test")
    assert (line.name, line.window, line.away, line.busy) == ("d.test", 1, 0, False)
    assert (line.until, line.shrunk, line.through, line.rising, line.timed) == (0, 0, 0, True, 0)
    flow = line.add_flow(mark(""))
    assert (flow.start, flow.served) == (b"", 0)
    line.holds(NOW - 1, 5.0, NOW, ours=False)
    assert line.busy


@pytest.mark.parametrize(
    ("window", "away", "is_busy", "room"),
    [(1, 0, False, 1), (1, 1, False, 0), (4, 2, False, 2), (4, 3, False, 0), (4, 3, True, 1), (2.9, 0, True, 2),
     (4, 6, True, -2), (0, 0, False, 0)],
)  # fmt: skip
def test_the_room_of_a_line(window: float, away: int, is_busy: bool, room: int) -> None:
    line = Line("d.test", float(window))
    line.away, line.busy = away, is_busy
    assert line.room(NOW) == room


def test_a_line_that_rests_has_none_until_its_time() -> None:
    line = busy(4)
    line.until = NOW
    assert [line.room(NOW - 0.001), line.room(NOW)] == [0, 4]


@pytest.mark.parametrize(
    ("window", "through", "smaller"),
    [(8, 8, 7), (8, 9, 7), (8, 7, 8 * SHRINK), (8, 1, 8 * SHRINK), (8, 0, 1), (1, 1, 1), (1.2, 1, 1), (1.5, 2, 1)],
)
def test_the_window_shrinks_by_how_many_got_through_since_it_did(window: float, through: int, smaller: float) -> None:
    line = busy(window, through=through, rising=bool(through))
    line.holds(NOW - 1, 5.0, NOW, ours=True)
    assert (line.window, line.shrunk, line.through) == (smaller, NOW, 0)
    assert line.rising == (not through)
    assert (line.busy, line.came_back, line.until) == (True, 1, NOW + 5)


def test_what_left_before_the_window_was_made_smaller_says_nothing_new() -> None:
    line = busy(8, through=3)
    for given in (NOW - 3, NOW - 2):
        line.holds(given, 5.0, NOW, ours=True)
    assert (line.window, line.through, line.shrunk, line.early) == (8, 3, NOW - 2, 0)
    assert (line.came_back, line.until, line.patience) == (2, NOW + 5, PATIENCE)


def test_what_comes_back_to_a_line_that_it_was_not_taken_from_leaves_the_window_and_is_waited_for() -> None:
    line = busy(8, through=3)
    line.holds(NOW - 1, 5.0, NOW, ours=False)
    assert (line.window, line.through, line.early, line.patience) == (8, 3, NOW + PATIENCE, PATIENCE)
    line.early = NOW + 3
    line.holds(NOW - 1, 5.0, NOW, ours=False)
    assert line.early == NOW + 3


def test_no_rest_is_shorter_than_the_shortest() -> None:
    line = busy(8)
    line.holds(NOW - 1, 0.0, NOW, ours=True)
    assert (line.until, line.early, line.patience) == (NOW + SHORTEST, NOW + SHORTEST, PATIENCE)


def test_who_tries_early_in_vain_waits_twice_as_long_up_to_the_rest() -> None:
    line, found, now = busy(8), [], NOW
    for _ in range(5):
        line.holds(now - 1, 0.5, now, ours=True)
        found.append(round(line.early - now, 6))
        now += 2
    assert found == [PATIENCE, 2 * PATIENCE, 4 * PATIENCE, 0.5, 0.5]


def test_a_window_that_rises_grows_by_one_for_each_that_gets_through_and_later_slowly() -> None:
    line = busy(3, rising=True)
    line.gets_through(NOW - 3, 100, NOW)
    assert (line.window, line.through) == (4, 1)
    line.rising = False
    line.gets_through(NOW - 3, 100, NOW)
    assert (line.window, line.through) == (4 + 1 / SLOWLY, 2)
    line.window = 2 * SLOWLY
    line.gets_through(NOW - 3, 100, NOW)
    assert line.window == 2 * SLOWLY + 1 / (2 * SLOWLY)


@pytest.mark.parametrize(("most", "window"), [(5, 5), (4, 4), (0, 1)])
def test_no_window_is_larger_than_the_places(most: int, window: float) -> None:
    line = busy(4, rising=True)
    line.gets_through(NOW - 3, most, NOW)
    assert line.window == window


def test_who_left_since_the_window_was_made_smaller_and_got_through_ends_the_rest() -> None:
    line = busy(4)
    line.until, line.early, line.patience = NOW + 9, NOW + 3, 4 * PATIENCE
    line.gets_through(NOW - 1, 100, NOW)
    assert (line.until, line.patience) == (0, PATIENCE)


@pytest.mark.parametrize(
    ("until", "early", "then"), [(9, 3, NOW + 3), (9, 0, 0), (9, -1, 0), (2, 3, NOW + 2), (3, 3, NOW + 3)]
)
def test_who_left_before_that_and_got_through_brings_the_turn_forward(until: float, early: float, then: float) -> None:
    line = busy(4)
    line.until, line.early, line.patience = NOW + until, NOW + early, 4 * PATIENCE
    line.gets_through(NOW - 2, 100, NOW)
    assert (line.until, line.patience) == (then, 4 * PATIENCE)


def test_no_time_lies_ahead_of_a_clock_that_was_set_back() -> None:
    line = busy(4)
    line.until, line.early, line.shrunk = NOW + 9, NOW + 3, NOW - 2
    line.believe(NOW)
    assert (line.until, line.early, line.shrunk) == (NOW, NOW, NOW - 2)


def waiting(due: float) -> Record:
    envelope = Envelope("a@b.test", (Recipient("b@rcpt.test"),))
    return Record(MessageId.new(), envelope, "inbound", 10, state=WAITING, due=due, line="d.test")


def test_who_comes_late_has_no_claim_on_what_others_had_before() -> None:
    line = Line("d.test")
    line.add_flow(mark("a")).served = 7.0
    line.add_flow(mark("b")).served = 5.0
    assert line.add_flow(mark("c")).served == 5.0
    assert line.add_flow(mark("a")).served == 7.0
    assert [flow.mark for flow in line.flows.values()] == [mark("a"), mark("b"), mark("c")]


def test_a_line_is_read_from_the_first_that_stands_in_it_again() -> None:
    line, (first, second) = Line("d.test"), sorted((waiting(1), waiting(2)), key=position_of)
    line.add_flow(mark("")).start = position_of(second)
    line.add(first)
    assert line.flows[mark("")].start == position_of(first)
    line.add(second)
    assert line.flows[mark("")].start == position_of(first)
