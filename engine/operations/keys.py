"""What operators do with the keys that sign our mail (DKIM): from their making to their removal."""

import time
from collections.abc import Sequence
from functools import partial

import msgspec

from engine.directory import AlreadyThere, InUse, Invalid, NotFound, valid_domain
from engine.net.dns import Ask, side_by_side
from engine.operations.moments import Moment, at, moment
from engine.operations.operator import Operator
from engine.signing import KeyStore, Standing, StoredKey
from engine.signing.publishing import record, record_name, take_up, unpublished, zone_line


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key: whether it waits to be published, signs, or is retired, and since when; ``removable``: from when on its
    record need not be published any more; null: it must be.
    """

    domain: str
    selector: str
    standing: str
    since: Moment
    removable: Moment | None


class KeyRecord(KeyRow, frozen=True, kw_only=True):
    """A key with the record that is to be published: its name, its text, and both as a zone file takes them.

    ``trouble``: why the DNS does not have it; empty: it has, or nobody has looked.
    """

    name: str
    text: str
    record: str
    trouble: str = ""

    @property
    def needed(self) -> bool:
        """Whether it must be published."""
        return self.removable is None or at(time.time()) < self.removable


def listed(store: KeyStore, by: Operator) -> list[KeyRow]:
    """All keys, in the order of domains."""
    return [_row(key) for key in store.find() if by.may(key.domain)]


def make(store: KeyStore, by: Operator, domain: str, name: str = "") -> list[KeyRecord]:
    """The next pair of keys for a domain, which waits to be published: ``NAME-rsa`` and ``NAME-ed25519``, else by the
    day. Invalid; AlreadyThere: a pair waits already.
    """
    by.check(domain)
    domain = valid_domain(domain)
    if waits(store, domain):
        raise AlreadyThere(f"keys of {domain} wait already; say `postroad dkim publish {domain}`")
    try:
        made = store.make(domain, name)
    except ValueError as error:
        raise Invalid(str(error)) from error
    by.tell("keys-made", domain=domain, selectors=[key.selector for key in made])
    return [_record(key) for key in made]


def waits(store: KeyStore, domain: str) -> bool:
    """Whether keys of the domain wait to be published."""
    return any(key.standing is Standing.WAITING for key in store.find(domain))


async def published(ask: Ask, store: KeyStore, by: Operator, domain: str) -> list[KeyRecord]:
    """The records that the DNS should have for the domain, and whether it has them. Invalid, NotFound."""
    by.check(domain)
    domain = valid_domain(domain)
    keys = store.find(domain)
    if not keys:
        raise NotFound(f"{domain} has no keys; say `postroad dkim new {domain}`")
    troubles = await side_by_side([partial(unpublished, ask, key.signer()) for key in keys])
    return [_record(key, trouble or "") for key, trouble in zip(keys, troubles, strict=True)]


async def put_in_force(ask: Ask | None, store: KeyStore, by: Operator, domain: str) -> list[KeyRow]:
    """Sign by the keys that wait, if all of them are published; without ``ask`` at once. InUse: they are not."""
    by.check(domain)
    domain = valid_domain(domain)
    taken = store.put_in_force(domain) if ask is None else await take_up(store, ask, domain)
    if not taken:
        raise InUse(f"not all of the keys that wait are published; say `postroad dkim publish {domain}`")
    _tell(by, domain, taken)
    return list(map(_row, taken))


def remove(store: KeyStore, by: Operator, domain: str, selector: str, *, force: bool = False) -> KeyRow:
    """Delete a key for good. Invalid, NotFound; InUse: it signs, or must stay published, and ``force`` is not said."""
    by.check(domain)
    domain = valid_domain(domain)
    key = next((key for key in store.find(domain) if key.selector == selector), None)
    if key is None:
        raise NotFound(f"{domain} has no key {selector}")
    if key.standing is Standing.SIGNING and not force:
        raise InUse(f"{selector} signs the mail of {domain}; say --force, or rotate first")
    if key.removable is not None and time.time() < key.removable and not force:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key.removable))
        raise InUse(f"{selector} must stay published until {until}; or say --force")
    store.remove(key)
    by.tell("key-removed", domain=domain, selector=selector)
    return _row(key)


def _tell(by: Operator, domain: str, keys: Sequence[StoredKey]) -> None:
    by.tell("keys-used", domain=domain, selectors=[key.selector for key in keys])


def _row(key: StoredKey) -> KeyRow:
    return KeyRow(
        domain=key.domain,
        selector=key.selector,
        standing=key.standing.value,
        since=at(key.since),
        removable=moment(key.removable),
    )


def _record(key: StoredKey, trouble: str = "") -> KeyRecord:
    signer = key.signer()
    return KeyRecord(
        **msgspec.structs.asdict(_row(key)),
        name=record_name(key.domain, key.selector),
        text=record(signer.key),
        record=zone_line(signer),
        trouble=trouble,
    )
