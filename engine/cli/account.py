"""`postroad account`: who has a mailbox here, and may log in."""

import sys
from typing import Any

import click

from engine.cli import erasing, opening, tables
from engine.cli.configured import config_option
from engine.cli.errors import Refused
from engine.cli.role import role
from engine.directory import SERVICES, SHORT, Account, passwords, totp


@click.group()
def account() -> None:
    """Accounts: who has a mailbox here, and may log in."""


account.add_command(role)

_password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it."
)


@account.command()
@click.argument("address")
@click.option("--admin", is_flag=True, help="The account gets the postmaster's mail of its domain.")
@_password_stdin
@config_option
@click.pass_context
def add(ctx: click.Context, address: str, admin: bool, password_stdin: bool) -> None:
    """Give ADDRESS a mailbox and a password."""
    password = _password(password_stdin)
    with opening.opened(ctx) as directory:
        added = directory.add_account(address, password, admin=admin)
    click.echo(f"Added the account {added.address}.")


@account.command(name="hash")
@_password_stdin
def hash_(password_stdin: bool) -> None:
    """Print what to store of a password in a database: the hash, and the keys of SCRAM."""
    password = _password(password_stdin)
    with opening.translated():
        click.echo(f"{passwords.hashed(password)}\n{passwords.verifier(password)}")


@account.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all accounts."""
    with opening.opened(ctx) as directory:
        local = {domain.name for domain in directory.domains()}
        rows = [_row(found, found.address.rpartition("@")[2] in local) for found in directory.accounts()]
    tables.show(rows, ("address", "id", "created", "state"), as_json=as_json)


@account.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def find(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show who gets mail for ADDRESS, as the server finds it: also in a directory that another server keeps."""
    with opening.whichever(ctx) as directory:
        found = directory.find(address)
    if found is None:
        raise Refused(f"nobody gets mail for {address} here")
    row: dict[str, Any] = {"kind": type(found).__name__.lower(), "address": found.address}
    row |= {"id": found.id, "send_as": found.send_as} if isinstance(found, Account) else {"targets": found.targets}
    tables.show([row], tuple(row), as_json=as_json)


@account.command()
@click.argument("address")
@click.option("--keep-mail", is_flag=True, help="Its mail stays on disk, until `postroad mailbox erase`.")
@click.option("--yes", is_flag=True, help="Do not ask, on a terminal, whether its mail is to go.")
@config_option
@click.pass_context
def remove(ctx: click.Context, address: str, keep_mail: bool, yes: bool) -> None:
    """Remove the account ADDRESS, and for ever all that it has: mail, scripts, and the rights that it gave or held.

    The server may run. `postroad mailbox backup` saves the mail before.
    """
    with opening.opened(ctx) as directory:
        found = directory.account(address)
    if found is not None and not keep_mail and not yes:
        erasing.confirm(ctx, found.id, found.address)
    with opening.opened(ctx) as directory:
        removed = directory.remove_account(address, keep_mail=keep_mail)
    with opening.lists(ctx) as lists:
        lists.forget(removed.address)
    if keep_mail:
        click.echo(f"Removed the account {removed.address}; its mailbox, number {removed.id}, stays on disk.")
        return
    click.echo(f"Removed the account {removed.address}. Its mailbox, number {removed.id}, is being erased.")
    erased = erasing.erase(ctx, removed.id)
    with opening.opened(ctx) as directory:
        directory.left(removed.id)
    click.echo(f"Erased {erased}.")


@account.command()
@click.argument("address")
@_password_stdin
@config_option
@click.pass_context
def passwd(ctx: click.Context, address: str, password_stdin: bool) -> None:
    """Set the password of ADDRESS."""
    password = _password(password_stdin)
    with opening.opened(ctx) as directory:
        changed = directory.set_password(address, password)
    click.echo(f"Set the password of {changed.address}.")


@account.command()
@click.argument("address")
@click.option("--revoke", is_flag=True, help="The account is no longer an administrator.")
@config_option
@click.pass_context
def admin(ctx: click.Context, address: str, revoke: bool) -> None:
    """Let ADDRESS get the postmaster's mail of its domain."""
    with opening.opened(ctx) as directory:
        changed = directory.set_admin(address, not revoke)
    click.echo(f"{changed.address} is {'no longer ' if revoke else ''}an administrator.")


@account.command()
@click.argument("address")
@click.argument("senders", metavar="SENDER...", nargs=-1, required=True)
@click.option("--revoke", is_flag=True, help="The account may no longer do so.")
@config_option
@click.pass_context
def grant(ctx: click.Context, address: str, senders: tuple[str, ...], revoke: bool) -> None:
    """Let ADDRESS send in the name of each SENDER: an address, or @example.org for all of a domain."""
    with opening.opened(ctx) as directory:
        changed = directory.grant(address, () if revoke else senders, senders if revoke else ())
    click.echo(f"{changed.address} may send as itself{''.join(f', {sender}' for sender in changed.send_as)}.")


@account.group()
def app_password() -> None:
    """App passwords: one for each program of an account, for some services alone."""


@app_password.command(name="add")
@click.argument("address")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SERVICES), help="What it is good for. [default: everything]"
)
@config_option
@click.pass_context
def add_app_password(ctx: click.Context, address: str, name: str, scopes: tuple[str, ...]) -> None:
    """Make a password for ADDRESS that one program gets, called NAME. It is shown this once."""
    with opening.opened(ctx) as directory:
        password = directory.add_app_password(address, name, scopes or SERVICES)
    click.echo(password)


@app_password.command(name="list")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_app_passwords(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show the app passwords of ADDRESS, and when each was last used."""
    with opening.opened(ctx) as directory, opening.open_guard(ctx) as guard:
        found = directory.app_passwords(address)
        owner = directory.account(address)
        rows = []
        for one in found:
            used = guard.last_use(owner.id, one.created) if owner else None
            rows.append(
                {
                    "name": one.name,
                    "scopes": list(one.services),
                    "created": tables.timestamp(one.created),
                    "last_used": tables.timestamp(used) if used else "",
                }
            )
    tables.show(rows, ("name", "scopes", "created", "last_used"), as_json=as_json)


@app_password.command()
@click.argument("address")
@click.argument("name")
@config_option
@click.pass_context
def revoke(ctx: click.Context, address: str, name: str) -> None:
    """Let nobody log in any more by the app password of ADDRESS that is called NAME."""
    with opening.opened(ctx) as directory:
        revoked = directory.revoke_app_password(address, name)
    click.echo(f"Revoked the app password {revoked.name} of {address}.")


@account.group(name="totp")
def totp_() -> None:
    """The second factor of the web login: codes of an authenticator (TOTP)."""


@totp_.command()
@click.argument("address")
@config_option
@click.pass_context
def enable(ctx: click.Context, address: str) -> None:
    """Give ADDRESS a secret for its authenticator. From now on mail programs need app passwords."""
    secret = totp.new_secret()
    with opening.opened(ctx) as directory:
        changed = directory.set_totp(address, secret)
    click.echo(totp.uri(changed.address, secret))


@totp_.command()
@click.argument("address")
@config_option
@click.pass_context
def disable(ctx: click.Context, address: str) -> None:
    """Let ADDRESS log in by its password alone again."""
    with opening.opened(ctx) as directory:
        changed = directory.set_totp(address, None)
    click.echo(f"{changed.address} has no second factor any more.")


def _row(found: Account, is_local: bool) -> dict[str, Any]:
    state = {"domain not local": not is_local, "no password": not found.has_password, "admin": found.admin}
    state |= {"totp": found.has_totp, "public folder": found.folder != 0}
    return {
        "address": found.address,
        "id": found.id,
        "created": tables.timestamp(found.created),
        "admin": found.admin,
        "has_password": found.has_password,
        "has_totp": found.has_totp,
        "send_as": found.send_as,
        "domain_is_local": is_local,
        "state": [word for word, holds in state.items() if holds],
    }


def _password(from_stdin: bool) -> str:
    password = _read_password() if from_stdin else _ask_password()
    if not password:
        raise click.UsageError("the password is empty")
    if len(password) < SHORT:
        click.echo(f"Warning: the password has fewer than {SHORT} characters.", err=True)
    return password


def _read_password() -> str:
    octets = sys.stdin.buffer.read()
    try:
        return octets.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise click.UsageError("the password on standard input is no UTF-8") from error


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password on; use --password-stdin")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="Again"))
