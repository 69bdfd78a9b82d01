"""`postroad domain`: the domains whose mail stays here."""

import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from engine.cli import opening, tables
from engine.cli.asking import answered
from engine.cli.configured import config_option, configuration, tls_reports_to
from engine.cli.errors import Refused, Unusable
from engine.observe.visible import visible

if TYPE_CHECKING:
    from engine.authentication.signer import Signer
    from engine.config import Config
    from engine.presence.check import Finding
    from engine.presence.records import Host

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
        added = directory.add_domain(name)
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
            for found in directory.domains()
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
        removed = directory.remove_domain(name, force=force)
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
    host = _host(config, name, addresses)
    findings = answered(dns, lambda ask: presence.check(ask, _fetch, host), config.dns.servers)
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
    from engine.presence.records import wanted

    host = _host(configuration(ctx), name, addresses)
    for record in wanted(host):
        click.echo(record)
    for line in _comments(host):
        click.echo(f"; {line}")


def _lines(finding: "Finding") -> Iterator[str]:
    needed = "" if finding.needed else " (optional)"
    yield f"{finding.verdict}: {finding.what}{needed}: {finding.found}"
    if finding.verdict != "good":
        yield f"    should be: {finding.expected}"
        yield from (f"    publish: {line}" for line in finding.record.splitlines())


def _comments(host: "Host") -> Iterator[str]:
    from engine.presence.records import addresses, reverse, sts_policy, tlsa, within

    if not host.addresses:
        yield f"{host.hostname} needs A and AAAA records; say --address IP to have them here"
    elif not within(host.hostname, host.domain):
        yield f"in the zone of {host.hostname}:"
        yield from map(str, addresses(host))
    if host.addresses:
        yield "whoever gave you the addresses sets:"
        yield from map(str, reverse(host))
    if not host.signers:
        yield f"no DKIM keys yet: postroad dkim new {host.domain}"
    record = tlsa(host)
    if record is not None:
        yield "if DNSSEC signs the zone, and this certificate's key stays when it is renewed:"
        yield str(record)
    yield f"if a web server has this at https://mta-sts.{host.domain}/.well-known/mta-sts.txt:"
    yield from (f"    {line}" for line in sts_policy([host.hostname]).splitlines())
    yield f'_mta-sts.{host.domain}. IN TXT "v=STSv1; id=1"'


def _host(config: "Config", name: str, addresses: tuple[str, ...]) -> "Host":
    """What the configuration says. ``Unusable`` for a name or an address that is none."""
    from engine.directory import valid_domain
    from engine.presence.records import Host

    with opening.translated():
        domain, hostname = valid_domain(name), valid_domain(config.server.hostname)
    try:
        given = tuple(str(ip_address(address)) for address in addresses)
    except ValueError as error:
        raise Unusable(str(error)) from error
    return Host(
        domain,
        hostname,
        given or _listening(config),
        {listener: port for listener, (_, port) in config.listen.items()},
        _signers(config, domain),
        _key_info(config),
        tls_reports_to(config, domain),
    )


def _listening(config: "Config") -> tuple[str, ...]:
    """The address of the port for mail, if it is one that the world may see."""
    try:
        address = ip_address(config.listen["smtp"][0])
    except (KeyError, ValueError):
        return ()
    return () if address.is_unspecified or address.is_loopback else (str(address),)


def _signers(config: "Config", domain: str) -> "tuple[Signer, ...]":
    """The keys of a domain, or of the nearest above it."""
    from engine.signing import KeyStore, Standing

    store = KeyStore(config.server.data)
    while domain:
        found = [key for key in store.find(domain) if key.standing is not Standing.RETIRED]
        if found:
            try:
                return tuple(key.signer() for key in found)
            except (OSError, ValueError) as error:
                raise Refused(f"a key of {domain}: {error}") from error
        domain = domain.partition(".")[2]
    return ()


def _key_info(config: "Config") -> bytes:
    """The public key of the certificate that [tls] names. One that ACME gets has another key each time."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    from engine.runtime.certificates import own_pair

    pair = own_pair(config)
    if pair is None:
        return b""
    try:
        certificate = load_pem_x509_certificate(pair.certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise Refused(f"{pair.certificate}: {error}") from error
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


async def _fetch(url: str) -> str:
    """RFC 8461 3.3: no redirect is followed."""
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.get(url)
            answer.raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise OSError(str(error) or type(error).__name__) from error
    return answer.text
