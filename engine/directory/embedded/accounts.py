"""Accounts of the embedded directory."""

import time
from collections.abc import Iterable
from typing import Any

from engine.directory.addresses import a_label
from engine.directory.embedded.logins import Logins
from engine.directory.embedded.names import known_name, new_name, sender_of
from engine.directory.embedded.records import (
    LEAVER,
    RECORD,
    Name,
    Record,
    Transaction,
    account_of,
    admin_key,
    items,
    key_of,
    leaver_key,
    within,
)
from engine.directory.entries import Account
from engine.directory.errors import Invalid, NotFound
from engine.directory.roles import changed_roles, valid_role

MOST_GRANTS = 100
"""Of one account: the directory remembers them with it."""


class Accounts(Logins):
    """Who there is."""

    def accounts(self) -> list[Account]:
        """All accounts, those of closed domains too, by domain and name."""
        return [account_of(name, RECORD.decode(value)) for name, value in self._read(items, self._accounts)]

    def numbers(self, domain: str) -> list[int]:
        """The ids of all accounts of a domain."""
        return self._read(self._numbers, a_label(domain))

    def accounts_of(self, domain: str) -> list[Account]:
        """All accounts of a domain, by name."""
        found = self._read(lambda txn: list(within(txn, self._accounts, a_label(domain))))
        names = ((key.decode().partition("\0"), value) for key, value in found)
        return [account_of((local, of), RECORD.decode(value)) for (of, _, local), value in names]

    def _numbers(self, txn: Transaction, domain: str) -> list[int]:
        return [RECORD.decode(value).id for _, value in within(txn, self._accounts, domain)]

    def add_account(
        self, address: str, password: str | None = None, *, admin: bool = False, folder: int = 0
    ) -> Account:
        """A new account, which can log in if it has a password. Invalid, AlreadyThere; NotFound: no local domain.

        ``folder``: the number of the public folder to which its mail is to go.
        """
        name = new_name(address)
        self._read(self._check_free, name)  # says no before the password is hashed
        values = {"folder": folder} if password is None else {"folder": folder, **self._secrets(name, password)}
        return self._write(self._add_account, name, values, admin)

    def _add_account(self, txn: Transaction, name: Name, values: dict[str, Any], admin: bool) -> Account:
        self._check_free(txn, name)
        last = txn.get(b"account", db=self._counters)
        record = Record(int.from_bytes(last or b"", "big") + 1, time.time(), **values)
        txn.put(b"account", record.id.to_bytes(8, "big"), db=self._counters)
        self._put(txn, name, record)
        return self._change(txn, name, {"admin": True}) if admin else account_of(name, record)

    def remove_account(self, address: str, *, keep_mail: bool = False) -> Account:
        """Remove the account; its id is not used again. Unless ``keep_mail``, it is a leaver. NotFound."""
        return self._write(self._remove_account, known_name(address), keep_mail)

    def _remove_account(self, txn: Transaction, name: Name, keep_mail: bool) -> Account:
        record = self._record_or_error(txn, name)
        if not keep_mail:
            txn.put(leaver_key(record.id), b"", db=self._counters)
        txn.delete(key_of(name), db=self._accounts)
        txn.delete(admin_key(name, record), db=self._admins)
        return account_of(name, record)

    def leavers(self) -> list[int]:
        """The ids of removed accounts whose mail is to be erased."""
        return self._read(self._leavers)

    def _leavers(self, txn: Transaction) -> list[int]:
        return [int.from_bytes(key[-8:], "big") for key, _ in txn.cursor(self._counters) if key.startswith(LEAVER)]

    def left(self, account_id: int) -> None:
        """The mail of this leaver is gone, or going."""
        self._write(lambda txn: txn.delete(leaver_key(account_id), db=self._counters))

    def set_admin(self, address: str, admin: bool) -> Account:
        """Say whether the account gets the postmaster's mail of its domain. NotFound."""
        return self._write(self._change, known_name(address), {"admin": admin})

    def suspend(self, address: str, suspended: bool) -> Account:
        """Let nobody log in as the account, whatever they show, or let them again. NotFound.

        Its sessions in the pages end. Its mail comes as before.
        """
        return self._write(self._suspend, known_name(address), suspended)

    def _suspend(self, txn: Transaction, name: Name, suspended: bool) -> Account:
        now = time.time()
        if not suspended:
            return self._change(txn, name, {"suspended": 0.0})
        since = self._record_or_error(txn, name).suspended
        return self._change(txn, name, {"suspended": since or now, "changed": now})

    def set_roles(self, address: str, added: Iterable[str] = (), removed: Iterable[str] = ()) -> Account:
        """Let the account do more, or no longer: see engine/directory/roles.py. Invalid, NotFound."""
        come, gone = list(map(valid_role, added)), list(map(valid_role, removed))
        return self._write(self._set_roles, known_name(address), come, gone)

    def _set_roles(self, txn: Transaction, name: Name, added: list[str], removed: list[str]) -> Account:
        before = self._record_or_error(txn, name).roles
        for role in set(removed) - set(before):
            raise NotFound(f"{'@'.join(name)} does not have the role {role}")
        return self._change(txn, name, {"roles": changed_roles(before, added, removed)})

    def grant(
        self, address: str, added: Iterable[str], removed: Iterable[str] = (), *, on_behalf: bool = False
    ) -> Account:
        """Let the account send in other names, or no longer: addresses, or ``@domain`` for all of one.

        ``on_behalf``: with its own name in Sender alone. Invalid, NotFound. That a name is one of ours is not asked.
        """
        come, gone = list(map(sender_of, added)), set(map(sender_of, removed))
        return self._write(self._grant, known_name(address), come, gone, "on_behalf" if on_behalf else "send_as")

    def _grant(self, txn: Transaction, name: Name, added: list[str], removed: set[str], which: str) -> Account:
        before = getattr(self._record_or_error(txn, name), which)
        for sender in removed - set(before):
            who = "@".join(name)
            if which == "on_behalf":
                raise NotFound(f"{who} was not granted to send on behalf of {sender}")
            raise NotFound(f"{who} was not granted to send as {sender}")
        after = tuple(sender for sender in dict.fromkeys([*before, *added]) if sender not in removed)
        if len(after) > MOST_GRANTS:
            raise Invalid(f"an account may send in {MOST_GRANTS} other names at most; grant a whole domain")
        return self._change(txn, name, {which: after})
