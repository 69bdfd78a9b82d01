"""`postroad dkim`: the keys that sign our mail, from their making to their removal."""

import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused
from engine.cli.opening import translated
from engine.directory import DirectoryError, valid_domain

if TYPE_CHECKING:
    from engine.net.dns import Ask
    from engine.operations.keys import KeyRecord, KeyRow
    from engine.signing import KeyStore

_dns = click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")
_selector = click.option(
    "--selector", "name", metavar="NAME", default="", help="Name the keys NAME-rsa and NAME-ed25519; else, by the day."
)
_force = click.option("--force", is_flag=True, help="Sign by the keys at once, published or not.")


@click.group()
def dkim() -> None:
    """The keys that sign our mail (DKIM, RFC 6376)."""


@dkim.command()
@click.argument("domain")
@_selector
@_force
@config_option
@click.pass_context
def new(ctx: click.Context, domain: str, name: str, force: bool) -> None:
    """Make the first pair of keys for DOMAIN, one of RSA and one of Ed25519, and print the records to publish.

    A running server signs by them within two minutes after all are published.
    """
    store, domain = _store(ctx), _valid(domain)
    if store.find(domain):
        raise Refused(f"{domain} has keys; say `postroad dkim rotate {domain}` for the next ones")
    _make(ctx, domain, name, force=force)


@dkim.command(name="list")
@_json
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all keys: whether they wait to be published, sign, or are retired and since when."""
    from engine.operations import keys

    rows = [
        {
            "domain": key.domain,
            "selector": key.selector,
            "standing": key.standing,
            "since": tables.timestamp(key.since),
            "removable": "" if key.removable is None else tables.timestamp(key.removable),
        }
        for key in keys.listed(_store(ctx), opening.onlooker())
    ]
    tables.show(rows, ("domain", "selector", "standing", "since", "removable"), as_json=as_json)


@dkim.command()
@click.argument("domain")
@_dns
@_json
@config_option
@click.pass_context
def publish(ctx: click.Context, domain: str, dns: str | None, as_json: bool) -> None:
    """Print the records that the DNS should have for DOMAIN, as a zone file takes them, and whether it has them.

    Exit code 0: all of them are published; 1: not yet.
    """
    from engine.operations import keys

    store, domain, by = _store(ctx), _valid(domain), opening.onlooker()
    with translated():
        found = answered(dns, lambda ask: keys.published(ask, store, by, domain), configuration(ctx).dns.servers)
    told = list(map(_told, found))
    if as_json:
        tables.show(told, (), as_json=True)
    for row in [] if as_json else told:
        click.echo(f"; {row['selector']}: {row['standing']}; {row['trouble'] or 'published'}{_until(row)}")
        click.echo(row["record"])
    sys.exit(any(row["trouble"] for row in told if row["needed"]))


@dkim.command()
@click.argument("domain")
@_selector
@_force
@_dns
@config_option
@click.pass_context
def rotate(ctx: click.Context, domain: str, name: str, force: bool, dns: str | None) -> None:
    """Make the next pair of keys for DOMAIN; or, where one waits, sign by it from now on if all of it is published.

    A running server does the second step by itself. The former keys sign no more then, but must stay published for
    some days: `postroad dkim list` says until when.
    """
    from engine.operations import keys

    store, domain = _store(ctx), _valid(domain)
    if name or not keys.waits(store, domain):
        _make(ctx, domain, name, force=force)
    elif force:
        _in_force(ctx, domain)
    else:
        _in_force(ctx, domain, dns)


@dkim.command()
@click.argument("domain")
@click.argument("selector")
@click.option("--force", is_flag=True, help="Also a key that signs, or that must stay published.")
@config_option
@click.pass_context
def remove(ctx: click.Context, domain: str, selector: str, force: bool) -> None:
    """Delete a key for good. Its record is not needed any more then."""
    from engine.operations import keys

    domain, data = _valid(domain), configuration(ctx).server.data
    with translated():
        keys.remove(_store(ctx), opening.operator_of(data), domain, selector, force=force)
    click.echo(f"Removed the key {selector} of {domain}.")


def _store(ctx: click.Context) -> "KeyStore":
    from engine.signing import KeyStore

    return KeyStore(configuration(ctx).server.data)


def _valid(domain: str) -> str:
    with translated():
        return valid_domain(domain)


def _make(ctx: click.Context, domain: str, name: str, *, force: bool) -> None:
    from engine.operations import keys

    by = opening.operator_of(configuration(ctx).server.data)
    try:
        made = keys.make(_store(ctx), by, domain, name)
    except DirectoryError as error:
        raise Refused(str(error)) from error
    for key in made:
        click.echo(key.record)
    if force:
        _in_force(ctx, domain)
    else:
        click.echo(f"Publish these; `postroad dkim publish {domain}` says whether they are.", err=True)


def _in_force(ctx: click.Context, domain: str, *dns: str | None) -> None:
    """Sign by the keys that wait; if it is said which server is asked, only when all of them are published."""
    from engine.operations import keys

    config = configuration(ctx)
    store, by = _store(ctx), opening.operator_of(config.server.data)

    def work(ask: "Ask") -> "Awaitable[list[KeyRow]]":
        return keys.put_in_force(ask if dns else None, store, by, domain)

    with translated():
        taken = answered(dns[0] if dns else None, work, config.dns.servers)
    click.echo(f"In force: {', '.join(key.selector for key in taken)}.", err=True)


def _told(key: "KeyRecord") -> dict[str, Any]:
    """What there is to say of a key."""
    return {
        "selector": key.selector,
        "standing": key.standing,
        "needed": key.needed,
        "until": key.removable and tables.timestamp(key.removable),
        "name": key.name,
        "text": key.text,
        "record": key.record,
        "trouble": key.trouble,
    }


def _until(row: dict[str, Any]) -> str:
    if row["until"] is None:
        return ""
    return f"; needed until {row['until']}" if row["needed"] else "; may be removed"
