"""`postroad domain`: the domains whose mail stays here."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from engine.cli import opening, tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration
from engine.cli.publishing import fetch, host_of
from engine.observe.visible import visible
from engine.operations import domains

if TYPE_CHECKING:
    from engine.presence.check import Finding

_address = click.option(
    "--address", "addresses", multiple=True, metavar="IP", help="What the world sees; else, that of [listen] smtp."
)


@click.group()
def domain() -> None:
    """Domains whose mail stays here."""


@domain.command()
@click.argument("name", metavar="DOMAIN")
@config_option
@click.pass_context
def add(ctx: click.Context, name: str) -> None:
    """Make DOMAIN local: mail for it is kept here."""
    with opening.opened(ctx) as directory:
        added = domains.add(directory, opening.operator(directory), name)
    click.echo(f"Added the domain {added.name}.")


@domain.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all local domains, and what made each local."""
    with opening.opened(ctx) as directory:
        rows = [
            {"domain": found.name, "source": "pipeline.toml" if found.configured else "added"}
            for found in domains.listed(directory, opening.onlooker())
        ]
    tables.show(rows, ("domain", "source"), as_json=as_json)


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--force", is_flag=True, help="Also when it has accounts: they are kept, but closed.")
@config_option
@click.pass_context
def remove(ctx: click.Context, name: str, force: bool) -> None:
    """Take back `domain add DOMAIN`.

    With --force its accounts and aliases are kept, but get no mail and cannot log in until it is added again.
    """
    with opening.opened(ctx) as directory:
        removed = domains.remove(directory, opening.operator(directory), name, force=force)
    click.echo(f"Removed the domain {removed.name}{'; it stays local by pipeline.toml' if removed.configured else ''}.")


@domain.command()
@click.argument("name", metavar="DOMAIN")
@_address
@click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def check(ctx: click.Context, name: str, addresses: tuple[str, ...], dns: str | None, as_json: bool) -> None:
    """Hold what the DNS has of DOMAIN against what it should have.

    For each thing: whether it is good, missing, wrong or unknown, what was found, and what to publish. Exit code 0: all
    that mail needs is right; 1: something is not.
    """
    from engine.presence import check as presence

    config = configuration(ctx)
    host = host_of(config, name, addresses)
    findings = answered(dns, lambda ask: presence.check(ask, fetch, host), config.dns.servers)
    if as_json:
        tables.show([finding.told() for finding in findings], (), as_json=True)
    else:
        for finding in findings:
            click.echo(visible("\n".join(_lines(finding))))
    sys.exit(any(finding.hurts for finding in findings))


@domain.command()
@click.argument("name", metavar="DOMAIN")
@_address
@config_option
@click.pass_context
def records(ctx: click.Context, name: str, addresses: tuple[str, ...]) -> None:
    """Print the records that DOMAIN should have, as a zone file takes them, from the configuration and our keys.

    What belongs elsewhere, or needs more than a record, is printed as a comment.
    """
    from engine.operations.presence import zone_lines

    for line in zone_lines(host_of(configuration(ctx), name, addresses)):
        click.echo(line)


def _lines(finding: "Finding") -> Iterator[str]:
    needed = "" if finding.needed else " (optional)"
    yield f"{finding.verdict}: {finding.what}{needed}: {finding.found}"
    if finding.verdict != "good":
        yield f"    should be: {finding.expected}"
        yield from (f"    publish: {line}" for line in finding.record.splitlines())
