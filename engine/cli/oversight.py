"""`postroad oversight`: grants to look at people's mail, and mail taken out by them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec

from engine.cli import opening, tables
from engine.cli.audit import opened
from engine.cli.configured import config_option, configuration, fail
from engine.cli.durations import seconds
from engine.cli.progress import progress
from engine.cli.reading import account_of
from engine.finding.search import TooLong
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.operations import looking
from engine.operations import oversight as operations
from engine.operations.operator import Operator
from engine.operations.oversight import GrantRow
from engine.operations.reading import reading
from engine.oversight import Grant, Whose
from engine.storage.files import give_to

_COLUMNS = ("number", "state", "by", "addresses", "until", "reason")


@click.group()
def oversight() -> None:
    """Grants to look at people's mail: asked for with a reason, consented to by a second person, over by themselves.

    Auditors search and read in the pages, and by `search` and `read`. Whatever is done stands in `postroad audit`.
    """


@oversight.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands in the audit log for good.")
@click.option("--for", "lasts", metavar="TIME", default="1d", show_default=True, help="How long, from its beginning.")
@config_option
@click.pass_context
def ask(ctx: click.Context, addresses: tuple[str, ...], reason: str, lasts: str) -> None:
    """Ask for a grant to look at the mail of each account."""
    whose = [Whose(found.id, found.address) for found in (account_of(ctx, address) for address in addresses)]
    with opened(ctx) as store:
        settings = configuration(ctx).oversight
        grant = operations.ask(store, settings, _by(ctx), whose, reason, seconds=seconds(lasts, "--for"))
    click.echo(f"Grant {grant.number} {'waits for consent' if grant.needs_consent else _open_until(grant)}.")


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@config_option
@click.pass_context
def consent(ctx: click.Context, number: int) -> None:
    """Consent to a grant that somebody else has asked for; it begins now."""
    with opened(ctx) as store:
        grant = operations.consent(store, _by(ctx), number)
    click.echo(f"Grant {number} {_open_until(grant)}.")


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@config_option
@click.pass_context
def refuse(ctx: click.Context, number: int) -> None:
    """Refuse a grant that somebody else has asked for."""
    with opened(ctx) as store:
        operations.refuse(store, _by(ctx), number)
    click.echo(f"Grant {number} is refused.")


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@config_option
@click.pass_context
def end(ctx: click.Context, number: int) -> None:
    """End a grant before its time."""
    with opened(ctx) as store:
        operations.end(store, _by(ctx), number)
    click.echo(f"Grant {number} is over.")


@oversight.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all grants that there ever were, the newest first."""
    with opened(ctx) as store:
        rows = list(map(_row, operations.listed(store, opening.onlooker())))
    tables.show(rows, _COLUMNS, as_json=as_json)


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("folder", type=click.Path(path_type=Path))
@config_option
@click.pass_context
def export(ctx: click.Context, number: int, folder: Path) -> None:
    """Write all mail of a grant of yours into FOLDER, which is made: an mbox, and a manifest.

    What was removed, and is kept, is in it too.
    """
    config = configuration(ctx)
    if folder.exists():
        fail(f"{folder} is there already; name a folder that is not")
    with opened(ctx) as store, reading(config) as mailboxes, progress("Exporting") as seen:
        made = operations.export(store, mailboxes, _by(ctx), number, folder, step=lambda done: seen(done, 0))
    give_to(folder.parent.stat(), folder)
    click.echo(f"Exported {tables.counted(len(made.messages), 'message')} ({made.size:,} octets) into {folder}.")


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("query")
@click.option("--after", metavar="PLACE", default="", help="Go on behind what was shown before.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def search(ctx: click.Context, number: int, query: str, after: str, as_json: bool) -> None:
    """Search the mail of those whom an open grant of yours is about, as in the webmail: "from:eve has:attachment".

    The search stands in the audit log before it is made. Fifty are shown at once, the latest first.
    """
    with opened(ctx) as store, _mail(ctx) as where:
        try:
            found = looking.search(store, where, _by(ctx), number, query, after=after)
        except TooLong:
            fail("the search would take too long: ask for less, such as after:2026-01-01")
        except ValueError:
            fail(f"{after!r} is none of the places that a search has shown")
    if as_json:
        tables.show_json(msgspec.to_builtins(found))
        return
    rows = [{**msgspec.structs.asdict(one), "received": tables.timestamp(one.received)} for one in found.items]
    tables.show(rows, ("address", "folder", "uid", "received", "people", "subject", "size"), as_json=False)
    for term in found.mistakes:
        click.echo(f"{term} makes no sense, and was left out.", err=True)
    if found.next:
        click.echo(f"There is more: --after {found.next}", err=True)


@oversight.command()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("address")
@click.argument("folder")
@click.argument("uid", type=click.IntRange(min=1))
@config_option
@click.pass_context
def read(ctx: click.Context, number: int, address: str, folder: str, uid: int) -> None:
    """Write a message as it came to standard output, by an open grant of yours. It stands in the audit log before."""
    with opened(ctx) as store, reading(configuration(ctx)) as mailboxes:
        try:
            octets = looking.source(store, mailboxes, _by(ctx), number, (address, folder, uid))
        except MessageGone:
            fail(f"there is no message {uid} in {folder} of {address}")
    click.echo(octets, nl=False)


@contextmanager
def _mail(ctx: click.Context) -> Iterator[tuple[Mailboxes, Index]]:
    """The mailboxes and the index, while the server runs or not."""
    config = configuration(ctx)
    with reading(config) as mailboxes, closing(Index.open(config.server.data / "index")) as index:
        yield mailboxes, index


@oversight.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--alone", is_flag=True, help="Do not look into the audit log: it is that of another server.")
@config_option
@click.pass_context
def verify(ctx: click.Context, folder: Path, alone: bool) -> None:
    """Say whether an export is as it was written, and the one that the audit log knows."""
    try:
        if alone:
            manifest, problems = operations.verified(folder, None)
        else:
            with opened(ctx) as store:
                manifest, problems = operations.verified(folder, store)
    except (OSError, ValueError) as error:
        fail(f"{folder}: {error}")
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        fail(f"{tables.counted(len(problems), 'problem')}: the export is not as it was written")
    count = tables.counted(len(manifest.messages), "message")
    click.echo(f"{count}, each as it was written; export {manifest.entry}, by {manifest.by}.")


def _by(ctx: click.Context) -> Operator:
    return opening.operator_of(configuration(ctx).server.data)


def _open_until(grant: Grant) -> str:
    return f"is open until {tables.timestamp(grant.until)}"


def _row(one: GrantRow) -> dict[str, object]:
    moments = {"asked": one.asked, "begun": one.begun, "until": one.until, "told": one.told}
    return {
        "number": one.number,
        "state": one.state,
        "by": one.by,
        "addresses": one.addresses,
        "reason": one.reason,
        "seconds": one.seconds,
        "consented_by": one.consented_by,
        "refused_by": one.refused_by,
        **{name: tables.timestamp(when) if when else "" for name, when in moments.items()},
    }
