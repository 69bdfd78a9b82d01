"""What operators do with domains: those whose mail stays here."""

import msgspec

from engine.directory import Domain, Embedded, NotFound, a_label
from engine.operations.operator import Operator


class DomainRow(msgspec.Struct, frozen=True):
    """A local domain, as A-label; ``configured``: by pipeline.toml, where alone it can be taken away."""

    name: str
    configured: bool


def add(directory: Embedded, by: Operator, name: str) -> DomainRow:
    """Make a domain local. Invalid, AlreadyThere."""
    by.check(name)
    added = _row(directory.add_domain(name))
    by.tell("domain-added", domain=added.name)
    return added


def listed(directory: Embedded, by: Operator) -> list[DomainRow]:
    """All local domains: those of pipeline.toml in its order, then the others by name."""
    return [_row(found) for found in directory.domains() if by.may(found.name)]


def shown(directory: Embedded, by: Operator, name: str) -> DomainRow:
    """That one. NotFound."""
    by.check(name)
    found = next((one for one in directory.domains() if one.name == a_label(name)), None)
    if found is None:
        raise NotFound(f"{name} is no local domain")
    return _row(found)


def remove(directory: Embedded, by: Operator, name: str, *, force: bool = False) -> DomainRow:
    """Take back ``add``; one that is ``configured`` too stays local. With ``force`` its accounts and aliases are kept,
    but get no mail and cannot log in. NotFound, InUse.
    """
    by.check(name)
    removed = _row(directory.remove_domain(name, force=force))
    by.tell("domain-removed", domain=removed.name)
    return removed


def _row(domain: Domain) -> DomainRow:
    return DomainRow(domain.name, domain.configured)
