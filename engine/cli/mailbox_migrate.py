"""`postroad mailbox migrate`: mail from another server, by IMAP, of one account or of many."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration, fail
from engine.cli.errors import Unusable
from engine.cli.owner import with_mailboxes
from engine.cli.progress import progress
from engine.cli.reading import name_of
from engine.directory import Account, Directory
from engine.exchange.store import Store
from engine.mailbox import Quotas
from engine.migration import (
    LARGEST,
    Choice,
    Denied,
    Left,
    Login,
    Lost,
    Pace,
    Progress,
    Security,
    Seen,
    Server,
    SignInRefused,
    Wishes,
    server_at,
)
from engine.observe.visible import on_one_line, visible
from engine.operations import migrating
from engine.operations.migrating import ForAll, Means, Sheet, Task
from engine.operations.sheets import LineMistake
from engine.units import Duration, Size

SECRET = "POSTROAD_MIGRATE_PASSWORD"
"""The variable that may have the password, or the token."""

NAMED = 20
"""Messages that were not taken, of each account, that are shown; of more, the number."""


def _unit(kind: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str], Any]:
    def read(_: click.Context, __: click.Parameter, value: str) -> Any:
        try:
            return kind(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


@click.command()
@click.argument("address", required=False)
@click.option("--from", "source", default="", metavar="SERVER", help="imaps://HOST, or imap://HOST for STARTTLS.")
@click.option("--user", default="", help="Whose mail it is, as the server knows them. Without it: ADDRESS.")
@click.option("--master", default="", metavar="NAME", help="Who logs in, if it is somebody who may read others' mail.")
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), help="Its content is the password.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--token", is_flag=True, help="What is given is no password, but a token of OAuth.")
@click.option("--csv", "sheet", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Many accounts.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Accounts at once.")
@click.option("--folder", "only", multiple=True, metavar="NAME", help="Only this one; * and ? stand for others.")
@click.option("--exclude", multiple=True, metavar="NAME", help="Not this one.")
@click.option("--into", default="", metavar="FOLDER", help="Put all below this mailbox.")
@click.option("--flags", is_flag=True, help="Bring the flags of what came earlier up to date too.")
@click.option("--largest", default=str(LARGEST), callback=_unit(Size), metavar="SIZE", help="Of a message: 100 MB.")
@click.option("--rate", default="0", callback=_unit(Size), metavar="SIZE", help="Octets a second, of all together.")
@click.option(
    "--patience",
    default="1h",
    callback=_unit(Duration),
    metavar="TIME",
    help="Give up after so long without a message.",
)
@click.option("--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Authorities to be believed.")
@click.option("--cleartext", is_flag=True, help="Say the password in the clear, if the server offers no STARTTLS.")
@click.option("--dry-run", is_flag=True, help="Only sign in, and show the folders and where they would go.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def migrate(ctx: click.Context, /, *, address: str | None, sheet: Path | None, as_json: bool, **said: Any) -> None:
    """Take the mail of ADDRESS from another server, by IMAP. The server may run.

    What has come is not taken twice: broken off, or to take what is new, give it again. Nothing is changed there. A
    password is read from a file, from standard input, from the variable POSTROAD_MIGRATE_PASSWORD, or asked for. With
    --csv the file's first line names columns: address, and as is needed server, user, password, password_file, master.
    """
    if bool(address) == bool(sheet):
        raise click.UsageError("give an ADDRESS, or --csv with a file of many")
    server = _server(said)
    login = _login(address or "", said, needed=sheet is None)
    with opening.whichever(ctx) as directory:
        at = partial(_at, trust=said["ca"], cleartext=said["cleartext"])
        parsed = (
            _parsed(sheet, ForAll(server, login, at, sheet.parent)) if sheet else _single(address or "", server, login)
        )
        pairs = _pairs(directory, parsed, sheet, as_json=as_json)
        wishes = Wishes(
            Choice(said["only"], said["exclude"]), name_of(said["into"], "--into"), int(said["largest"]),
            flags=said["flags"], patience=float(said["patience"]),
        )  # fmt: skip
        pace = Pace(int(said["rate"]))
        if said["dry_run"]:
            _look(ctx, directory, pairs, wishes, as_json=as_json)
        else:
            _migrate(ctx, directory, pairs, (wishes, pace, said["parallel"]), as_json=as_json)


def _server(said: dict[str, Any]) -> Server | None:
    if not said["source"]:
        return None
    try:
        server, user = _at(said["source"], trust=said["ca"], cleartext=said["cleartext"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from None
    said["user"] = said["user"] or user
    return server


def _at(text: str, *, trust: Path | None, cleartext: bool) -> tuple[Server, str]:
    """ValueError."""
    server, user = server_at(text)
    security = Security.CLEAR if cleartext and server.security is Security.STARTTLS else server.security
    return dataclasses.replace(server, security=security, trust=trust), user


def _login(address: str, said: dict[str, Any], *, needed: bool) -> Login | None:
    """Who we are there. Without a password, as a file of many may have them, there is none."""
    try:
        if said["password_file"]:
            secret = migrating.secret_in(said["password_file"])
        elif said["password_stdin"]:
            secret = migrating.kept(sys.stdin.buffer.read().decode(errors="replace").rstrip("\r\n"))
        elif SECRET in os.environ:
            secret = migrating.kept(os.environ[SECRET])
        elif needed and sys.stdin.isatty():
            secret = migrating.kept(str(click.prompt("Password there", hide_input=True)))
        elif needed:
            raise click.UsageError(f"no password: give --password-file, --password-stdin, or the variable {SECRET}")
        else:
            return None
    except OSError as error:
        fail(f"{said['password_file']}: {error.strerror}")
    return Login(said["user"] or address, secret, said["master"], said["token"])


def _single(address: str, server: Server | None, login: Login | None) -> Sheet:
    if server is None or login is None:
        raise click.UsageError("--from names the server that the mail is on")
    return Sheet((Task(address, server, login),), ())


def _parsed(path: Path, said: ForAll) -> Sheet:
    if path.stat().st_mode & 0o044:
        click.echo(f"Warning: others can read {path}; chmod 600, if it has passwords.", err=True)
    with path.open(encoding="utf-8", newline="") as lines:
        try:
            return migrating.parsed(lines, said)
        except UnicodeDecodeError as error:
            raise Unusable(f"{path} is no UTF-8") from error


def _pairs(directory: Directory, sheet: Sheet, path: Path | None, *, as_json: bool) -> list[tuple[Account, Task]]:
    mistakes = migrating.checked(directory, opening.onlooker(), sheet)
    if mistakes:
        _refuse(path, mistakes, as_json=as_json)
    found = ((directory.account(task.address), task) for task in sheet.tasks)
    return [(account, task) for account, task in found if account is not None]


def _refuse(path: Path | None, mistakes: Sequence[LineMistake], *, as_json: bool) -> NoReturn:
    if as_json:
        tables.show_json({"mistakes": [{"line": one.line, "text": one.text} for one in mistakes]})
    for one in mistakes:
        click.echo(visible(f"{path}:{one.line}: {one.text}" if path else f"postroad: {one.text}"), err=True)
    if path:
        fail(f"{tables.counted(len(mistakes), 'mistake')}; nothing was done")
    sys.exit(1)


def _migrate(
    ctx: click.Context,
    directory: Directory,
    pairs: Sequence[tuple[Account, Task]],
    how: tuple[Wishes, Pace, int],
    *,
    as_json: bool,
) -> None:
    config, began = configuration(ctx), time.monotonic()
    wishes, pace, parallel = how
    by = opening.operator_of(config.server.data)

    async def work(store: Store) -> list[Progress]:
        quotas = Quotas(directory, lambda: store.mailboxes, config.quota)
        means = Means(store, quotas.limit, wishes, pace)
        with _bar(pairs) as told:
            return await migrating.all_migrated(means, by, pairs, parallel, told)

    done = with_mailboxes(ctx, work)
    if as_json:
        tables.show_json([{**msgspec.to_builtins(one), "seconds": round(time.monotonic() - began, 3)} for one in done])
    else:
        for one in done:
            _tell(one, began)
    if any(one.state != "done" or one.left for one in done):
        sys.exit(1)


@contextmanager
def _bar(pairs: Sequence[tuple[Account, Task]]) -> Iterator[Callable[[list[Progress]], None]]:
    what = pairs[0][0].address if len(pairs) == 1 else tables.counted(len(pairs), "account")
    with ExitStack() as stack:
        step = stack.enter_context(progress(f"migrate {what}", "messages"))
        yield lambda found: step(sum(one.seen for one in found), sum(one.total for one in found))


def _tell(one: Progress, began: float) -> None:
    for note in one.notes:
        click.echo(on_one_line(f"{one.address}: {note}"), err=True)
    for left in one.left[:NAMED]:
        click.echo(on_one_line(f"{one.address}: not taken: {_named(left)}: {left.why}"), err=True)
    if len(one.left) > NAMED:
        click.echo(f"{one.address}: and {len(one.left) - NAMED:,} more; --json has all", err=True)
    seconds = time.monotonic() - began
    rate = f", {one.taken / seconds:,.0f} a second" if one.taken else ""
    before = f", {one.before:,} had come before" if one.before else ""
    flags = f", the flags of {one.flags:,} brought up to date" if one.flags else ""
    click.echo(f"{tables.counted(one.taken, 'message')} taken into {one.address}{before}{flags}{rate}.")
    if one.state != "done":
        click.echo(on_one_line(f"postroad: {one.address}: {_ENDS[one.state]}: {one.why}"), err=True)


_ENDS = {
    "full": "it is full; make room, and give it again",
    "refused": "the source does not let us in",
    "failed": "broken off; give it again",
    "running": "broken off; give it again",
    "waiting": "broken off; give it again",
}


def _named(left: Left) -> str:
    if not left.uid:
        return left.folder
    received = f" of {tables.timestamp(left.received / 1000)}" if left.received else ""
    size = f", {left.size:,} octets" if left.size else ""
    return f"{left.folder}, UID {left.uid}{received}{size}"


def _look(
    ctx: click.Context,
    directory: Directory,
    pairs: Sequence[tuple[Account, Task]],
    wishes: Wishes,
    *,
    as_json: bool,
) -> None:
    config, rows = configuration(ctx), list[dict[str, object]]()

    async def work(store: Store) -> bool:
        means, well = Means(store, Quotas(directory, lambda: store.mailboxes, config.quota).limit, wishes), True
        for account, task in pairs:
            run = migrating.run_of(means, account, task)
            try:
                rows.extend(_row(account, seen) for seen in await run.looked())
            except (Lost, Denied, SignInRefused, OSError) as error:
                click.echo(on_one_line(f"postroad: {account.address}: {error}"), err=True)
                well = False
            for note in run.done.notes:
                click.echo(on_one_line(f"{account.address}: {note}"), err=True)
        return well

    well = with_mailboxes(ctx, work)
    tables.show(rows, ("account", "folder", "to", "messages"), as_json=as_json)
    if not well:
        sys.exit(1)


def _row(account: Account, seen: Seen) -> dict[str, object]:
    messages: object = "" if seen.messages is None else seen.messages
    return {"account": account.address, "folder": seen.folder, "to": seen.to, "messages": messages}
