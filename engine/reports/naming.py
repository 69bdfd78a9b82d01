"""The names of addresses that sent mail, as far as the DNS vouches for them: a name counts if it has the address."""

from collections.abc import Iterable
from functools import partial
from itertools import islice

import trio

from engine.authentication import iprev
from engine.net.dns import Ask, side_by_side

MOST = 60
"""Addresses that are asked about at once: what a page shows first."""

LONGEST = 100
"""Characters of a name that are told: whoever has an address chooses it."""


async def names(ask: Ask, addresses: Iterable[str], seconds: float) -> dict[str, str]:
    """The name of each address that has one, of the first few, within so many seconds."""
    found: dict[str, str] = {}

    async def look(address: str) -> None:
        checked = await iprev.check(ask, address)
        if checked.name:
            found[address] = checked.name[:LONGEST]

    with trio.move_on_after(seconds):
        await side_by_side([partial(look, one) for one in islice(filter(None, dict.fromkeys(addresses)), MOST)])
    return found
