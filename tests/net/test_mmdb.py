"""Databases by IP address: what they say, in every width of their records; and that no damage does harm."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.net.mmdb import MARK, Mmdb, MmdbError
from tests.support.mmdb import mmdb, written
from tests.support.programs import needs, run

NETWORKS: dict[str, Any] = {
    "192.0.2.0/24": {"country": {"iso_code": "DE", "names": {"en": "Germany", "de": "Deutschland"}}},
    "198.51.100.0/25": {"country": {"iso_code": "VN", "is_in_european_union": False}},
    "198.51.100.128/25": {"number": 2**63, "part": 0.5, "list": ["a" * 40, "b" * 400, True], "nothing": ""},
    "2001:db8::/32": {"country": {"iso_code": "SE", "geoname_id": 2661886}},
}


def opened(octets: bytes) -> Mmdb:
    return Mmdb(lambda place, count: octets[place : place + count], len(octets))


@pytest.mark.parametrize("bits", [24, 28, 32])
def test_what_it_says(bits: int) -> None:
    database = opened(mmdb(NETWORKS, bits=bits))
    for address, network in [
        ("192.0.2.0", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("198.51.100.127", "198.51.100.0/25"),
        ("198.51.100.128", "198.51.100.128/25"),
        ("2001:db8:ffff::1", "2001:db8::/32"),
        ("2001:db8::1%eth0", "2001:db8::/32"),
    ]:
        assert database.find(address) == NETWORKS[network], address
    for address in ("192.0.3.0", "203.0.113.1", "2001:db9::1", "::1"):
        assert database.find(address) is None, address


def test_one_of_ipv4_alone() -> None:
    database = opened(mmdb({"192.0.2.0/24": "here"}, version=4))
    assert database.find("192.0.2.1") == database.find("::ffff:192.0.2.1") == "here"
    assert database.find("2001:db8::1") is None


def test_many_nodes_need_the_highest_bits() -> None:
    networks = {f"10.{high}.{low}.0/24": f"{high} {low}" for high in range(0, 256, 5) for low in range(0, 256, 7)}
    database = opened(mmdb(networks, bits=28, version=4))
    assert {network: database.find(network.partition("/")[0]) for network in networks} == networks


@pytest.mark.parametrize("size", [10, 2046, 3000, 526_331, 600_000])
def test_values_are_shared_by_pointers_however_far(size: int) -> None:
    before = "x" * size
    values = {"192.0.2.0/26": before, "192.0.2.64/26": "y", "192.0.2.128/25": {"same": (len(written(before)),), "n": 7}}
    database = opened(mmdb(values, version=4))
    assert database.find("192.0.2.1") == before
    assert database.find("192.0.2.200") == {"same": "y", "n": 7}


@needs("mmdblookup")
@pytest.mark.parametrize("bits", [24, 28, 32])
def test_the_library_of_maxmind_reads_the_same_file_alike(tmp_path: Path, bits: int) -> None:
    octets = mmdb(NETWORKS, bits=bits)
    (tmp_path / "test.mmdb").write_bytes(octets)
    for address in ("192.0.2.77", "198.51.100.3", "2001:db8::7"):
        said = run("mmdblookup", "--file", str(tmp_path / "test.mmdb"), "--ip", address, "country", "iso_code")
        assert f'"{opened(octets).find(address)["country"]["iso_code"]}"' in said


LOOP = mmdb({"0.0.0.0/1": (0,)}, version=4)
DEEP = mmdb({"0.0.0.0/1": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}, version=4)
WIDE = mmdb({"0.0.0.0/1": [["x"] * 200] * 200}, version=4)


@pytest.mark.parametrize("octets", [LOOP, DEEP, WIDE], ids=["in a circle", "deep", "many"])
def test_values_without_an_end(octets: bytes) -> None:
    with pytest.raises(MmdbError, match="without an end"):
        opened(octets).find("0.0.0.1")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no database"),
        (b"GEO-106FREE 20190618", "no database"),
        (mmdb(NETWORKS)[:-5], "cut off"),
        (MARK + written("table"), "node_count"),
        (mmdb(NETWORKS, node_count=1_000_000), "cut off"),
        (mmdb(NETWORKS, record_size=20), "its record_size is 20"),
        (mmdb(NETWORKS, ip_version=5), "its ip_version is 5"),
        (mmdb(NETWORKS, binary_format_major_version=3), "its binary_format_major_version is 3"),
    ],
)
def test_what_is_none(octets: bytes, why: str) -> None:
    with pytest.raises(MmdbError, match=why):
        opened(octets)


SMALL = mmdb({"0.0.0.0/2": {"a": "b"}, "64.0.0.0/2": [1, 0.5, True]}, version=4)


@given(some.lists(some.tuples(some.integers(0, len(SMALL) - 1), some.integers(0, 255)), min_size=1, max_size=4))
def test_damage_is_one_error_or_another_answer(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(SMALL)
    for place, octet in changes:
        damaged[place] = octet
    try:
        database = opened(bytes(damaged))
        for address in ("0.0.0.1", "64.0.0.1", "128.0.0.1"):
            database.find(address)
    except MmdbError:
        pass
