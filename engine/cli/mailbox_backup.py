"""`postroad mailbox backup` and `restore`: one mailbox, while it is in use."""

import time
from pathlib import Path

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration, fail
from engine.cli.owner import with_mailboxes
from engine.cli.progress import progress
from engine.cli.reading import account_of, name_of
from engine.directory import Account
from engine.exchange.backing_up import back_up
from engine.exchange.backup import Backup
from engine.exchange.backup_file import Damaged
from engine.exchange.files import safe
from engine.exchange.restoring import replace, restore_into, restore_whole
from engine.exchange.store import Store
from engine.operations.reading import reading


@click.command()
@click.argument("address", required=False)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--all", "folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False),
    help="Instead: every account, each into a file of its own in this folder.",
)  # fmt: skip
@config_option
@click.pass_context
def backup(ctx: click.Context, address: str | None, file: Path | None, folder: Path | None) -> None:
    """Write all that is in the mailbox of ADDRESS, at one moment, into FILE. The server may run."""
    if folder is None and address is not None and file is not None:
        _back_up(ctx, account_of(ctx, address), file)
        return
    if folder is None or address is not None:
        raise click.UsageError("give either an address and a file, or --all and a folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opening.opened(ctx) as directory:
        accounts = directory.accounts()
    for account in accounts:
        _back_up(ctx, account, folder / f"{safe(account.address)}.backup")


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
    owner, folder = account_of(ctx, address), name_of(into, "--into")
    account = owner.id
    try:
        saved = Backup.opened(file)
    except (Damaged, OSError) as error:
        fail(f"{file}: {error}; nothing was changed")
    if saved.gone:
        click.echo(f"{tables.counted(len(saved.gone), 'message')} went while the backup was made.", err=True)
    for section in sorted(saved.unknown):
        click.echo(f"Not put back: {section}, which only a newer Postroad knows.", err=True)
    if not into:
        _regrant(ctx, saved, owner)

    async def work(store: Store) -> int:
        with progress(f"restore {address}", "contents") as step:
            if into:
                return await restore_into(store, account, saved, folder, step=step)
            if replacing:
                return await replace(store, account, saved, owner=owner.address, step=step)
            return await restore_whole(store, account, saved, owner=owner.address, step=step)

    count = with_mailboxes(ctx, work)
    click.echo(f"{tables.counted(count, 'message')} of {tables.timestamp(saved.made)} put back.")


def _regrant(ctx: click.Context, saved: Backup, owner: Account) -> None:
    """Rights belong to accounts: who has an address only since then has none of those of the one before."""
    with opening.whichever(ctx) as directory:
        found = {address: directory.account(address) for address in saved.holders()}
    holders = {address: one.id for address, one in found.items() if one is not None and one.created < saved.made + 1}
    for address in sorted(found.keys() - holders.keys()):
        click.echo(f"Not put back: the rights of {address}, who is not here, or is another one by now.", err=True)
    holders.pop(owner.address, None)  # who has all rights
    saved.regrant(holders)


def _back_up(ctx: click.Context, account: Account, path: Path) -> None:
    began = time.monotonic()
    with reading(configuration(ctx)) as mailboxes, progress(f"back up {account.address}", "contents") as step:
        try:
            count, gone = back_up(mailboxes, account.id, account.address, path, step=step)
        except OSError as error:
            fail(f"{path}: {error.strerror}")
    lost = f", {gone:,} went meanwhile" if gone else ""
    seconds = time.monotonic() - began
    click.echo(f"{account.address}: {tables.counted(count, 'content')} in {seconds:.1f} s{lost}.")
