"""Bodies of posted reports: any octets are a report or refused, and no more is unpacked than may be."""

import contextlib
import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reports.posted import BODY_LIMIT, GZIP, JSON, kind_of, read
from engine.reports.tls_received import JSON_LIMIT
from engine.reports.unpacked import Unreadable
from tests.reports.tls_samples import GOOGLE

OCTETS = json.dumps(GOOGLE).encode()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("application/tlsrpt+gzip", GZIP), ("Application/TLSRPT+JSON ; charset=utf-8", JSON), ("application/json", ""),
        ("", ""), ("application/tlsrpt", ""),
    ],
)  # fmt: skip
def test_types(said: str, kind: str) -> None:
    assert kind_of(said) == kind


def test_both_kinds_are_the_same_report() -> None:
    assert read(JSON, OCTETS) == read(GZIP, gzip.compress(OCTETS))


@given(st.binary(max_size=400), st.sampled_from([GZIP, JSON]), st.booleans())
def test_any_octets_can_be_looked_at(octets: bytes, kind: str, packed: bool) -> None:
    try:
        read(kind, gzip.compress(octets) if packed else octets)
    except Unreadable:
        return
    pytest.fail("it was taken for a report")


@given(st.integers(0, len(OCTETS) - 1), st.integers(0, 255))
def test_a_report_with_a_wrong_octet(place: int, octet: int) -> None:
    packed = bytearray(gzip.compress(OCTETS, mtime=0))
    packed[place % len(packed)] = octet
    with contextlib.suppress(Unreadable):
        assert read(GZIP, bytes(packed)) == read(JSON, OCTETS)


def test_a_bomb_takes_no_memory() -> None:
    pump = zlib.compressobj(wbits=31)
    bomb = b"".join([*(pump.compress(bytes(2**20)) for _ in range(1000)), pump.flush()])
    assert len(bomb) < BODY_LIMIT
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="come out of it"):
            read(GZIP, bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * JSON_LIMIT
    finally:
        tracemalloc.stop()


def test_more_than_a_request_may_have() -> None:
    with pytest.raises(Unreadable, match="more than 2 MiB"):
        read(JSON, b" " * (BODY_LIMIT + 1))
