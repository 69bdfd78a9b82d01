"""`postroad quota`: how much mailboxes may hold, how much they do, and who says so."""

from typing import Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused, Unusable
from engine.cli.reading import reading
from engine.config import Config
from engine.directory import UNSAID, Account, Allowed, Embedded, Limit
from engine.mailbox import Quota, Quotas, Usage
from engine.units import Size, measured

UNLIMITED = "unlimited"

COLUMNS = ("address", "share", "size", "of", "messages", "of_messages")


def _most(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """A limit: a size or a number, or "unlimited"."""
    try:
        return None if text is None else 0 if text == UNLIMITED else int(Size(text))
    except ValueError as error:
        raise click.BadParameter(f'{error}, or "{UNLIMITED}"') from None


@click.group()
def quota() -> None:
    """Quotas: how much mailboxes may hold, how much they do, and who says so."""


@quota.command(name="set")
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@click.option("--size", metavar="SIZE", callback=_most, help="Such as 5GB or 500MiB; unlimited: as much as it likes.")
@click.option("--messages", metavar="NUMBER", callback=_most, help="How many messages.")
@click.option(
    "--total-size", metavar="SIZE", callback=_most, help="Of a domain: what all its accounts may hold together."
)
@click.option("--total-messages", metavar="NUMBER", callback=_most, help="The same for messages.")
@config_option
@click.pass_context
def set_(
    ctx: click.Context,
    name: str,
    *,
    size: int | None,
    messages: int | None,
    total_size: int | None,
    total_messages: int | None,
) -> None:
    """Say how much an account, each member of a group, or each account of a domain may hold.

    What is not given stays as it is. An account's own limit counts first, then its groups', then its domain's, then
    [quota] of pipeline.toml.
    """
    each, total = Limit(size, messages), Limit(total_size, total_messages)
    if (each, total) == (UNSAID, UNSAID):
        raise Unusable("say how much: --size, --messages")
    if total != UNSAID and "@" in name:
        raise Unusable(f"{name} is no domain: only a domain has a total")
    with opening.opened(ctx) as directory:
        before, total_before = _said(directory, name)
        if each != UNSAID:
            directory.limit(name, _merged(before, each))
        if total != UNSAID:
            directory.limit_total(name, _merged(total_before, total))
    click.echo(f"Set the quota of {name}.")


@quota.command()
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@config_option
@click.pass_context
def unset(ctx: click.Context, name: str) -> None:
    """Take back what was set; what is said elsewhere counts again."""
    with opening.opened(ctx) as directory:
        directory.limit(name, UNSAID)
        if "@" not in name:
            directory.limit_total(name, UNSAID)
    click.echo(f"{name} has no quota of its own any more.")


@quota.command()
@click.argument("name", metavar="ADDRESS|GROUP|DOMAIN")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show what an account holds, what it may hold, and who says so; or what was set for a group or a domain."""
    config = configuration(ctx)
    with opening.whichever(ctx) as directory:
        account = directory.account(name) if "@" in name else None
        if account is not None:
            with reading(config) as mailboxes:
                usage = mailboxes.usage(account.id)
            rows = _rows_of(usage, Quotas(directory, settings=config.quota).allowed(account))
        elif isinstance(directory, Embedded):
            rows = _set_rows(config, directory, name)
        else:
            raise Refused(f"there is no account {name}")
    tables.show(rows, ("what", "used", "limit", "share", "from"), as_json=as_json)


@quota.command(name="list")
@click.option(
    "--over", type=click.IntRange(min=0), default=None, metavar="PERCENT", help="Only those so full or fuller."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, over: int | None, as_json: bool) -> None:
    """Show what all accounts hold, the fullest first. Share is in per cent of size or messages, whichever is more."""
    config = configuration(ctx)
    with opening.opened(ctx) as directory, reading(config) as mailboxes:
        quotas = Quotas(directory, settings=config.quota)
        rows = [_row(one, mailboxes.usage(one.id), quotas.allowed(one)) for one in directory.accounts()]
    if over is not None:
        rows = [row for row in rows if row["share"] is not None and row["share"] >= over]
    rows.sort(key=lambda row: (-(row["share"] or 0), -row["octets"], row["address"]))
    shown = rows if as_json else [{**row, "share": "" if row["share"] is None else f"{row['share']} %"} for row in rows]
    tables.show(shown, COLUMNS, as_json=as_json)


def _row(account: Account, usage: Usage, most: Allowed) -> dict[str, Any]:
    share = Quota(most.octets, most.messages).share(usage.size, usage.messages)
    return {
        "address": account.address,
        "share": share if most.octets or most.messages else None,
        "size": measured(usage.size),
        "of": _sized(most.octets),
        "messages": usage.messages,
        "of_messages": most.messages or UNLIMITED,
        "octets": usage.size,
        "limit_octets": most.octets,
        "limit_messages": most.messages,
    }


def _rows_of(usage: Usage, most: Allowed) -> list[dict[str, Any]]:
    return [
        _one("size", usage.size, most.octets, most.octets_by, octets=True),
        _one("messages", usage.messages, most.messages, most.messages_by),
    ]


def _one(what: str, used: int, limit: int, by: str, *, octets: bool = False) -> dict[str, Any]:
    return {
        "what": what,
        "used": measured(used) if octets else used,
        "limit": _sized(limit) if octets else limit or UNLIMITED,
        "share": f"{used * 100 // limit} %" if limit else "",
        "from": by,
        "used_exactly": used,
        "limit_exactly": limit,
    }


def _set_rows(config: Config, directory: Embedded, name: str) -> list[dict[str, Any]]:
    """What was set for a group or a domain; of a domain that has a total, what there is of it."""
    each, total = _said(directory, name)
    if (each, total) == (UNSAID, UNSAID):
        raise Refused(f"there is no account {name}, and no quota was set for a group or domain of this name")
    rows = [
        {**_one(f"{what} of each", 0, limit, name, octets=what == "size"), "used": "", "share": ""}
        for what, limit in zip(("size", "messages"), each, strict=True)
        if limit is not None
    ]
    if total != UNSAID:
        with reading(config) as mailboxes:
            usages = mailboxes.usages(directory.numbers(name))
        used = {"size": sum(one.size for one in usages), "messages": sum(one.messages for one in usages)}
        rows += [
            _one(f"{what} of all", used[what], limit, name, octets=what == "size")
            for what, limit in zip(("size", "messages"), total, strict=True)
            if limit is not None
        ]
    return rows


def _said(directory: Embedded, name: str) -> tuple[Limit, Limit]:
    """What was set for this very name so far, for each and for all together."""
    if "@" in name:
        account = directory.account(name)
        return (account.limit if account else directory.group_limit(name)), UNSAID
    found = directory.domain_limits(name)
    return found.each, found.total


def _merged(before: Limit, given: Limit) -> Limit:
    return Limit(*(old if new is None else new for old, new in zip(before, given, strict=True)))


def _sized(limit: int) -> str:
    return measured(limit) if limit else UNLIMITED
