"""`postroad egress`: the addresses that mail leaves from, and how much has left today."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration, fail

if TYPE_CHECKING:
    import datetime

    from engine.config import Config, EgressSource, WarmUp
    from engine.egress.days import Count


@click.group()
def egress() -> None:
    """The addresses that mail leaves from, and how much has left today."""


@egress.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all sources: addresses, pools with their shares, and for new ones what they sent today of how much."""
    config = configuration(ctx)
    today, counts = _counted(ctx)
    rows = [
        {
            "source": name,
            "addresses": [address for address in (source.ipv4, source.ipv6) if address],
            "ehlo": source.ehlo or config.server.hostname,
            "proxy": _proxy(source),
            "pools": _pools(config, name),
            "sent": sum(count.count for count in counts if count.source == name),
            "today": _today(name, source.warm_up, counts, today),
        }
        for name, source in config.egress.sources.items()
    ]
    tables.show(rows, ("source", "addresses", "ehlo", "proxy", "pools", "today"), as_json=as_json)


@egress.command()
@click.argument("name", metavar="SOURCE")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the warm-up plan of SOURCE day by day, and what it has sent today."""
    from engine.config import nearest

    config = configuration(ctx)
    source = config.egress.sources.get(name)
    if source is None:
        fail(f"there is no source {name}{nearest(name, config.egress.sources)}")
    if source.warm_up is None:
        fail(f"{name} has no warm_up: it sends as much as it is given")
    today, counts = _counted(ctx)
    own = [count for count in counts if count.source == name]
    tables.show(list(_plan(source.warm_up, today, own)), ("from", "to", "ceiling", "state"), as_json=as_json)


def _plan(warm_up: "WarmUp", today: "datetime.date", counts: "list[Count]") -> Iterator[dict[str, Any]]:
    from datetime import timedelta

    for step, ceiling in enumerate(warm_up.plan):
        first = warm_up.start + timedelta(days=step * warm_up.days)
        last = first + timedelta(days=warm_up.days - 1)
        state = "done" if last < today else "to come" if first > today else _sent(counts)
        yield {"from": first.isoformat(), "to": last.isoformat(), "ceiling": ceiling, "state": state}
    after = warm_up.start + timedelta(days=len(warm_up.plan) * warm_up.days)
    state = _sent(counts) if after <= today else "to come"
    yield {"from": after.isoformat(), "to": "", "ceiling": None, "state": state}


def _sent(counts: "list[Count]") -> str:
    sites = ", ".join(f"{count.count} to {count.site}" if count.site else str(count.count) for count in counts)
    return f"today: {sites or 0} sent"


def _today(name: str, warm_up: "WarmUp | None", counts: "list[Count]", today: "datetime.date") -> str:
    """How many of how many."""
    ceiling = warm_up.ceiling(today) if warm_up else None
    if warm_up is None or ceiling is None:
        return ""
    sent = [count.count for count in counts if count.source == name]
    if warm_up.per == "site":
        return f"{max(sent, default=0)} of {ceiling} to the busiest site"
    return f"{sum(sent)} of {ceiling}"


def _proxy(source: "EgressSource") -> str:
    if source.socks5:
        return f"socks5 {source.socks5}"
    return f"haproxy {source.haproxy}" if source.haproxy else ""


def _pools(config: "Config", name: str) -> list[str]:
    return [f"{pool}={of.sources[name]}" for pool, of in config.egress.pools.items() if name in of.sources]


def _counted(ctx: click.Context) -> "tuple[datetime.date, list[Count]]":
    """What day it is, and what was sent on it."""
    from engine.egress.days import Days

    with opening.translated(), opening.open_tables(ctx) as opened:
        days = Days(opened)
        return days.today(), days.counts()
