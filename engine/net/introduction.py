"""Connections that come by way of a proxy: from whom they are, by the PROXY protocol."""

from collections.abc import Iterable

import trio

from engine.net.connection import Connection, ConnectionLost
from engine.net.targets import Network, address_of
from engine.observe.events import event
from engine.protocols.proxy_protocol import Header, NoProxyHeader

_PATIENCE = 10.0
"""Seconds for a header, which comes in the first packet."""


async def introduced(connection: Connection, proxies: Iterable[Network], listener: str) -> bool:
    """Whether a connection can be served: one of a proxy must say whom it is from, who is then its peer.

    Who is in none of ``proxies`` speaks for itself, and is believed nothing.
    """
    peer = connection.peer
    if not peer or not any(address_of(peer) in network for network in proxies):
        return bool(peer)
    try:
        with trio.fail_after(_PATIENCE):
            source = await _source(connection)
    except (NoProxyHeader, ConnectionLost, trio.TooSlowError) as error:
        why = "no header in time" if isinstance(error, trio.TooSlowError) else str(error)
        event("proxy-refused", listener=listener, peer=peer, error=why)
        return False
    if source:
        connection.speaks_for(source)
    return True


async def _source(connection: Connection) -> str:
    header = Header()
    while header.proxied is None:
        data = await connection.receive(header.wanted)
        if not data:
            raise NoProxyHeader("it hung up")
        header.receive(data)
    return _plain(header.proxied.source)


def _plain(source: str) -> str:
    """An IPv4 address, where an IPv6 one stands for it."""
    mapped = getattr(address_of(source), "ipv4_mapped", None) if source else None
    return str(mapped) if mapped else source
