"""Sizes, durations and rates as operators write them."""

import pytest

from engine import Duration, Rate, Size
from engine.units import measured, spelled

SIZES = [
    ("0", 0), ("25", 25), ("25 B", 25), ("25 MB", 25_000_000), ("25MB", 25_000_000), ("64 KiB", 65_536),
    ("64 kib", 65_536), ("2k", 2048), ("5G", 5 * 2**30), ("1.5 GB", 1_500_000_000), (" 2 TiB ", 2 * 2**40), (7, 7),
]  # fmt: skip


@pytest.mark.parametrize(("text", "octets"), SIZES)
def test_a_size_is_read(text: str | int, octets: int) -> None:
    assert Size(text) == octets


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 XB", "1e6", "1,5 MB", "1 MB 2", "٣٣ ZB", -1])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="size"):
        Size(text)


DURATIONS = [
    ("90s", 90.0), ("5m", 300.0), ("1h 30m", 5400.0), ("1h30m", 5400.0), ("5d", 432_000.0), ("2w", 1_209_600.0),
    ("250ms", 0.25), ("1.5h", 5400.0), (" 1s ", 1.0), ("1m 1ms", 60.001), (3, 3.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read(text: str | float, seconds: float) -> None:
    assert Duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "m", "-5m", "1h, 5m", "5M", "inf", "1h 5", -1])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"), [(5 * 86400, "5 days"), (129_600, "36 hours"), (600, "10 minutes"), (59, "59 seconds")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert spelled(seconds) == words


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (0, "0 octets"), (999, "999 octets"), (1000, "1 KB"), (4_128_000_000, "4.1 GB"), (999_900, "1,000 KB"),
        (10**16, "10,000 TB"),
    ],
)  # fmt: skip
def test_sizes_in_words(octets: int, words: str) -> None:
    assert measured(octets) == words


@pytest.mark.parametrize(
    ("text", "most", "seconds"), [("100/1h", 100, 3600.0), (" 1 / 30s", 1, 30.0), ("5000/1d", 5000, 86400.0)]
)
def test_a_rate_is_read(text: str, most: int, seconds: float) -> None:
    rate = Rate(text)
    assert (rate.most, rate.period, str(rate)) == (most, seconds, text)


@pytest.mark.parametrize("text", ["", "100", "0/1h", "-1/1h", "1/h", "x/1h", "1/0s", "1e3/1h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|duration"):
        Rate(text)
