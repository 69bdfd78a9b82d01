"""`postroad dkim`: the keys that sign our mail, from their making to their removal."""

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from engine.cli import tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Refused
from engine.cli.opening import translated
from engine.directory import valid_domain

if TYPE_CHECKING:
    from engine.net.dns import Ask
    from engine.signing import KeyStore, StoredKey

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
    _make(store, domain, name, force=force)


@dkim.command(name="list")
@_json
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all keys: whether they wait to be published, sign, or are retired and since when."""
    rows = [
        {
            "domain": key.domain,
            "selector": key.selector,
            "standing": key.standing.value,
            "since": tables.timestamp(key.since),
            "removable": "" if key.removable is None else tables.timestamp(key.removable),
        }
        for key in _store(ctx).find()
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
    store, domain = _store(ctx), _valid(domain)
    keys = store.find(domain)
    if not keys:
        raise Refused(f"{domain} has no keys; say `postroad dkim new {domain}`")
    told = answered(dns, lambda ask: _told(ask, keys), configuration(ctx).dns.servers)
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
    from engine.signing import Standing
    from engine.signing.publishing import take_up

    store, domain = _store(ctx), _valid(domain)
    keys = store.find(domain)
    if not any(key.standing is Standing.WAITING for key in keys):
        _make(store, domain, name, force=force)
        return
    if name:
        raise Refused(f"keys of {domain} wait already; say `postroad dkim publish {domain}`")
    if force:
        taken = store.put_in_force(domain)
    else:
        taken = answered(dns, lambda ask: take_up(store, ask, domain), configuration(ctx).dns.servers)
    if not taken:
        raise Refused(f"not all of the keys that wait are published; say `postroad dkim publish {domain}`")
    _in_force(taken)


@dkim.command()
@click.argument("domain")
@click.argument("selector")
@click.option("--force", is_flag=True, help="Also a key that signs, or that must stay published.")
@config_option
@click.pass_context
def remove(ctx: click.Context, domain: str, selector: str, force: bool) -> None:
    """Delete a key for good. Its record is not needed any more then."""
    from engine.signing import Standing

    store, domain = _store(ctx), _valid(domain)
    key = next((key for key in store.find(domain) if key.selector == selector), None)
    if key is None:
        raise Refused(f"{domain} has no key {selector}")
    if key.standing is Standing.SIGNING and not force:
        raise Refused(f"{selector} signs the mail of {domain}; say --force, or rotate first")
    if key.removable is not None and time.time() < key.removable and not force:
        raise Refused(f"{selector} must stay published until {tables.timestamp(key.removable)}; or say --force")
    store.remove(key)
    click.echo(f"Removed the key {selector} of {domain}.")


def _store(ctx: click.Context) -> "KeyStore":
    from engine.signing import KeyStore

    return KeyStore(configuration(ctx).server.data)


def _valid(domain: str) -> str:
    with translated():
        return valid_domain(domain)


def _make(store: "KeyStore", domain: str, name: str, *, force: bool) -> None:
    from engine.signing.publishing import zone_line

    try:
        made = store.make(domain, name)
    except ValueError as error:
        raise Refused(str(error)) from error
    for key in made:
        click.echo(zone_line(key.signer()))
    if force:
        _in_force(store.put_in_force(domain))
    else:
        click.echo(f"Publish these; `postroad dkim publish {domain}` says whether they are.", err=True)


def _in_force(keys: "list[StoredKey]") -> None:
    click.echo(f"In force: {', '.join(key.selector for key in keys)}.", err=True)


async def _told(ask: "Ask", keys: "list[StoredKey]") -> list[dict[str, Any]]:
    """What there is to say of each key."""
    from functools import partial

    from engine.net.dns import side_by_side
    from engine.signing.publishing import record, record_name, unpublished, zone_line

    signers = [key.signer() for key in keys]
    troubles = await side_by_side([partial(unpublished, ask, signer) for signer in signers])
    return [
        {
            "selector": key.selector,
            "standing": key.standing.value,
            "needed": key.removable is None or time.time() < key.removable,
            "until": key.removable and tables.timestamp(key.removable),
            "name": record_name(key.domain, key.selector),
            "text": record(signer.key),
            "record": zone_line(signer),
            "trouble": trouble,
        }
        for key, signer, trouble in zip(keys, signers, troubles, strict=True)
    ]


def _until(row: dict[str, Any]) -> str:
    if row["until"] is None:
        return ""
    return f"; needed until {row['until']}" if row["needed"] else "; may be removed"
