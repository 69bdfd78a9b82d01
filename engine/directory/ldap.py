"""The directory of an LDAP server, such as OpenLDAP or Active Directory: found by search, logged in by bind."""

import hashlib
import os
import ssl
import time
from collections.abc import Callable, Iterable
from functools import partial

from engine.config import NOWHERE
from engine.config import Ldap as Settings
from engine.directory.addresses import split, valid_address
from engine.directory.elsewhere import Elsewhere, limit
from engine.directory.entries import Account, Alias, Group, Login
from engine.directory.errors import Invalid, Unavailable
from engine.directory.ldap_connection import LdapConnection
from engine.directory.pool import Pool
from engine.protocols import ldap, scram
from engine.protocols.ldap_filter import escaped, parse_filter

_ANYTHING = parse_filter("(objectClass=*)")

_TWO = 2
"""Entries that are asked for: one is wanted, and a second one shows that the filter is wrong."""


class LdapDirectory(Elsewhere):
    """Invalid, from the constructor, for a file that cannot be used."""

    checks = 10  # nothing is computed here: all of them wait for the server

    def __init__(
        self, settings: Settings, local_domains: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(settings, local_domains, clock)
        self._settings = settings
        self._tls = _trusting(settings)
        self._password = settings.bind_password()
        self._pool = Pool(self._connect, settings.connections)

    def close(self) -> None:
        self._pool.close()

    def knows_domain(self, domain: str) -> bool:  # noqa: ARG002
        """No: pipeline.toml says which domains are local."""
        return False

    def look_up(self, local: str, domain: str) -> Account | Alias | None:
        settings, address = self._settings, f"{local}@{domain}"
        entry = self._search(settings.account_filter, local, domain, self._of_accounts) if local else None
        if entry:
            return self._account_or_alias(entry, address)
        if not settings.group_filter:
            return None
        entry = self._search(settings.group_filter, local, domain, [settings.member_attribute])
        return Group(address, self._members(entry, address)) if entry else None

    def verify(self, address: str, password: str) -> Account | None:
        name = self._name(address)
        entry = self._search(self._settings.account_filter, *name, self._of_accounts) if name else None
        found = self._account_or_alias(entry, "@".join(name)) if entry and name else None
        account = found if isinstance(found, Account) else None
        # Who is unknown waits for the server as long as anybody else.
        dn = entry.dn if entry and account else f"cn=nobody,{self._settings.base}"
        return account if self._may_log_in(dn, password) else None

    def _may_log_in(self, dn: str, password: str) -> bool:
        # By a connection of its own: what is searched for by the others must never be seen with this one's eyes.
        connection = LdapConnection.open(self._settings, self._tls)
        try:
            return connection.bind(dn, password)
        finally:
            connection.close()

    def keys(self, *_: object, **__: object) -> scram.Keys:
        """Keys that nothing fits: the server shows us none."""
        return scram.Keys(os.urandom(16), scram.ITERATIONS, (scram.Key(os.urandom(32), os.urandom(32)),))

    def proven(self, *_: object, **__: object) -> Login | None:
        return None

    @property
    def _of_accounts(self) -> list[str]:
        settings = self._settings
        wanted = (
            settings.address_attribute, settings.id_attribute, settings.send_as_attribute, settings.quota_attribute,
            settings.quota_messages_attribute,
        )  # fmt: skip
        return [name for name in wanted if name]

    def _connect(self) -> LdapConnection:
        connection = LdapConnection.open(self._settings, self._tls)
        try:
            if self._settings.bind_dn and not connection.bind(self._settings.bind_dn, self._password):
                raise Unavailable(f"{', '.join(self._settings.servers)} does not let {self._settings.bind_dn} in")
        except BaseException:
            connection.close()
            raise
        return connection

    def _search(self, template: str, local: str, domain: str, attributes: list[str]) -> ldap.Entry | None:
        """The one entry that a filter of the settings finds."""
        base = self._settings.base
        wanted = parse_filter(filled(template, local, domain))
        found = self._pool.run(lambda connection: connection.search(base, ldap.SUBTREE, wanted, attributes, most=_TWO))
        if found is None:
            raise Unavailable(f"there is no {base} in the directory")
        if len(found) > 1:
            raise Unavailable(f"{local}@{domain} is both {found[0].dn} and {found[1].dn}")
        return found[0] if found else None

    def _account_or_alias(self, entry: ldap.Entry, address: str) -> Account | Alias:
        """An account by any of its own addresses; where the filter found it by another name, an alias for it."""
        settings = self._settings
        own = _addresses(entry.attributes.get(settings.address_attribute.lower(), ()))
        if not own:
            raise Unavailable(f"{entry.dn} has no {settings.address_attribute}")
        names = {"@".join(split(one) or ()) for one in own}
        if address not in names:
            return Alias(address, (min(names),))
        identity = entry.attributes.get(settings.id_attribute.lower())
        if not identity:
            raise Unavailable(f"{entry.dn} has no {settings.id_attribute}")
        send_as = _senders(entry.attributes.get(settings.send_as_attribute.lower(), ()))
        size, messages = (_text(entry, name) for name in (settings.quota_attribute, settings.quota_messages_attribute))
        return Account(number(identity[0]), address, created=0.0, send_as=send_as, limit=limit(address, size, messages))

    def _members(self, group: ldap.Entry, address: str) -> tuple[str, ...]:
        values = group.attributes.get(self._settings.member_attribute.lower(), ())
        found = _addresses(values) if self._settings.members == "address" else self._named(values)
        return tuple(one for one in dict.fromkeys(found) if "@".join(split(one) or ()) != address)

    def _named(self, names: Iterable[bytes]) -> list[str]:
        """The addresses of the entries of these names; one that is gone, or has none, is passed over."""
        found = []
        for name in names:
            for entry in self._pool.run(partial(self._named_entry, name.decode("utf-8", "replace"))) or ():
                found += sorted(_addresses(entry.attributes.get(self._settings.address_attribute.lower(), ())))[:1]
        return found

    def _named_entry(self, dn: str, connection: LdapConnection) -> list[ldap.Entry] | None:
        return connection.search(dn, ldap.BASE, _ANYTHING, [self._settings.address_attribute], most=1)


def filled(template: str, local: str, domain: str) -> str:
    """The filter for one name: ``{address}``, ``{local}`` and ``{domain}`` stand for its parts."""
    values = {"{address}": f"{local}@{domain}", "{local}": local, "{domain}": domain}
    for place, value in values.items():
        template = template.replace(place, escaped(value))
    return template


def number(identity: bytes) -> int:
    """The account's number, by what identifies its entry for ever: 63 bits of a hash, so that no table is needed.

    Among a million accounts two would share one with a chance of 1 to 18 million.
    """
    return int.from_bytes(hashlib.sha256(identity).digest()[:8], "big") >> 1


def _addresses(values: Iterable[bytes]) -> list[str]:
    """Those of the values that are addresses."""
    found = []
    for value in values:
        try:
            found.append(valid_address(value.decode()))
        except (Invalid, UnicodeDecodeError):
            continue
    return found


def _text(entry: ldap.Entry, attribute: str) -> str | None:
    """The first value of an attribute; None where there is none."""
    values = entry.attributes.get(attribute.lower(), ())
    return values[0].decode("utf-8", "replace") if values else None


def _senders(values: Iterable[bytes]) -> tuple[str, ...]:
    found = []
    for value in values:
        text = value.decode("utf-8", "replace").lower()
        found.append(text if text.startswith("@") else "@".join(split(text) or (text,)))
    return tuple(sorted(found))


def _trusting(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.trust if settings.trust != NOWHERE else None)
    except OSError as error:
        raise Invalid(f"cannot use {settings.trust}: {error}") from error
