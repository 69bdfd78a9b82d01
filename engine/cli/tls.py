"""`postroad tls`: which TLS the mail of a domain goes by, and why; what to publish for our own."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration
from engine.cli.errors import Unusable
from engine.observe.visible import visible

if TYPE_CHECKING:
    from engine.config import Config
    from engine.outbound.session import Terms
    from engine.outbound.way import Demand, Security
    from engine.policies.explaining import Explained, Host
    from engine.policies.results import TlsResult

_SECONDS = 30.0
"""For each step of a connection that is tried by hand."""


@click.group()
def tls() -> None:
    """TLS with other servers: what holds for a domain; what to publish for our own."""


@tls.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--connect", is_flag=True, help="Connect to each server, and see whether it shows what it must.")
@click.option("--dns", metavar="HOST:PORT", help="The DNS server to ask; else, those of [dns].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def explain(ctx: click.Context, name: str, *, connect: bool, dns: str | None, as_json: bool) -> None:
    """Say which TLS holds for mail to DOMAIN, and why, for each of its servers.

    It is looked up as the server does it, with the policies that the server has kept. Exit code 1: with --connect, no
    server can be used; without, none is known.
    """
    import trio

    from engine.directory import valid_domain

    config = configuration(ctx)
    with opening.translated():
        domain = valid_domain(name)
    asking = _Asking(config, dns, connect)
    try:
        told = trio.run(asking.told, domain)
    except ValueError as error:
        raise Unusable(str(error)) from error
    if as_json:
        tables.show_json(told)
    else:
        click.echo(visible("\n".join(_lines(told))))
    usable = [host for host in told["hosts"] if host["usable"]]
    sys.exit(not (any(each["good"] for host in usable for each in host["tried"]) if connect else usable))


@tls.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--mode", type=click.Choice(["testing", "enforce", "none"]), help="As [mta_sts] has it; else testing.")
@click.option("--max-age", type=click.IntRange(0, 31_557_600), help="Seconds; as [mta_sts] has it, else a week.")
@config_option
@click.pass_context
def records(ctx: click.Context, name: str, *, mode: str | None, max_age: int | None) -> None:
    """Print what DOMAIN, whose mail comes here, can publish.

    A policy of MTA-STS, TLSA records for our certificates, and the record that asks others for reports on TLS.
    """
    from engine.config import MtaSts
    from engine.directory import valid_domain
    from engine.operations.presence import own_sts_policy, report_page, tls_reports_to
    from engine.presence.records import sts_record, tls_reports
    from engine.protocols.mta_sts import sts_policy

    config = configuration(ctx)
    with opening.translated():
        domain, hostname = valid_domain(name), valid_domain(config.server.hostname)
    served = own_sts_policy(config, domain)
    usual = (served and config.open.mta_sts) or MtaSts()
    age = int(usual.max_age) if max_age is None else max_age
    policy = sts_policy(usual.mx or (hostname,), mode or usual.mode, age)
    who = "[listen] web" if policy == served else "a web server"
    click.echo(f"; {who} has this at https://mta-sts.{domain}/.well-known/mta-sts.txt, as text/plain:")
    for line in policy.splitlines():
        click.echo(f";     {line}")
    click.echo(sts_record(domain, policy))
    click.echo("; what becomes of TLS with its servers is reported there once a day:")
    click.echo(tls_reports(domain, tls_reports_to(config, domain), report_page(config)))
    click.echo(f"; where DNSSEC signs the zone of {hostname}, and as long as these keys are used:")
    for line in _tlsa(config, hostname):
        click.echo(line)


def _tlsa(config: "Config", hostname: str) -> Iterator[str]:
    """A record for each certificate that we offer in our own name (RFC 7672 3.1.1)."""
    import hashlib

    from cryptography.x509 import load_pem_x509_certificate

    from engine.net.tls import ServerTls
    from engine.protocols.tlsa import public_key
    from engine.runtime.certificates import folders, own_pair

    server = ServerTls(own_pair(config), folders(config), hostname)
    server.look()
    found = set()
    for certificate in server.certificates:
        if hostname in certificate.names or certificate.pair == own_pair(config):
            der = load_pem_x509_certificate(certificate.pem).public_bytes(_der())
            found.add(hashlib.sha256(public_key(der)).hexdigest())
    yield from (f"_25._tcp.{hostname}. IN TLSA 3 1 1 {digest}" for digest in sorted(found))
    if not found:
        yield f"; there is no certificate for {hostname} yet"


def _der() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


@dataclass
class _Asking:
    """What is asked, and what comes of it, as JSON has it."""

    config: "Config"
    dns: str | None
    connect: bool
    results: "list[TlsResult]" = field(default_factory=list)

    async def told(self, domain: str) -> dict[str, Any]:
        from engine.net.dns import Resolver
        from engine.outbound.way import Security
        from engine.policies.explaining import explain
        from engine.policies.fetching import Fetcher
        from engine.policies.finding import Policies
        from engine.policies.sts import StsPolicies

        looking, handing = self._settings("policies"), self._settings("allow_networks")
        resolver = Resolver([self.dns] if self.dns else self.config.dns.servers, timeout=self.config.dns.timeout)
        ipv6, wanted = looking.get("ipv6", True), looking.get("policies", ("dane", "mta-sts"))
        fetcher = Fetcher(resolver, trust=looking.get("trust"), ipv6=ipv6)
        sts = StsPolicies(resolver.ask, fetcher, self._memory(), self.results.append, now=resolver.clock)
        policies = Policies(
            resolver, self.results.append, sts=sts if "mta-sts" in wanted else None, dane="dane" in wanted
        )
        port = looking.get("port", 25)
        found = await explain(resolver, policies, domain, port, ipv6=ipv6)
        security = Security(handing.get("tls", "opportunistic"), found.published, vouched=found.vouched)
        return {
            "domain": domain,
            "trouble": found.trouble,
            "vouched": found.vouched,
            "validating_resolver": resolver.validates,
            "mta_sts": _sts(found),
            "our_level": security.level,
            "hosts": [await self._host(host, security, port, handing) for host in found.hosts],
        }

    def _settings(self, key: str) -> dict[str, Any]:
        """Those of the first stage that has such a one: what it is called, the file says."""
        stages = self.config.stages.values()
        return next((dict(stage.settings) for stage in stages if key in stage.spec.settings), {})

    def _memory(self) -> Any:
        """The policies that the server has kept; what is found now is not."""
        from engine.policies.store import InMemory, StsStore
        from engine.storage.environment import StorageError

        memory = InMemory()
        try:
            with StsStore.open(self.config.server.data, read_only=True) as store:
                memory.take(store.all())
        except StorageError:  # it has none
            pass
        return memory

    async def _host(self, host: "Host", security: "Security", port: int, handing: dict[str, Any]) -> dict[str, Any]:
        demand = security.at(host.name)
        tried = []
        if self.connect and not host.unusable:
            tried = [await self._tried(host.name, address, security, port, handing) for address in host.addresses]
        return {
            "preference": host.preference,
            "host": host.name,
            "addresses": list(host.addresses),
            "secure": host.secure,
            "dane": host.dane.why if host.dane else "not looked for",
            "tlsa": [str(record) for record in (host.dane.dane.records if host.dane and host.dane.dane else ())],
            "demand": demand.level,
            "meaning": host.unusable or _meaning(demand),
            "usable": not host.unusable and demand.refusal is None,
            "tried": tried,
        }

    async def _tried(
        self, host: str, address: str, security: "Security", port: int, handing: dict[str, Any]
    ) -> dict[str, Any]:
        """A connection, which is closed again."""
        import trio

        from engine.net.targets import permitted
        from engine.outbound.session import Exhausted, Trouble, open_session
        from engine.outbound.way import Way

        if not permitted(address, handing.get("allow_networks", ())):
            return {"address": address, "good": False, "found": "no public address: mail is not sent there"}
        terms = _terms(self.config, handing.get("trust"))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(terms.watch.run)
                session = await open_session(terms, Way(host, port), security, host, address)
                said = {"address": address, "good": True, "found": session.protection}
                await session.quit()
                nursery.cancel_scope.cancel()
            return said
        except* (Trouble, Exhausted) as errors:
            text = "; ".join(str(error) for error in _single(errors))
        return {"address": address, "good": False, "found": text}


def _single(error: BaseException) -> Iterator[BaseException]:
    from engine.cli.errors import inner

    return inner(error)


def _terms(config: "Config", trust: Path | None) -> "Terms":
    from functools import cache

    from engine.deadline import Watch
    from engine.net.tls import client_context
    from engine.outbound.handshake import Contexts
    from engine.outbound.session import Terms, Timeouts

    contexts = Contexts(cache(lambda verify: client_context(verify=verify, trust=trust)))
    timeouts = Timeouts(connect=_SECONDS, greeting=_SECONDS, command=_SECONDS)
    return Terms(config.server.hostname, contexts, timeouts, Watch())


def _sts(found: "Explained") -> dict[str, Any]:
    policy = found.sts.policy
    return {
        "why": found.sts.why,
        "mode": policy.mode if policy else None,
        "mx": list(policy.mx) if policy else [],
        "max_age": policy.max_age if policy else None,
    }


_MEANINGS = {
    "never": "no TLS, as our side wants it",
    "opportunistic": "TLS where it is offered, with any certificate; else in the clear",
    "require": "TLS, with any certificate; else the mail waits",
    "testing": "TLS with a certificate that is trusted for the host is tried and reported; the mail goes in any case",
    "verify": "TLS with a certificate that is trusted for the host; else the mail waits",
    "dane": "TLS with a certificate that a TLSA record fits; else the mail waits",
}


def _meaning(demand: "Demand") -> str:
    if demand.refusal is not None:
        return f"nothing is sent there: {demand.refusal.text}"
    return _MEANINGS[demand.level] + (f" (reported: {demand.note.text})" if demand.note else "")


def _lines(told: dict[str, Any]) -> Iterator[str]:
    if told["trouble"]:
        yield f"{told['domain']}: {told['trouble']}"
        return
    by = "DNSSEC vouches for its servers" if told["vouched"] else "DNSSEC does not vouch for its servers"
    unasked = (
        "" if told["validating_resolver"] else "; no validating resolver is believed here, so DANE is not looked for"
    )
    yield f"{told['domain']}: {by}{unasked}"
    sts = told["mta_sts"]
    mode = f"{sts['mode']}, {', '.join(sts['mx'])}, max_age {sts['max_age']}" if sts["mode"] else "none"
    yield f"MTA-STS: {mode} ({sts['why']})"
    yield f"our side wants at least: {told['our_level']}"
    for host in told["hosts"]:
        yield f"{host['preference']} {host['host']} [{', '.join(host['addresses'])}]"
        yield f"    DANE: {host['dane']}"
        yield from (f"        {record}" for record in host["tlsa"])
        yield f"    {host['meaning']}"
        for each in host["tried"]:
            yield f"    {'good' if each['good'] else 'BAD'}: [{each['address']}] {each['found']}"
