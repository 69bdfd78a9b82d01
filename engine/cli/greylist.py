"""`postroad greylist`: who was told to come again, and who is known."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.net.targets import overlap

if TYPE_CHECKING:
    from engine.abuse.greylist import Known, Triplet
    from engine.abuse.table import Table


@click.group()
def greylist() -> None:
    """Greylist: who was told to come again, and who is known. Of this machine, where several share one."""


@greylist.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show how many clients wait and are known."""
    with opening.translated(), opening.open_tables(ctx) as opened:
        count = Counter(_state(entry) for _, entry in _entries(opened["triplets"].local))
    rows = [{"state": state, "count": count[state]} for state in ("waiting", "passed", "known")]
    tables.show(rows, ("state", "count"), as_json=as_json)


@greylist.command(name="list")
@click.option("--waiting", is_flag=True, help="Only those who have not come again yet.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, waiting: bool, as_json: bool) -> None:
    """Show clients, with whom they wrote for and to."""
    with opening.translated(), opening.open_tables(ctx) as opened:
        found = [entry for _, entry in _entries(opened["triplets"].local)]
    rows = [_row(entry) for entry in found if _state(entry) == "waiting" or not waiting]
    rows.sort(key=lambda row: str(row["since"]))
    tables.show(rows, ("state", "client", "from", "to", "since", "tries"), as_json=as_json)


@greylist.command()
@click.argument("who", nargs=-1, required=True, metavar="WHO...")
@config_option
@click.pass_context
def forget(ctx: click.Context, who: tuple[str, ...]) -> None:
    """Forget what is known of addresses, domains, IP addresses or networks."""
    import trio

    failed = False
    with opening.translated(), opening.open_tables(ctx) as opened:
        table = opened["triplets"]
        for one in who:
            keys = [key for key, entry in _entries(table.local) if one in _names(entry) or overlap(_client(entry), one)]
            trio.run(table.change, [], lambda _, keys=keys: (None, dict.fromkeys(keys)))
            click.echo(f"{tables.counted(len(keys), 'entry').replace('entrys', 'entries')} of {one} forgotten.")
            failed |= not keys
    if failed:
        raise SystemExit(1)


def _entries(table: "Table") -> "Iterator[tuple[bytes, Triplet | Known]]":
    from engine.abuse.greylist import decode

    return ((key, decode(value)) for key, value in table.entries())


def _state(entry: "Triplet | Known") -> str:
    from engine.abuse.greylist import Known

    if isinstance(entry, Known):
        return "known"
    return "passed" if entry.passed else "waiting"


def _client(entry: "Triplet | Known") -> str:
    from engine.abuse.greylist import Known

    return entry.name if isinstance(entry, Known) else entry.client


def _names(entry: "Triplet | Known") -> tuple[str, ...]:
    from engine.abuse.greylist import Known

    return (entry.name,) if isinstance(entry, Known) else (entry.client, entry.sender, entry.recipient)


def _row(entry: "Triplet | Known") -> dict[str, object]:
    from engine.abuse.greylist import Known

    if isinstance(entry, Known):
        named = {"from": "", "to": "", "since": tables.timestamp(entry.seen), "tries": entry.passes}
    else:
        since = tables.timestamp(entry.passed or entry.first)
        named = {"from": entry.sender, "to": entry.recipient, "since": since, "tries": entry.tries}
    return {"state": _state(entry), "client": _client(entry), **named}
