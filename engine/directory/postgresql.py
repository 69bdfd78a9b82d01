"""The directory of a PostgreSQL database: all is found by queries, which an operator may write."""

import hmac
import os
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from engine.config import Postgresql as Settings
from engine.directory import passwords
from engine.directory.addresses import split, valid_address
from engine.directory.elsewhere import Elsewhere, limit
from engine.directory.entries import Account, Alias, Login
from engine.directory.errors import Invalid, Unavailable
from engine.directory.pool import Pool
from engine.directory.postgresql_connection import PostgresqlConnection, Row
from engine.protocols import scram


class PostgresqlDirectory(Elsewhere):
    """``secret`` is the file of what salts are made from for names that are none; it is made on the first need."""

    def __init__(
        self,
        settings: Settings,
        local_domains: Iterable[str] = (),
        *,
        secret: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, local_domains, clock)
        self._settings = settings
        self.holds_keys = settings.scram
        self._secret_path = secret
        self._pool = Pool(partial(PostgresqlConnection.open, settings, settings.password()), settings.connections)

    def close(self) -> None:
        self._pool.close()

    def knows_domain(self, domain: str) -> bool:
        query = self._settings.domain_query
        return bool(query and self._rows(query, {"domain": domain}))

    def look_up(self, local: str, domain: str) -> Account | Alias | None:
        address = f"{local}@{domain}"
        row = self._row(local, domain) if local else None
        if row:
            account = _account(row)
            return account if account.address == address else Alias(address, (account.address,))
        query = self._settings.alias_query
        targets = [row["target"] for row in self._rows(query, _values(local, domain))] if query else ()
        return Alias(address, tuple(map(_address, targets))) if targets else None

    def verify(self, address: str, password: str) -> Account | None:
        row = self._own_row(address)
        stored = row.get("password") if row else None
        good = passwords.matches(stored or passwords.DUMMY, password)
        return _account(row) if row and stored and good else None

    def keys(self, address: str, service: str = "", *, main: bool = True) -> scram.Keys:  # noqa: ARG002
        nothing = scram.Key(os.urandom(32), os.urandom(32))
        name = "@".join(split(address) or (address.lower(),)).encode("utf-8", "surrogatepass")
        keys = self._keys_of(address)
        if keys is None:
            return scram.Keys(hmac.digest(self._secret, name, "sha256")[:16], scram.ITERATIONS, (nothing,))
        return keys if main else scram.Keys(keys.salt, keys.iterations, (nothing,))

    def proven(self, address: str, key: scram.Key, service: str = "", *, main: bool = True) -> Login | None:  # noqa: ARG002
        row, keys = self._own_row(address), self._keys_of(address)
        return Login(_account(row)) if main and row and keys and key in keys.keys else None

    @cached_property
    def _secret(self) -> bytes:
        return _kept(self._secret_path)

    def _keys_of(self, address: str) -> scram.Keys | None:
        row = self._own_row(address)
        text = row.get("scram") if row else None
        if not text:
            return None
        try:
            return scram.parse_verifier(text)
        except ValueError as error:
            raise Unavailable(f"the keys of {address} cannot be read: {error}") from error

    def _own_row(self, address: str) -> Row | None:
        """The row of the account that has exactly this address."""
        name = self._name(address)
        row = self._row(*name) if name else None
        return row if row and name and _account(row).address == "@".join(name) else None

    def _row(self, local: str, domain: str) -> Row | None:
        rows = self._rows(self._settings.account_query, _values(local, domain))
        if len(rows) > 1:
            raise Unavailable(f"account_query finds {len(rows)} accounts for {local}@{domain}")
        if rows and not rows[0].keys() >= {"id", "address"}:
            raise Unavailable("account_query gives no id and address")
        return rows[0] if rows else None

    def _rows(self, query: str, values: dict[str, str]) -> list[Row]:
        return self._pool.run(lambda connection: connection.rows(query, values))


def _values(local: str, domain: str) -> dict[str, str]:
    return {"address": f"{local}@{domain}", "local": local, "domain": domain}


def _account(row: Row) -> Account:
    identity = row["id"]
    if not isinstance(identity, int) or not 0 < identity < 2**63:
        raise Unavailable(f"account_query gives the id {identity!r}; it is a positive number")
    return Account(
        identity,
        "@".join(split(_address(row["address"])) or ()),
        created=0.0,
        has_password=bool(row.get("password")),
        send_as=tuple(row.get("send_as") or ()),
        limit=limit(row["address"], row.get("quota_size"), row.get("quota_messages")),
    )


def _address(stored: Any) -> str:
    """An address as the database has it."""
    try:
        return valid_address(stored)
    except (Invalid, AttributeError) as error:
        raise Unavailable(f"the database has {stored!r} for an address") from error


def _kept(path: Path) -> bytes:
    """The secret in the file. Another process may make it at the same time: the first one counts."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        made.touch(mode=0o600)
        made.write_bytes(os.urandom(32))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"cannot use {path}: {error.strerror}") from error
