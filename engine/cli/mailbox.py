"""`postroad mailbox`: what is in the mailboxes, and how removed mail comes back."""

import re
import time
from datetime import datetime
from functools import partial

import click
import trio

from engine.cli import erasing, opening, tables
from engine.cli.changing import changed, running
from engine.cli.configured import config_option, configuration, fail, failing
from engine.cli.delegates import let, people
from engine.cli.mailbox_backup import backup, restore
from engine.cli.mailbox_exchange import export, import_
from engine.cli.mailbox_migrate import migrate
from engine.cli.reading import account_of, name_of
from engine.cli.sharing import acl, share, unshare
from engine.cli.workers import ask
from engine.index.progress import progress
from engine.links.request import Unanswered
from engine.mailbox import MailboxOwner
from engine.operations import mailboxes
from engine.operations.reading import reading
from engine.runtime.places import INDEX
from engine.runtime.services import REBUILD
from engine.runtime.state import State
from engine.units import Duration

PATIENCE = 600
"""Seconds for the owner of the mailboxes to bring back very much."""


@click.group()
def mailbox() -> None:
    """The mailboxes: what they hold, mail that was removed from them, who shares them, and the way in and out."""


for _command in (export, import_, migrate, backup, restore, share, unshare, acl, people, let):
    mailbox.add_command(_command)


@mailbox.command()
@click.argument("address")
@click.option("--folder", default="", help="Only what was in this mailbox: INBOX, Archive/2026.")
@click.option("--since", default="", metavar="TIME", help="Only what was removed since then: 2h, 3d, 2026-03-01T12:00.")
@config_option
@click.pass_context
def undelete(ctx: click.Context, address: str, folder: str, since: str) -> None:
    """Bring removed mail back into its mailbox, as new messages. The server must be running."""
    account, by = account_of(ctx, address), opening.operator_of(configuration(ctx).server.data)
    change = partial(changed, configuration(ctx), seconds=PATIENCE)
    with failing():
        count = mailboxes.undelete(change, by, account, since=_milliseconds(since), folder=name_of(folder, "--folder"))
    click.echo(f"{tables.counted(count, 'message')} brought back.")


@mailbox.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def usage(ctx: click.Context, address: str, as_json: bool) -> None:
    """Show how much each mailbox of an account holds, and how much removed mail is kept. Sizes are octets."""
    config = configuration(ctx)
    account = account_of(ctx, address)
    found = mailboxes.usage(partial(reading, config), opening.onlooker(), account)
    rows: list[dict[str, object]] = [
        {"mailbox": one.name, "messages": one.messages, "unseen": one.unseen, "size": one.size} for one in found.folders
    ]
    rows.append({"mailbox": "(all)", "messages": found.messages, "unseen": "", "size": found.size})
    rows.append({"mailbox": "(removed, kept)", "messages": found.kept, "unseen": "", "size": found.kept_size})
    tables.show(rows, ("mailbox", "messages", "unseen", "size"), as_json=as_json)


@mailbox.command()
@click.argument("address", required=False)
@click.option("--rebuild", is_flag=True, help="Throw it away, and build it anew. The server must be running.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def index(ctx: click.Context, address: str | None, rebuild: bool, as_json: bool) -> None:
    """Show how far the index is from which IMAP answers; of one account, or of all. Sizes are octets."""
    config = configuration(ctx)
    account = account_of(ctx, address).id if address else None
    if rebuild:
        server = running(config)
        if INDEX not in server.lives:
            fail("the server builds no index: it does not listen for IMAP")
        try:
            ask(server, INDEX, REBUILD, REBUILD, account)
        except Unanswered as error:
            fail(str(error))
        click.echo(f"The index of {address or 'all accounts'} is being built anew.")
        return
    with reading(config) as opened:
        found = progress(opened, config.server.data / "index", account)
    if as_json:
        tables.show([found._asdict()], (), as_json=True)
        return
    there = tables.counted(found.messages, "message")
    say = (
        f"{found.known:,} of {there} are in the index" if found.known < found.messages else f"All of {there} are in it"
    )
    click.echo(f"{say}; {'its words take' if address else 'it takes'} {found.size:,} octets of disk.")


@mailbox.command()
@click.argument("number", type=click.IntRange(min=1))
@click.option("--yes", is_flag=True, help="Do not ask, on a terminal, whether it is to go.")
@config_option
@click.pass_context
def erase(ctx: click.Context, number: int, yes: bool) -> None:
    """Erase for ever all of the account NUMBER, which was removed before. The server may run.

    For what `postroad account remove --keep-mail` has kept, and for accounts of a directory that another server keeps.
    Nothing is delivered to the number any more: its directory must not give it to anybody else.
    """
    if configuration(ctx).directory is None:
        with opening.opened(ctx) as directory, failing():
            mailboxes.check_free(directory, opening.onlooker(), number)
    if not yes:
        erasing.confirm(ctx, number, f"the account {number}")
    click.echo(erasing.erase(ctx, number))


@mailbox.command()
@config_option
@click.pass_context
def restored(ctx: click.Context) -> None:
    """Say that the mailboxes were put back from a backup, before the server runs on them.

    Mail that comes from now on gets no number that clients have seen before.
    """
    config = configuration(ctx)

    async def renumber() -> int:
        with MailboxOwner(config.server.data / "mailbox", map_size=config.mailboxes.map_size) as owner:
            return await owner.restored()

    State(config.server.data).take()  # until this process ends: no server starts meanwhile
    count = trio.run(renumber)
    click.echo(f"The mailboxes of {tables.counted(count, 'account')} go on with numbers that nobody has seen.")


@mailbox.command()
@config_option
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Count everything in the mailboxes anew, and say what does not agree. The server may run."""
    with reading(configuration(ctx)) as opened:
        problems = opened.verify()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        fail(f"{tables.counted(len(problems), 'contradiction')}; stop the server, and keep a copy of its data folder")
    click.echo("no contradiction.")


def _milliseconds(text: str) -> int:
    """A time as Unix milliseconds: so long ago, or a date of ISO 8601 in the zone of this machine."""
    if not text:
        return 0
    try:
        if re.fullmatch(r"[\d.\smhdws]+", text):
            return int((time.time() - Duration(text)) * 1000)
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write it like 2h, 3d or 2026-03-01T12:00", param_hint="--since"
        ) from None
