"""Entries of a list, and which of them a message meets: an address, a domain with all below it, or a network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple, TypeAlias

from engine.directory import Invalid, a_label, split, valid_address, valid_domain

Word: TypeAlias = Literal["allow", "block"]
ALLOW: Word = "allow"
BLOCK: Word = "block"


class Entry(NamedTuple):
    """An entry as it stands in a list."""

    word: Word
    text: str  # as it compares: "user@example.org", "example.org", "192.0.2.0/24"


class Identity(NamedTuple):
    """A name under which a message comes. ``proved``: that it is no forgery."""

    address: str
    proved: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a message is from, as far as lists look at it: its authors, its envelope's sender, the network."""

    identities: tuple[Identity, ...] = ()
    peer: str = ""  # IP address; empty: it began here


def entry_of(text: str) -> str:
    """An entry that somebody wrote, as it compares. Invalid."""
    text = text.strip().removeprefix("@")
    if "@" in text:
        name = split(valid_address(text))
        if name is None:
            raise Invalid(f"{text!r} is no address")
        return "@".join(name)
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return valid_domain(text)


class Level:
    """The entries of one list, made ready to be looked at."""

    def __init__(self, entries: Mapping[str, Word]) -> None:
        self.entries = entries
        self._prefixes: dict[int, list[int]] = {4: [], 6: []}  # of its networks, the longest first
        found = {(network.version, network.prefixlen) for network in map(_network, entries) if network is not None}
        for version, length in sorted(found, reverse=True):
            self._prefixes[version].append(length)

    def meets(self, sender: Sender) -> Entry | None:
        """The entry that counts: the most exact one, and of two that are as exact the one that blocks.

        An address is more exact than a domain, a longer domain than a shorter one, any of them than a network. One that
        allows an address or a domain counts only if it is proved that the message comes from there.
        """
        met = max(self._met(sender), default=None, key=lambda found: found[0])
        return met[1] if met else None

    def _met(self, sender: Sender) -> Iterator[tuple[tuple[int, int, bool], Entry]]:
        for address, proved in sender.identities:
            for rank, text in _names(address):
                word = self.entries.get(text)
                if word == BLOCK or (word == ALLOW and proved):
                    yield (*rank, word == BLOCK), Entry(word, text)
        for length, text in self._networks(sender.peer):
            if word := self.entries.get(text):
                yield (0, length, word == BLOCK), Entry(word, text)

    def _networks(self, peer: str) -> Iterator[tuple[int, str]]:
        if not peer or not any(self._prefixes.values()):
            return
        try:
            address = ip_address(peer)
        except ValueError:  # it came through a socket of this machine
            return
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        for length in self._prefixes[address.version]:
            yield length, str(ip_network((address, length), strict=False))


def _names(address: str) -> Iterator[tuple[tuple[int, int], str]]:
    """What an entry for this address may be, and how exact it would be."""
    name = split(address)
    domain = name[1] if name else a_label(address.rpartition("@")[2])
    if name:
        yield (2, 0), "@".join(name)
    labels = domain.split(".")
    for start in range(len(labels)):
        yield (1, len(labels) - start), ".".join(labels[start:])


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
