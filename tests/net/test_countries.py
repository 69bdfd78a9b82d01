"""Which country an address is in: what publishers write, and files that are renewed, broken or gone."""

from pathlib import Path
from typing import Any

import pytest

from engine.net.countries import LOOK, Countries
from tests.support.mmdb import mmdb
from tests.support.post import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


def put(path: Path, said: Any) -> None:
    """As those who renew such files do it."""
    newer = path.with_suffix(".new")
    newer.write_bytes(mmdb({"192.0.2.0/24": said}))
    newer.rename(path)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"country": {"iso_code": "DE"}, "registered_country": {"iso_code": "US"}}, "DE"),
        ({"registered_country": {"iso_code": "US"}}, "US"),
        ({"country": "Germany", "country_code": "DE"}, "DE"),
        ({"country": "de"}, "DE"),
        ({"continent": {"code": "EU"}}, ""),
        ({"country": {"iso_code": 7}}, ""),
        ("DE", ""),
    ],
)
def test_each_publisher_in_its_own_way(tmp_path: Path, clock: Clock, said: Any, code: str) -> None:
    put(tmp_path / "file", said)
    countries = Countries(tmp_path / "file", clock)
    assert countries.of("192.0.2.1") == code
    assert countries.of("203.0.113.1") == countries.of("no address") == ""
    countries.close()


def test_a_newer_file_is_seen_within_a_minute(tmp_path: Path, clock: Clock) -> None:
    put(file := tmp_path / "file", {"country": "DE"})
    countries = Countries(file, clock)
    assert countries.of("192.0.2.1") == "DE"
    put(file, {"country": "VN"})
    assert countries.of("192.0.2.1") == "DE"
    clock.now += LOOK
    assert countries.of("192.0.2.1") == "VN"
    countries.close()


def test_one_that_is_gone_is_told_once_a_minute_and_found_again(
    tmp_path: Path, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    put(file := tmp_path / "file", {"country": "DE"})
    countries = Countries(file, clock)
    assert countries.of("192.0.2.1") == "DE"
    file.unlink()
    clock.now += LOOK
    assert [countries.of("192.0.2.1") for _ in range(9)] == [""] * 9
    assert capfd.readouterr().err.count("countries-unread") == 1
    put(file, {"country": "VN"})
    clock.now += LOOK
    assert countries.of("192.0.2.1") == "VN"
    countries.close()


def test_one_that_is_cut_short_where_it_lies(tmp_path: Path, clock: Clock) -> None:
    put(file := tmp_path / "file", {"country": "DE"})
    countries = Countries(file, clock)
    assert countries.of("192.0.2.1") == "DE"
    with file.open("r+b") as opened:
        opened.truncate(60)
    assert countries.of("192.0.2.1") == ""
    countries.close()
