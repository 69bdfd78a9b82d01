"""The delays between attempts."""

import pytest

from engine.outbound.schedule import Meaning, Schedule, retry_delay


def test_the_delays_grow_and_the_last_repeats() -> None:
    for attempts, expected in ((0, 300.0), (1, 3600.0), (2, 3600.0), (9, 3600.0)):
        assert 0.9 * expected <= retry_delay((300.0, 3600.0), attempts) <= 1.1 * expected


def test_what_failed_together_does_not_come_back_together() -> None:
    delays = [retry_delay((1000.0,), 0) for _ in range(1000)]
    assert 900 <= min(delays) < 950
    assert 1050 < max(delays) <= 1100


SCHEDULE = Schedule((300.0,), greylisted=(60.0,), full=(3600.0,))


@pytest.mark.parametrize(
    ("code", "status", "text", "delay"),
    [
        (450, "4.7.1", "try again", 60.0),
        (451, "4.7.1", "try again", 60.0),
        (451, "4.0.0", "Greylisted, see http://example.org", 60.0),
        (450, "4.2.0", "Recipient address rejected: Grey-listed", 60.0),
        (421, "4.7.1", "too many connections", 300.0),
        (451, "4.3.0", "local trouble", 300.0),
        (452, "4.2.2", "mailbox full", 3600.0),
        (450, "4.2.2", "mailbox full", 3600.0),
        (0, "", "", 300.0),
    ],
)
def test_what_the_other_side_says_picks_the_delays(code: int, status: str, text: str, delay: float) -> None:
    assert SCHEDULE.after(code, status, text) == (delay,)
    assert Schedule((300.0,)).after(code, status, text) == (300.0,)


@pytest.mark.parametrize(
    ("meaning", "code", "status", "delay"),
    [
        ("usual", 451, "4.3.0", 300.0),
        ("soon", 451, "4.3.0", 60.0),
        ("full", 452, "4.0.0", 3600.0),
        ("patient", 451, "4.3.0", 7200.0),
        ("patient", 451, "4.7.1", 7200.0),
        ("patient", 452, "4.2.2", 3600.0),
    ],
)
def test_what_a_reply_means_picks_them_too(meaning: Meaning, code: int, status: str, delay: float) -> None:
    schedule = SCHEDULE._replace(patient=(7200.0,))
    assert schedule.after(code, status, "words", lambda text, given: meaning) == (delay,)
    assert SCHEDULE.after(code, status, "words", lambda text, given: "patient") == (
        (3600.0,) if status == "4.2.2" else (300.0,)
    )
