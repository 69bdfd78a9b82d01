"""The PROXY protocol: both versions, whole and in pieces, and what is none."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.proxy_protocol import SIGNATURE, V1_LIMIT, Header, NoProxyHeader, Proxied, Version, header

FOUR = Proxied("192.0.2.7", 40000, "198.51.100.1", 25)
SIX = Proxied("2001:db8::7", 40000, "2001:db8::1", 25)
LONGEST = Proxied(*(("ffff:" * 7 + "fffe", 65535) * 2))


def read(stream: bytes, at_once: int = 2**16) -> tuple[Proxied, bytes]:
    """What a header says, read in pieces, and what stands behind it."""
    found = Header()
    while found.proxied is None:
        size = min(found.wanted, at_once)
        piece, stream = stream[:size], stream[size:]
        if not piece:
            raise EOFError
        found.receive(piece)
    return found.proxied, stream


@pytest.mark.parametrize("at_once", [1, 2, 7, 1000])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("proxied", [FOUR, SIX, LONGEST], ids=["IPv4", "IPv6", "longest"])
def test_what_is_said_is_read(proxied: Proxied, version: Version, at_once: int) -> None:
    assert read(header(version, proxied) + b"EHLO a\r\n", at_once) == (proxied, b"EHLO a\r\n")


def test_the_octets() -> None:
    assert header(1, FOUR) == b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
    assert header(2, FOUR) == SIGNATURE + bytes.fromhex("2111000c c0000207 c6336401 9c40 0019")
    assert len(header(1, LONGEST)) == V1_LIMIT - 3  # "65535 65535" and "TCP6"; 107 is that of UNKNOWN


def test_two_families_are_none() -> None:
    with pytest.raises(ValueError, match="not of one family"):
        header(2, Proxied("192.0.2.7", 1, "2001:db8::1", 25))


NOBODY = [
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n",
    SIGNATURE + bytes.fromhex("20000000"),  # LOCAL: the proxy looks whether we are there
    SIGNATURE + bytes.fromhex("2011000c c0000207 c6336401 9c40 0019"),
    SIGNATURE + bytes.fromhex("21000000"),  # unspecified
    SIGNATURE + bytes.fromhex("21000003 040000"),
    SIGNATURE + bytes.fromhex("2112000c c0000207 c6336401 9c40 0019"),  # UDP
    SIGNATURE + bytes.fromhex("213100d8") + 216 * b"/",
]


@pytest.mark.parametrize("octets", NOBODY, ids=range(len(NOBODY)))
@pytest.mark.parametrize("at_once", [1, 1000])
def test_a_proxy_that_speaks_for_nobody(octets: bytes, at_once: int) -> None:
    assert read(octets + b"x", at_once) == (Proxied(), b"x")


def test_fields_behind_the_addresses_are_passed_over() -> None:
    octets = SIGNATURE + bytes.fromhex("21110013 c0000207 c6336401 9c40 0019 030004 a9b87e8f")
    assert read(octets + b"x") == (FOUR, b"x")


NONE = [
    b"EHLO client.example.org\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefg",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n       ",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 040000 25\r\n",
    b"PROXY TCP4 192.0.2.700 198.51.100.1 40000 25\r\n",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 40000 25\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n",
    b"PROXY TCP9 192.0.2.7 198.51.100.1 40000 25\r\n",
    b"PROXY UNKNOWN" + 200 * b" ",
    b"PROXY TCP4 " + 200 * b"1",
    b"PROXY UNKNOWN \n" + 100 * b" ",
    SIGNATURE + bytes.fromhex("11110000"),
    SIGNATURE + bytes.fromhex("22110000"),
    SIGNATURE + bytes.fromhex("21110004 c0000207"),
    SIGNATURE + bytes.fromhex("2131000c c0000207 c6336401 9c40 0019"),
    SIGNATURE + bytes.fromhex("2111ffff"),
]


@pytest.mark.parametrize("octets", NONE, ids=range(len(NONE)))
@pytest.mark.parametrize("at_once", [1, 1000])
def test_what_is_no_header(octets: bytes, at_once: int) -> None:
    with pytest.raises(NoProxyHeader):
        read(octets + 20 * b"\0", at_once)


def test_more_than_is_wanted_is_a_mistake_of_the_driver() -> None:
    with pytest.raises(ValueError, match="not all of the header"):
        Header().receive(16 * b"x")


@given(
    st.sampled_from([1, 2]),
    st.ip_addresses(v=6) | st.ip_addresses(v=4),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    st.binary(max_size=20),
    st.integers(1, 40),
)
def test_any_address(
    version: Version,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    ports: tuple[int, int],
    rest: bytes,
    at_once: int,
) -> None:
    if getattr(source, "scope_id", None):
        return
    proxied = Proxied(str(source), ports[0], "127.0.0.1" if source.version == 4 else "::1", ports[1])
    assert read(header(version, proxied) + rest, at_once) == (proxied, rest)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=200))
def test_whatever_comes_is_a_header_or_none(beginning: bytes, rest: bytes) -> None:
    with contextlib.suppress(NoProxyHeader, EOFError):
        read(beginning + rest)
