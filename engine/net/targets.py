"""Hosts, ports, addresses and networks as text; and the addresses that mail must not reach."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose address registries (RFC 6890), written out: what `ipaddress.is_global` says of some of
# them differs between Python releases.
_REFUSED_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # shared by carriers, RFC 6598
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; also the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn by RFC 7526
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")  # all that IANA gives out (RFC 4291 2.4); the rest is special
_REFUSED_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation, RFC 9637
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_6TO4 = IPv6Network("2002::/16")  # RFC 3056


def host_and_port(text: str, default: int) -> tuple[str, int]:
    """``"mx.example:25"``, ``"192.0.2.1"``, ``"[::1]:53"`` or ``"::1"`` as host and port.

    ValueError for anything else, and for a port outside 1 to 65535.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f'{text!r} is no host and port; write an IPv6 address like "[::1]:25"')
        port = rest[1:] if rest else str(default)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, str(default)
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f'{text!r} is no host and port; write it like "mx.example.org:25"')
    return host, int(port)


def permitted(address: str | Address, allow_networks: Iterable[Network] = ()) -> bool:
    """Whether mail may be sent to this address: a public unicast one, or one inside an allowed network.

    Anyone can point an MX record at our own inside, so private, loopback, link-local, multicast and reserved
    addresses are refused, and IPv6 addresses that lead to such an IPv4 address: mapped ones, NAT64, 6to4.
    What is no address is refused as well.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped  # the kernel connects over IPv4
    inner = _embedded(found)
    if any(found in network or (inner and inner in network) for network in allow_networks):
        return True
    if inner:
        return _is_public(inner)
    return _is_public(found)


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that a translator would take out of this one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour if address in _6TO4 else None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _REFUSED_6)


@lru_cache(maxsize=1024)  # several checks of each message look at the same one
def address_of(peer: str) -> Address:
    """The address of a peer, without the zone that a link-local one has ("fe80::1%eth0"). ValueError for none."""
    return ip_address(peer.partition("%")[0])


@lru_cache(maxsize=1024)
def network_of(peer: str, ipv4: int, ipv6: int) -> str:
    """The network that a peer is in, by the number of bits that tell one from another. ValueError for no address."""
    address = address_of(peer)
    return str(ip_network(f"{address}/{ipv4 if address.version == 4 else ipv6}", strict=False))


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether this address leads to this machine. ValueError for what is no address."""
    return any(ip_address(address) in network for network in _LOOPBACK)


def overlap(one: str, other: str) -> bool:
    """Whether two networks or addresses have an address in common; what is neither has none."""
    try:
        networks = ip_network(one, strict=False), ip_network(other, strict=False)
    except ValueError:
        return False
    return networks[0].version == networks[1].version and networks[0].overlaps(networks[1])
