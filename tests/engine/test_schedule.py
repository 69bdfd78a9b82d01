"""The delays between attempts."""

from engine.outbound.schedule import retry_delay


def test_the_delays_grow_and_the_last_repeats() -> None:
    for attempts, expected in ((0, 300.0), (1, 3600.0), (2, 3600.0), (9, 3600.0)):
        assert 0.9 * expected <= retry_delay((300.0, 3600.0), attempts) <= 1.1 * expected


def test_what_failed_together_does_not_come_back_together() -> None:
    delays = [retry_delay((1000.0,), 0) for _ in range(1000)]
    assert 900 <= min(delays) < 950
    assert 1050 < max(delays) <= 1100
