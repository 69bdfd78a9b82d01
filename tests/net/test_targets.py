"""Which addresses the relay may connect to."""

from ipaddress import ip_network

import pytest

from engine.net.targets import permitted

PUBLIC = ["8.8.8.8", "193.99.144.80", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
REFUSED = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2001:0:808:808::80ff:fffe",
    "fe80::1%lo",
    "",
    "localhost",
    "1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert permitted(address, ())


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert not permitted(address, ())


@pytest.mark.parametrize(
    ("address", "network", "expected"),
    [
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "10.0.0.0/8", False),
        ("::ffff:127.0.0.1", "127.0.0.0/8", True),
        ("::1", "::1/128", True),
        ("::1", "127.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.0/24", True),
        ("10.1.3.3", "10.1.2.0/24", False),
        ("fd12::1", "fd12::/16", True),
        ("8.8.8.8", "10.0.0.0/8", True),
    ],
)
def test_allowed(address: str, network: str, expected: bool) -> None:
    assert permitted(address, (ip_network(network),)) is expected
