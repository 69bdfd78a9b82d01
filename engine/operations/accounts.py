"""What operators do with accounts: who has a mailbox here, who may log in, and in whose name they may send."""

from collections.abc import Sequence

import msgspec

from engine.directory import SERVICES, Account, Directory, Embedded, Invalid, NotFound, a_label, totp
from engine.directory.roles import valid_role
from engine.lists import Lists
from engine.login import Guard
from engine.operations.moments import Moment, at, moment
from engine.operations.operator import Forbidden, Operator


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it is listed. ``folder``: the public folder that its mail goes to; 0: to its own mailboxes."""

    address: str
    id: int
    created: Moment
    admin: bool
    has_password: bool
    has_totp: bool
    send_as: tuple[str, ...]
    folder: int
    domain_is_local: bool
    suspended: bool = False
    on_behalf: tuple[str, ...] = ()

    @property
    def state(self) -> list[str]:
        """What is to be said of it, in words."""
        said = {"domain not local": not self.domain_is_local, "no password": not self.has_password}
        said |= {
            "suspended": self.suspended,
            "admin": self.admin,
            "totp": self.has_totp,
            "public folder": self.folder != 0,
        }
        return [word for word, holds in said.items() if holds]


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who gets mail for an address: an account with its ``id``, or an alias or a group with its ``targets``."""

    kind: str
    address: str
    id: int | None = None
    send_as: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


class AppPasswordRow(msgspec.Struct, frozen=True, kw_only=True):
    """An app password as it is listed. ``last_used``: null for never."""

    name: str
    scopes: tuple[str, ...]
    created: Moment
    last_used: Moment | None


class NewAppPassword(msgspec.Struct, frozen=True, kw_only=True):
    """An app password that was made, which is shown this once."""

    name: str
    scopes: tuple[str, ...]
    password: str


class NewTotp(msgspec.Struct, frozen=True, kw_only=True):
    """The secret of an authenticator, as the address that it reads (otpauth:), which is shown this once."""

    address: str
    uri: str


def add(
    directory: Embedded, by: Operator, address: str, password: str | None = None, *, admin: bool = False
) -> AccountRow:
    """A new account, which can log in if it has a password. Invalid, AlreadyThere; NotFound: no local domain.

    Blocks while the password is hashed, as all that takes one.
    """
    by.check(address)
    added = directory.add_account(address, _good(password), admin=admin)
    by.tell("account-added", address=added.address, account=added.id, admin=added.admin or None)
    return _row(directory, added)


def listed(directory: Embedded, by: Operator, domain: str = "") -> list[AccountRow]:
    """All accounts, or those of a domain, by domain and name; those of domains that are not local any more too."""
    if domain:
        by.check(domain)
    local, only = {found.name for found in directory.domains()}, a_label(domain)
    return [
        _shown(found, found.domain in local)
        for found in directory.accounts()
        if by.may(found.address) and only in ("", found.domain)
    ]


def shown(directory: Embedded, by: Operator, address: str) -> AccountRow:
    """One of them, in a domain that is local. NotFound."""
    return _row(directory, known(directory, by, address))


def known(directory: Directory, by: Operator, address: str) -> Account:
    """The account of exactly this address, in a domain that is local. NotFound."""
    by.check(address)
    found = directory.account(address)
    if found is None:
        raise NotFound(f"there is no account {address}; `postroad account list` shows those there are")
    return found


def find(directory: Directory, by: Operator, address: str) -> Found | None:
    """Who gets mail for an address, as the server finds it: also in a directory that another server keeps."""
    by.check(address)
    found = directory.find(address)
    if found is None:
        return None
    kind = type(found).__name__.lower()
    if isinstance(found, Account):
        return Found(kind=kind, address=found.address, id=found.id, send_as=found.send_as)
    return Found(kind=kind, address=found.address, targets=found.targets)


def remove(directory: Embedded, lists: Lists, by: Operator, address: str, *, keep_mail: bool = False) -> AccountRow:
    """Remove the account and its lists. Unless ``keep_mail`` its mail is to be erased: see ``mailboxes.erase``; what is
    not erased by then the server erases within the hour. NotFound.
    """
    _check_change(directory, by, address)
    local = directory.is_local(address.rpartition("@")[2])
    removed = directory.remove_account(address, keep_mail=keep_mail)
    lists.forget(removed.address)
    by.tell("account-removed", address=removed.address, account=removed.id, mail="kept" if keep_mail else "erased")
    return _shown(removed, local)


def set_password(directory: Embedded, by: Operator, address: str, password: str) -> AccountRow:
    """Give the account its password. Invalid, NotFound. Blocks."""
    _check_change(directory, by, address)
    return _changed(directory, by, directory.set_password(address, str(_good(password))), "password")


def set_admin(directory: Embedded, by: Operator, address: str, admin: bool) -> AccountRow:
    """Say whether the account gets the postmaster's mail of its domain. NotFound."""
    _check_change(directory, by, address)
    changed = directory.set_admin(address, admin)
    return _changed(directory, by, changed, "admin" if admin else "no admin")


def grant(
    directory: Embedded,
    by: Operator,
    address: str,
    added: Sequence[str],
    removed: Sequence[str] = (),
    *,
    on_behalf: bool = False,
) -> AccountRow:
    """Let the account send in other names, or no longer: addresses, or ``@domain`` for all of it; or ``on_behalf`` of
    these, with its own name in Sender (RFC 5322 3.6.2). Invalid, NotFound.
    """
    _check_change(directory, by, address)
    by.check(*added)
    changed = directory.grant(address, added, removed, on_behalf=on_behalf)
    if on_behalf:
        return _changed(directory, by, changed, f"sends on behalf of {', '.join(changed.on_behalf) or 'nobody'}")
    return _changed(directory, by, changed, f"sends as {', '.join(changed.send_as) or 'itself'}")


def suspend(directory: Embedded, by: Operator, address: str, suspended: bool) -> AccountRow:
    """Let nobody log in as the account, nor send as it, or let them again; its mail comes all the same. NotFound."""
    _check_change(directory, by, address)
    return _changed(directory, by, directory.suspend(address, suspended), "suspended" if suspended else "not suspended")


def set_roles(
    directory: Embedded, by: Operator, address: str, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Account:
    """Let the account do more in the pages, or no longer. Invalid, NotFound; Forbidden: roles beyond their own."""
    _check_change(directory, by, address)
    for role in map(valid_role, (*added, *removed)):
        if "@" in role:
            by.check(role)
        else:
            by.check_all()
    changed = directory.set_roles(address, added, removed)
    _changed(directory, by, changed, f"roles {', '.join(changed.roles) or 'none'}")
    return changed


def enable_totp(directory: Embedded, by: Operator, address: str) -> NewTotp:
    """Give the account a new secret for its authenticator: its mail programs need app passwords then. NotFound."""
    _check_change(directory, by, address)
    secret = totp.new_secret()
    changed = set_totp(directory, by, address, secret)
    return NewTotp(address=changed.address, uri=totp.uri(changed.address, secret))


def set_totp(directory: Embedded, by: Operator, address: str, secret: bytes) -> AccountRow:
    """The account's authenticator has this secret from now on. NotFound."""
    _check_change(directory, by, address)
    return _changed(directory, by, directory.set_totp(address, secret), "second factor")


def disable_totp(directory: Embedded, by: Operator, address: str) -> AccountRow:
    """Let the account log in by its password alone. NotFound."""
    _check_change(directory, by, address)
    return _changed(directory, by, directory.set_totp(address, None), "no second factor")


def add_app_password(
    directory: Embedded, by: Operator, address: str, name: str, scopes: Sequence[str] = ()
) -> NewAppPassword:
    """Make a password for one program of the account, good for some services, or for all. Invalid, AlreadyThere,
    NotFound.
    """
    _check_change(directory, by, address)
    scopes = tuple(scopes or SERVICES)
    password = directory.add_app_password(address, name, scopes)
    _changed(directory, by, known(directory, by, address), f"app password {name}")
    return NewAppPassword(name=name, scopes=scopes, password=password)


def app_passwords(directory: Embedded, guard: Guard, by: Operator, address: str) -> list[AppPasswordRow]:
    """The app passwords of the account, and when each was last used. NotFound."""
    by.check(address)
    found = directory.app_passwords(address)
    owner = directory.account(address)
    return [
        AppPasswordRow(
            name=one.name,
            scopes=one.services,
            created=at(one.created),
            last_used=moment(guard.last_use(owner.id, one.created)) if owner else None,
        )
        for one in found
    ]


def revoke_app_password(directory: Embedded, by: Operator, address: str, name: str) -> str:
    """Nobody logs in any more by the app password of that name; the name. NotFound."""
    _check_change(directory, by, address)
    revoked = directory.revoke_app_password(address, name)
    by.tell("account-changed", address=address, what=f"no app password {revoked.name}")
    return revoked.name


def _check_change(directory: Embedded, by: Operator, address: str) -> None:
    """Forbidden unless they may change the account, if there is such."""
    by.check(address)
    if found := directory.account(address):
        check_over(by, found)


def check_over(by: Operator, account: Account) -> None:
    """Forbidden unless they may change this account, and all that it has."""
    by.check(account.address)
    if not by.over(account):
        roles = ", ".join(account.roles)
        raise Forbidden(f"{account.address} has a role ({roles}), and {by.name} may change no such account")


def check_change(directory: Embedded, by: Operator, address: str) -> Account:
    """The account, in a domain that is local, if they may change it. NotFound, Forbidden."""
    _check_change(directory, by, address)
    return known(directory, by, address)


def _good(password: str | None) -> str | None:
    if password == "":
        raise Invalid("the password is empty")
    return password


def _changed(directory: Embedded, by: Operator, account: Account, what: str) -> AccountRow:
    by.tell("account-changed", address=account.address, what=what)
    return _row(directory, account)


def _row(directory: Embedded, account: Account) -> AccountRow:
    return _shown(account, directory.is_local(account.domain))


def _shown(account: Account, is_local: bool) -> AccountRow:
    return AccountRow(
        address=account.address,
        id=account.id,
        created=at(account.created),
        admin=account.admin,
        has_password=account.has_password,
        has_totp=account.has_totp,
        send_as=account.send_as,
        folder=account.folder,
        domain_is_local=is_local,
        suspended=bool(account.suspended),
        on_behalf=account.on_behalf,
    )
