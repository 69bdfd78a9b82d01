"""Addresses that one writes into the embedded directory, as the names that they compare by."""

from collections.abc import Iterable

from engine.directory.addresses import split, valid_address, valid_domain
from engine.directory.embedded.records import Name
from engine.directory.errors import Invalid


def new_name(address: str) -> Name:
    name = split(valid_address(address))
    if name is None:
        raise Invalid(f"{address!r} is no address")
    return name


def known_name(address: str) -> Name:
    name = split(address)
    if name is None:
        raise Invalid(f'{address!r} is no address; write it like "user@example.org"')
    return name


def targets_of(name: Name, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those whom ``name`` is to stand for. Invalid."""
    targets = tuple(dict.fromkeys(map(valid_address, addresses)))
    if any(split(target) == name for target in targets):
        raise Invalid(f"{'@'.join(name)} stands for itself")
    return targets


def sender_of(text: str) -> str:
    """A name to send in, as it compares. Invalid."""
    return "@" + valid_domain(text[1:]) if text.startswith("@") else "@".join(new_name(text))
