"""Who may log in by the embedded directory: passwords, app passwords, keys for SCRAM, and the second factor."""

import contextlib
import hmac
import os
import time
from collections.abc import Iterable
from typing import Any

from engine.directory import passwords, totp
from engine.directory.addresses import is_bare_postmaster, split
from engine.directory.embedded.names import known_name
from engine.directory.embedded.records import (
    Key,
    Name,
    Record,
    StoredAppPassword,
    Totp,
    Transaction,
    account_of,
    app_password_of,
    is_outdated,
    key_of,
    keys_of,
)
from engine.directory.embedded.rows import Rows
from engine.directory.entries import SERVICES, Account, AppPassword, Login
from engine.directory.errors import AlreadyThere, Invalid, NotFound, Unavailable
from engine.protocols import scram

MOST_APP_PASSWORDS = 50
"""Of one account: each is tried at a login by SCRAM."""

_APP_NAME = 64
"""Characters of the name of an app password."""


class Logins(Rows):
    """What proves who one is."""

    def verify(self, address: str, password: str) -> Account | None:
        """The account, if ``password`` is its own. Takes as long when there is none (see passwords.PROFILE). Blocks."""
        name, record = self._stored(address)
        stored = record.password if record else ""
        good = passwords.matches(stored or passwords.DUMMY, password)
        if not good or not stored or not name or not record or record.suspended:
            return None
        if not self._read_only and is_outdated(record):
            # A full disk is no reason to refuse the right password; the next login tries again.
            with contextlib.suppress(Unavailable):
                self._write(self._renew, name, stored, self._secrets(name, password))
        return account_of(name, record)

    def recalls(self, address: str, password: str) -> bool:
        """Whether ``verify`` would say yes and take no time: the password was right a moment ago, and is still."""
        _, record = self._stored(address)
        if (
            record is None
            or record.suspended
            or not record.password
            or not passwords.is_proven(record.password, password)
        ):
            return False
        return self._read_only or not is_outdated(record)

    def _renew(self, txn: Transaction, name: Name, stored: str, secrets: dict[str, Any]) -> None:
        # A password that was changed meanwhile stands.
        record = self._record(txn, name)
        if record and record.password == stored:
            self._change(txn, name, secrets)

    def keys(self, address: str, service: str = "", *, main: bool = True) -> scram.Keys:
        """What may prove a login to ``service`` by SCRAM (RFC 5802): keys that nothing fits where nothing may.

        They are those of the account's app passwords, and with ``main`` of its password. The salt belongs to the name,
        whether there is such an account or not, so that nobody can tell by it. Accounts whose password was set before
        SCRAM was known cannot log in so until it has been checked by ``verify``.
        """
        name, record = self._stored(address)
        found = tuple(scram.Key(key.stored, key.server) for key, _ in keys_of(record, service, main=main))
        nothing = scram.Key(os.urandom(32), os.urandom(32))
        return scram.Keys(self._salt(name or (address.lower(), "")), scram.ITERATIONS, found or (nothing,))

    def proven(self, address: str, key: scram.Key, service: str = "", *, main: bool = True) -> Login | None:
        """The login, if ``key`` is one of those that ``keys`` gives for it."""
        name, record = self._stored(address)
        for known, app_password in keys_of(record, service, main=main):
            if name and record and (known.stored, known.server) == (key.stored, key.server):
                return Login(account_of(name, record), app_password)
        return None

    def verify_app_password(self, address: str, password: str, service: str) -> Login | None:
        """The login, if ``password`` is an app password of the account that is good for ``service``. Does not block."""
        name, record = self._stored(address)
        for one in record.app_passwords if record and not record.suspended else ():
            if name and record and service in one.services and passwords.same(one.digest, password):
                return Login(account_of(name, record), app_password_of(one))
        return None

    def set_password(self, address: str, password: str) -> Account:
        """Give the account its password. Invalid, NotFound. Blocks."""
        name = known_name(address)
        self._read(self._record_or_error, name)
        return self._write(self._change, name, {**self._secrets(name, password), "changed": time.time()})

    def _stored(self, address: str) -> tuple[Name | None, Record | None]:
        """The name that an address is, and the record of its account; None for what is not there, or not local."""
        name = self._name(address)
        return name, self._read(self._local_record, name) if name else None

    def _name(self, address: str) -> Name | None:
        if is_bare_postmaster(address):
            first = self._read(self._first_domain)
            return ("postmaster", first) if first else None
        return split(address)

    def _local_record(self, txn: Transaction, name: Name) -> Record | None:
        return self._record(txn, name) if self._is_local(txn, name[1]) else None

    def _secrets(self, name: Name, password: str) -> dict[str, Any]:
        """What a record keeps of the password. Blocks."""
        return {"password": passwords.hashed(password), "scram": self._key(name, password)}

    def _key(self, name: Name, password: str) -> Key:
        made = scram.key(password, self._salt(name), scram.ITERATIONS)
        return Key(scram.ITERATIONS, made.stored, made.server)

    def _salt(self, name: Name) -> bytes:
        """The name's own, and the same for ever: RFC 5802 wants one that no other server has."""
        return hmac.digest(self._secret, key_of(name), "sha256")[:16]

    # The second factor

    def set_totp(self, address: str, secret: bytes | None) -> Account:
        """From now on a login wants a code that is made from ``secret`` (RFC 6238), or none. NotFound."""
        changes = {"totp": Totp(secret) if secret else None, "changed": time.time()}
        return self._write(self._change, known_name(address), changes)

    def verify_totp(self, address: str, code: str) -> bool:
        """Whether this is the code of now; each counts once. False for who has no second factor. NotFound."""
        return self._write(self._use_totp, known_name(address), code)

    def _use_totp(self, txn: Transaction, name: Name, code: str) -> bool:
        found = self._record_or_error(txn, name).totp
        step = totp.matching_step(found.secret, code, time.time(), found.used) if found else None
        if found is None or step is None:
            return False
        self._change(txn, name, {"totp": Totp(found.secret, step)})
        return True

    # App passwords

    def app_passwords(self, address: str) -> list[AppPassword]:
        """All of the account. NotFound."""
        return [app_password_of(one) for one in self._read(self._record_or_error, known_name(address)).app_passwords]

    def add_app_password(self, address: str, name: str, services: Iterable[str] = SERVICES) -> str:
        """A new password for some SERVICES, which is told this once. NotFound, AlreadyThere, Invalid. Blocks."""
        account, wanted = known_name(address), tuple(dict.fromkeys(services))
        if not name.isprintable() or not 0 < len(name.strip()) <= _APP_NAME:
            raise Invalid(f"the name of an app password has 1 to {_APP_NAME} printable characters")
        if not wanted or not set(wanted) <= set(SERVICES):
            raise Invalid(f"an app password is for one or more of {', '.join(SERVICES)}")
        password = passwords.generated()
        key = self._key(account, password)
        added = StoredAppPassword(name.strip(), time.time(), wanted, passwords.digest(password), key)
        self._write(self._add_app_password, account, added)
        return password

    def _add_app_password(self, txn: Transaction, name: Name, added: StoredAppPassword) -> None:
        before = self._record_or_error(txn, name).app_passwords
        if any(one.name == added.name for one in before):
            raise AlreadyThere(f"there is an app password {added.name} already; revoke it first")
        if len(before) >= MOST_APP_PASSWORDS:
            raise Invalid(f"an account has {MOST_APP_PASSWORDS} app passwords at most; revoke one first")
        self._change(txn, name, {"app_passwords": (*before, added)})

    def revoke_app_password(self, address: str, name: str) -> AppPassword:
        """Nobody logs in by it any more; whoever has, stays. NotFound."""
        return self._write(self._revoke_app_password, known_name(address), name)

    def _revoke_app_password(self, txn: Transaction, name: Name, revoked: str) -> AppPassword:
        before = self._record_or_error(txn, name).app_passwords
        gone = next((one for one in before if one.name == revoked), None)
        if gone is None:
            raise NotFound(f"no such app password: {revoked}; postroad account app-password list shows those there are")
        self._change(txn, name, {"app_passwords": tuple(one for one in before if one is not gone)})
        return app_password_of(gone)
