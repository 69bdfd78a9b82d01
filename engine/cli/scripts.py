"""`postroad sieve list|show|put|activate|remove`: the scripts of an account, in an administrator's hands."""

import sys
from pathlib import Path

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail
from engine.cli.errors import Refused
from engine.cli.owner import with_mailboxes
from engine.cli.reading import account_of
from engine.mailbox.commands import ActivateScript, AnyCommand, DeleteScript, Problem, PutScript
from engine.operations.reading import reading
from engine.sieve import ScriptError, compile_script
from engine.sorting.library import limits_of

_PROBLEMS = {
    Problem.NONEXISTENT: "there is no such script; `postroad sieve list` shows those there are",
    Problem.ACTIVE: "it is active; say --force, or activate another one",
    Problem.LIMIT: "the account has as many scripts as it may",
    Problem.OVERQUOTA: "there is no room for it: see [sieve] total_size",
    Problem.GONE: "the account is gone",
}


@click.command("list")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def listing(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show the scripts of an account: name, size in octets, whether it is active."""
    account = account_of(ctx, address)
    with reading(configuration(ctx)) as mailboxes:
        rows = [{"name": one.name, "size": one.size, "active": one.active} for one in mailboxes.scripts(account.id)]
    shown = rows if as_json else [row | {"active": "active" if row["active"] else ""} for row in rows]
    tables.show(shown, ("name", "size", "active"), as_json=as_json)


@click.command()
@click.argument("address")
@click.argument("name")
@config_option
@click.pass_context
def show(ctx: click.Context, address: str, name: str) -> None:
    """Print a script of an account."""
    account = account_of(ctx, address)
    with reading(configuration(ctx)) as mailboxes:
        text = mailboxes.script(account.id, name)
    if text is None:
        fail(_PROBLEMS[Problem.NONEXISTENT])
    sys.stdout.buffer.write(text)


@click.command()
@click.argument("address")
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Under which it is kept; else, that of the file without its ending.")
@click.option("--activate", "activates", is_flag=True, help="And make it the active one.")
@config_option
@click.pass_context
def put(ctx: click.Context, address: str, script: Path, name: str | None, activates: bool) -> None:
    """Give an account the script in a file, in place of one of that name."""
    config = configuration(ctx)
    account, name, text = account_of(ctx, address), name or script.stem, script.read_bytes()
    try:
        compile_script(text, limits_of(config.sieve))
    except ScriptError as error:
        raise Refused(f"{script}: {error}") from error
    sieve = config.sieve
    _do(ctx, PutScript(account=account.id, name=name, content=text, most=sieve.scripts, room=int(sieve.total_size)))
    if activates:
        _do(ctx, ActivateScript(account=account.id, name=name))


@click.command()
@click.argument("address")
@click.argument("name", required=False, default="")
@config_option
@click.pass_context
def activate(ctx: click.Context, address: str, name: str) -> None:
    """Make a script the active one of an account; without NAME, none."""
    _do(ctx, ActivateScript(account=account_of(ctx, address).id, name=name))


@click.command()
@click.argument("address")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if it is active: no script is, then.")
@config_option
@click.pass_context
def remove(ctx: click.Context, address: str, name: str, force: bool) -> None:
    """Remove a script of an account."""
    config, account = configuration(ctx), account_of(ctx, address)
    if force:
        with reading(config) as mailboxes:
            is_active = any(one.active for one in mailboxes.scripts(account.id) if one.name == name)
        if is_active:
            _do(ctx, ActivateScript(account=account.id, name=""))
    _do(ctx, DeleteScript(account=account.id, name=name))


def _do(ctx: click.Context, command: AnyCommand) -> None:
    problem = with_mailboxes(ctx, lambda store: store.change(command)).problem
    if problem is not None:
        fail(_PROBLEMS.get(problem, problem.value))


COMMANDS = {"list": listing, "show": show, "put": put, "activate": activate, "remove": remove}
