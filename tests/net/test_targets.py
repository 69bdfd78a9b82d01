"""Which addresses mail may be sent to, and how hosts and ports are read."""

from ipaddress import ip_network

import pytest

from engine.net.targets import host_and_port, permitted

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.0.1",
    "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.1", "192.167.1.1", "192.169.1.1", "198.17.0.1",
    "198.20.0.1", "223.255.255.255", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "2001:200::1",
    "3ffe::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
]  # fmt: skip

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.9.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1",
    "::ffff:127.0.0.1", "::ffff:10.1.1.1", "::ffff:0:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b:1::8.8.8.8", "2002:7f00:1::1", "2002:a00:1::", "2002:c0a8:101::1", "", "localhost", "1.2.3", "127.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address):
    assert permitted(address)


@pytest.mark.parametrize("address", REFUSED)
def test_special_addresses_are_refused(address):
    assert not permitted(address)


@pytest.mark.parametrize(
    ("address", "network", "expected"),
    [
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "127.0.0.2/32", False),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("::1", "::1/128", True),
        ("::1", "127.0.0.0/8", False),
        ("fd00::7", "fd00::/8", True),
        ("::ffff:127.0.0.1", "127.0.0.0/8", True),
        ("64:ff9b::10.0.0.1", "10.0.0.0/8", True),
        ("2002:a00:1::", "10.0.0.0/8", True),
        ("2002:a00:1::", "2002:a00:1::/48", True),
        ("8.8.8.8", "10.0.0.0/8", True),  # an allowed network adds, it does not replace
    ],
)
def test_allowed_networks(address, network, expected):
    assert permitted(address, (ip_network(network),)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mx.example.org", ("mx.example.org", 25)),
        ("mx.example.org:587", ("mx.example.org", 587)),
        ("192.0.2.1:2525", ("192.0.2.1", 2525)),
        ("[::1]:53", ("::1", 53)),
        ("[::1]", ("::1", 25)),
        ("::1", ("::1", 25)),
    ],
)
def test_host_and_port(text, expected):
    assert host_and_port(text, 25) == expected


@pytest.mark.parametrize("text", ["", ":25", "a:", "a:0", "a:65536", "a:x", "a:٣", "[::1", "[::1]25", "a:-1"])
def test_broken_host_and_port(text):
    with pytest.raises(ValueError):
        host_and_port(text, 25)
