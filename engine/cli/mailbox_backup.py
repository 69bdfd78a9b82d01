"""`postroad mailbox backup` and `restore`: one mailbox, while it is in use."""

import time
from collections.abc import Callable
from pathlib import Path

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration, fail
from engine.cli.owner import with_mailboxes
from engine.cli.progress import progress
from engine.cli.reading import account_of, name_of, reading
from engine.directory import Account
from engine.exchange.backing_up import back_up
from engine.exchange.backup import Backup
from engine.exchange.backup_file import Damaged
from engine.exchange.restoring import replace, restore_into, restore_whole
from engine.exchange.store import Store


@click.command()
@click.argument("address", required=False)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="Every account, each into a file of its own in the folder FILE.")
@config_option
@click.pass_context
def backup(ctx: click.Context, address: str | None, file: Path, every: bool) -> None:
    """Write all that is in the mailbox of ADDRESS, at one moment, into FILE. The server may run."""
    if every == bool(address):
        raise click.UsageError("give either an address and a file, or --all and a folder")
    if not every:
        _back_up(ctx, [account_of(ctx, address or "")], lambda _: file)
        return
    file.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opening.opened(ctx) as directory:
        accounts = directory.accounts()
    _back_up(ctx, accounts, lambda account: file / f"{account.address}.backup")


@click.command()
@click.argument("address")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--into", default="", metavar="FOLDER", help="Put what is not there yet into folders below this one.")
@click.option("--replace", "replacing", is_flag=True, help="Make the mailbox what it was; what came since is removed.")
@config_option
@click.pass_context
def restore(ctx: click.Context, address: str, file: Path, into: str, replacing: bool) -> None:
    """Put the backup of a mailbox back: into an account that is new, or as an option says. The server may run."""
    if into and replacing:
        raise click.UsageError("give either --into or --replace")
    account, folder = account_of(ctx, address).id, name_of(into, "--into")
    try:
        saved = Backup.opened(file)
    except (Damaged, OSError) as error:
        fail(f"{file}: {error}; nothing was changed")
    if saved.gone:
        click.echo(f"{tables.counted(len(saved.gone), 'message')} went while the backup was made.", err=True)
    for section in sorted(saved.unknown):
        click.echo(f"Not put back: {section}, which only a newer Postroad knows.", err=True)

    async def work(store: Store) -> int:
        with progress(f"restore {address}", "contents") as step:
            if into:
                return await restore_into(store, account, saved, folder, step=step)
            if replacing:
                return await replace(store, account, saved, step=step)
            return await restore_whole(store, account, saved, step=step)

    count = with_mailboxes(ctx, work)
    click.echo(f"{tables.counted(count, 'message')} of {tables.timestamp(saved.made)} put back.")


def _back_up(ctx: click.Context, accounts: list[Account], path_for: Callable[[Account], Path]) -> None:
    with reading(configuration(ctx)) as mailboxes:
        for account in accounts:
            path, began = path_for(account), time.monotonic()
            try:
                with progress(f"back up {account.address}", "contents") as step:
                    count, gone = back_up(mailboxes, account.id, account.address, path, step=step)
            except OSError as error:
                fail(f"{path}: {error.strerror}")
            lost = f", {gone:,} went meanwhile" if gone else ""
            seconds = time.monotonic() - began
            click.echo(f"{account.address}: {tables.counted(count, 'content')} in {seconds:.1f} s{lost}.")
