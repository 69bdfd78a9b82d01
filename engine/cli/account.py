"""`postroad account`: who has a mailbox here, and may log in."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import click

from engine.cli import erasing, opening, tables
from engine.cli.configured import config_option, fail
from engine.cli.errors import Refused, Unusable
from engine.cli.progress import progress
from engine.cli.role import role
from engine.directory import SERVICES, SHORT, passwords
from engine.observe.visible import visible
from engine.operations import accounts, importing
from engine.operations.accounts import AccountRow
from engine.operations.sheets import LineMistake


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
        added = accounts.add(directory, opening.operator(directory), address, password, admin=admin)
    click.echo(f"Added the account {added.address}.")


@account.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only look for mistakes, and say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def import_(ctx: click.Context, file: Path, dry_run: bool, as_json: bool) -> None:
    """Add the accounts in FILE: CSV whose first line names the columns, of which address must be there.

    The others are password (empty: nobody can log in until it is set), admin (yes, no), size and messages (the quota),
    and, with blanks between, send_as, aliases (which come to stand for the account) and groups (which it joins).
    Nothing is done while any line has a mistake. Was it broken off, give it again: what is there stays as it is.
    """
    with click.open_file(str(file), encoding="utf-8", errors="strict") as stream:
        sheet = importing.parsed(_readable(stream))
    with opening.opened(ctx) as directory:
        by = opening.operator(directory)
        mistakes = importing.checked(directory, by, sheet)
        if mistakes:
            _refuse(file, mistakes, as_json=as_json)
        if dry_run:
            done = importing.planned(directory, sheet)
        else:
            with progress("Adding", "accounts") as told:
                done = importing.take_in(directory, by, sheet, told=told)
    if as_json:
        tables.show_json({"added": done.added, "there": done.there, "dry_run": dry_run})
        return
    there = f", {done.there:,} were there" if done.there else ""
    click.echo(f"{tables.counted(done.added, 'account')} {'would be added' if dry_run else 'added'}{there}.")


def _readable(stream: IO[str]) -> Iterator[str]:
    try:
        yield from stream
    except UnicodeDecodeError as error:
        raise Unusable(f"the file is no UTF-8: {error.reason}") from error


def _refuse(file: Path, mistakes: Sequence[LineMistake], *, as_json: bool) -> NoReturn:
    """Show all of them, and end with exit code 1."""
    if as_json:
        tables.show_json({"mistakes": [{"line": one.line, "text": one.text} for one in mistakes]})
    for one in mistakes:
        click.echo(visible(f"{file}:{one.line}: {one.text}"), err=True)
    fail(f"{tables.counted(len(mistakes), 'mistake')}; nothing was changed")


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
        rows = [_row(found) for found in accounts.listed(directory, opening.onlooker())]
    tables.show(rows, ("address", "id", "created", "state"), as_json=as_json)


@account.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def find(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show who gets mail for ADDRESS, as the server finds it: also in a directory that another server keeps."""
    with opening.whichever(ctx) as directory:
        found = accounts.find(directory, opening.onlooker(), address)
    if found is None:
        raise Refused(f"nobody gets mail for {address} here")
    row: dict[str, Any] = {"kind": found.kind, "address": found.address}
    row |= {"targets": found.targets} if found.id is None else {"id": found.id, "send_as": found.send_as}
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
    with opening.opened(ctx) as directory, opening.lists(ctx) as lists:
        removed = accounts.remove(directory, lists, opening.operator(directory), address, keep_mail=keep_mail)
    if keep_mail:
        click.echo(f"Removed the account {removed.address}; its mailbox, number {removed.id}, stays on disk.")
        return
    click.echo(f"Removed the account {removed.address}. Its mailbox, number {removed.id}, is being erased.")
    what_came = erasing.erase(ctx, removed.id)
    with opening.opened(ctx) as directory:
        directory.left(removed.id)
    click.echo(what_came)


@account.command()
@click.argument("address")
@_password_stdin
@config_option
@click.pass_context
def passwd(ctx: click.Context, address: str, password_stdin: bool) -> None:
    """Set the password of ADDRESS."""
    password = _password(password_stdin)
    with opening.opened(ctx) as directory:
        changed = accounts.set_password(directory, opening.operator(directory), address, password)
    click.echo(f"Set the password of {changed.address}.")


@account.command()
@click.argument("address")
@click.option("--revoke", is_flag=True, help="The account is no longer an administrator.")
@config_option
@click.pass_context
def admin(ctx: click.Context, address: str, revoke: bool) -> None:
    """Let ADDRESS get the postmaster's mail of its domain."""
    with opening.opened(ctx) as directory:
        changed = accounts.set_admin(directory, opening.operator(directory), address, not revoke)
    click.echo(f"{changed.address} is {'no longer ' if revoke else ''}an administrator.")


@account.command()
@click.argument("address")
@click.option("--lift", is_flag=True, help="It can be used again.")
@config_option
@click.pass_context
def suspend(ctx: click.Context, address: str, lift: bool) -> None:
    """Let nobody log in or send as ADDRESS, by whatever way. Its mail comes all the same."""
    with opening.opened(ctx) as directory:
        changed = accounts.suspend(directory, opening.operator(directory), address, not lift)
    click.echo(f"{changed.address} is {'suspended' if changed.suspended else 'no longer suspended'}.")


@account.command()
@click.argument("address")
@click.argument("senders", metavar="SENDER...", nargs=-1, required=True)
@click.option("--on-behalf", is_flag=True, help="On behalf of them alone: Sender says who has sent it.")
@click.option("--revoke", is_flag=True, help="The account may no longer do so.")
@config_option
@click.pass_context
def grant(ctx: click.Context, address: str, senders: tuple[str, ...], on_behalf: bool, revoke: bool) -> None:
    """Let ADDRESS send in the name of each SENDER: an address, or @example.org for all of a domain.

    Who sends in a name writes it into From, and nothing else is to be seen. Who sends on behalf of it does so too, and
    stands in Sender: the server writes that field where a mail program does not.
    """
    with opening.opened(ctx) as directory:
        given, taken = ((), senders) if revoke else (senders, ())
        by = opening.operator(directory)
        changed = accounts.grant(directory, by, address, given, taken, on_behalf=on_behalf)
    if on_behalf:
        click.echo(f"{changed.address} may send on behalf of {', '.join(changed.on_behalf) or 'nobody'}.")
        return
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
        made = accounts.add_app_password(directory, opening.operator(directory), address, name, scopes)
    click.echo(made.password)


@app_password.command(name="list")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_app_passwords(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show the app passwords of ADDRESS, and when each was last used."""
    with opening.opened(ctx) as directory, opening.open_guard(ctx) as guard:
        found = accounts.app_passwords(directory, guard, opening.onlooker(), address)
    rows = [
        {
            "name": one.name,
            "scopes": list(one.scopes),
            "created": tables.timestamp(one.created),
            "last_used": tables.timestamp(one.last_used) if one.last_used else "",
        }
        for one in found
    ]
    tables.show(rows, ("name", "scopes", "created", "last_used"), as_json=as_json)


@app_password.command()
@click.argument("address")
@click.argument("name")
@config_option
@click.pass_context
def revoke(ctx: click.Context, address: str, name: str) -> None:
    """Let nobody log in any more by the app password of ADDRESS that is called NAME."""
    with opening.opened(ctx) as directory:
        revoked = accounts.revoke_app_password(directory, opening.operator(directory), address, name)
    click.echo(f"Revoked the app password {revoked} of {address}.")


@account.group(name="totp")
def totp_() -> None:
    """The second factor of the web login: codes of an authenticator (TOTP)."""


@totp_.command()
@click.argument("address")
@config_option
@click.pass_context
def enable(ctx: click.Context, address: str) -> None:
    """Give ADDRESS a secret for its authenticator. From now on mail programs need app passwords."""
    with opening.opened(ctx) as directory:
        made = accounts.enable_totp(directory, opening.operator(directory), address)
    click.echo(made.uri)


@totp_.command()
@click.argument("address")
@config_option
@click.pass_context
def disable(ctx: click.Context, address: str) -> None:
    """Let ADDRESS log in by its password alone again."""
    with opening.opened(ctx) as directory:
        changed = accounts.disable_totp(directory, opening.operator(directory), address)
    click.echo(f"{changed.address} has no second factor any more.")


def _row(found: AccountRow) -> dict[str, Any]:
    return {
        "address": found.address,
        "id": found.id,
        "created": tables.timestamp(found.created),
        "admin": found.admin,
        "has_password": found.has_password,
        "has_totp": found.has_totp,
        "send_as": found.send_as,
        "on_behalf": found.on_behalf,
        "domain_is_local": found.domain_is_local,
        "state": found.state,
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
