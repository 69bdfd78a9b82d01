"""Addresses that we may open connections to: the public Internet, and what the operator allows."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# What `is_global` takes for public, or leaves to the embedded address.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
_COMPATIBLE = IPv6Network("::/96")  # IPv4-compatible, RFC 4291 2.5.5.1: deprecated, yet routed by some stacks


def permitted(address: str, allow: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether mail may be sent to this IP address: a public one, or one inside a network of ``allow``.

    A stranger names the host that his domain's mail goes to, so a name that leads to a private address would let him
    reach into our own network. An IPv6 address that carries an IPv4 one is judged by both. Text that is no address is
    not permitted.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    forms = [parsed, *_embedded(parsed)]
    if any(form in network for form in forms for network in allow if form.version == network.version):
        return True
    return all(_public(form) for form in forms)


def _public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and _embedded(address):
        return True  # judged by the address inside
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_loopback or address.is_unspecified
    )


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return list(address.teredo)
    carries = any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1)
    return [IPv4Address(int(address) & 0xFFFFFFFF)] if carries else []
