"""What a domain of ours should have in the DNS, by the configuration and the keys that there are, and what it has."""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import trio

from engine.config import Config
from engine.directory import valid_domain
from engine.net.dns import Ask, DnsTrouble, Outcome, Resolver
from engine.net.https import Https, Unreached
from engine.operations.impossible import Impossible
from engine.operations.operator import Operator
from engine.protocols.mta_sts import POLICY_LIMIT

if TYPE_CHECKING:
    from engine.authentication.signer import Signer
    from engine.presence.check import Fetch
    from engine.presence.records import Host

PATIENCE = 8.0
"""Seconds that all questions about a domain may take together; of what has no answer then nobody could say."""

_FIELDS = (("User-Agent", "postroad"), ("Accept", "text/plain"))


class Published(msgspec.Struct, frozen=True):
    """A record to publish: its name without the final dot, its type, its value as a zone file has it, and for a form of
    a provider of DNS, which wants a text without quotes.
    """

    name: str
    type: str
    text: str

    @property
    def line(self) -> str:
        return f"{self.name}. IN {self.type} {self.text}"

    @property
    def value(self) -> str:
        if self.type != "TXT":
            return self.text
        return "".join(self.text.removeprefix('"').removesuffix('"').split('" "'))  # RFC 1035 3.3: strings of 255


class PresenceRow(msgspec.Struct, frozen=True):
    """One thing that was looked at: whether it is good, missing, wrong or unknown; what was found, what should be, and
    what to publish. ``needed``: without it mail does not come, or is not believed. ``hurts``: mail suffers.
    """

    what: str
    verdict: str
    needed: bool
    hurts: bool
    found: str
    expected: str
    records: tuple[Published, ...]


async def checked(
    ask: Ask, fetch: "Fetch", config: Config, by: Operator, domain: str, *, patience: float = PATIENCE
) -> list[PresenceRow]:
    """Hold what the DNS has of a domain against what it should have. Everything is asked side by side, and nothing is
    waited for longer than that many seconds. Invalid, Impossible.
    """
    from engine.presence.check import check

    by.check(domain)
    host = await trio.to_thread.run_sync(_host_here, config, domain)
    deadline = trio.current_time() + patience

    async def asked(name: str, rdtype: str) -> Outcome[object]:
        with trio.move_on_at(deadline):
            return await ask(name, rdtype)
        return DnsTrouble(f"no answer about {name} {rdtype} in time", trio.current_time())

    async def fetched(url: str) -> str:
        with trio.move_on_at(deadline):
            return await fetch(url)
        raise OSError("no answer in time")

    return [
        PresenceRow(
            one.what, one.verdict.value, one.needed, one.hurts, one.found, one.expected,
            tuple(map(_published, one.record.splitlines())),
        )
        for one in await check(asked, fetched, host)
    ]  # fmt: skip


def _published(line: str) -> Published:
    name, _, rest = line.partition(". IN ")
    rdtype, _, text = rest.partition(" ")
    return Published(name, rdtype, text)


def zone(config: Config, by: Operator, domain: str) -> list[str]:
    """The records that it should have, as lines of a zone file. Invalid, Impossible."""
    by.check(domain)
    return list(zone_lines(_host_here(config, domain)))


def _host_here(config: Config, domain: str) -> "Host":
    return host_of(config, domain, _listening(config) or seen_addresses())


def zone_lines(host: "Host") -> Iterator[str]:
    """The records as a zone file takes them; what belongs elsewhere, or needs more than a record, as comments."""
    from engine.presence.records import wanted

    yield from map(str, wanted(host))
    yield from (f"; {line}" for line in _comments(host))


def _comments(host: "Host") -> Iterator[str]:
    from engine.presence.records import addresses, reverse, tlsa, within
    from engine.protocols.mta_sts import sts_policy

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
    if host.sts_policy:
        yield "the policy of MTA-STS is served by [listen] web, once there is a certificate for its name"
        return
    yield f"if a web server has this at https://mta-sts.{host.domain}/.well-known/mta-sts.txt:"
    yield from (f"    {line}" for line in sts_policy([host.hostname]).splitlines())
    yield f'_mta-sts.{host.domain}. IN TXT "v=STSv1; id=1"'


def host_of(config: Config, name: str, addresses: Sequence[str]) -> "Host":
    """What the configuration says. ``addresses``: that the world sees; none: the one of [listen] smtp. Invalid for a
    name, ValueError for an address that is none; Impossible. Blocks.
    """
    from engine.presence.records import Host

    return Host(
        valid_domain(name),
        valid_domain(config.server.hostname),
        tuple(str(ip_address(address)) for address in addresses) or _listening(config),
        {listener: port for listener, (_, port) in config.listen.items()},
        _signers(config, valid_domain(name)),
        _key_info(config),
        tls_reports_to(config, valid_domain(name)),
        report_page(config),
        own_sts_policy(config, valid_domain(name)),
    )


def tls_reports_to(config: Config, domain: str) -> str:
    """The address of ours that takes reports on TLS about a domain: one in it, if there is one; else empty.

    What the stage that takes them is called, the file says.
    """
    taking = (stage.settings for stage in config.stages.values() if {"tls", "complaints"} <= set(stage.spec.settings))
    addresses = [address for settings in taking for address in settings.get("tls", ())]
    return next((one for one in addresses if one.lower().endswith(f"@{domain}")), next(iter(addresses), ""))


def report_page(config: Config) -> str:
    """Where reports on TLS can be posted to; empty where nowhere."""
    if config.open.tls_reports is None:
        return ""
    return f"{config.web.origin or f'https://{config.server.hostname}'}/reports/tls"


def own_sts_policy(config: Config, domain: str) -> str:
    """The policy of MTA-STS that we serve for a domain; empty where none."""
    sts = config.open.mta_sts
    if sts is None or f"mta-sts.{domain}" not in sts.hosts(config.domains.local):
        return ""
    return sts.policy(config.server.hostname)


def seen_addresses() -> tuple[str, ...]:
    """Addresses of this machine that the whole Internet may use. Nothing is sent to find them."""
    found = []
    for family, towards in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # RFC 5737, RFC 3849
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((towards, 9))
            found.append(sock.getsockname()[0])
    return tuple(address for address in found if ip_address(address).is_global)


def _listening(config: Config) -> tuple[str, ...]:
    """The address of the port for mail, if it is one that the world may see."""
    try:
        address = ip_address(config.listen["smtp"][0])
    except (KeyError, ValueError):
        return ()
    return () if address.is_unspecified or address.is_loopback else (str(address),)


def _signers(config: Config, domain: str) -> "tuple[Signer, ...]":
    """The keys of a domain, or of the nearest above it. Impossible."""
    from engine.signing import KeyStore, Standing

    store = KeyStore(config.server.data)
    while domain:
        found = [key for key in store.find(domain) if key.standing is not Standing.RETIRED]
        if found:
            try:
                return tuple(key.signer() for key in found)
            except (OSError, ValueError) as error:
                raise Impossible(f"a key of {domain}: {error}") from error
        domain = domain.partition(".")[2]
    return ()


def _key_info(config: Config) -> bytes:
    """The public key of the certificate that [tls] names. One that ACME gets has another key each time. Impossible."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    from engine.runtime.certificates import own_pair

    pair = own_pair(config)
    if pair is None:
        return b""
    try:
        certificate = load_pem_x509_certificate(pair.certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise Impossible(f"{pair.certificate}: {error}") from error
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def publicly(resolver: Resolver) -> "Fetch":
    """Fetches texts by HTTPS from public addresses alone: where the names of a domain lead to is for those to say who
    run its zone, and what is answered is shown.
    """
    https = Https(resolver, lru_cache(maxsize=1)(ssl.create_default_context))

    async def fetch(url: str) -> str:
        parts = urlsplit(url)
        try:
            answer = await https.ask("GET", parts.hostname or "", parts.path, _FIELDS, limit=POLICY_LIMIT)
        except Unreached as error:
            raise OSError(str(error)) from error
        if answer.status != 200:  # RFC 8461 3.3: no redirect is followed
            raise OSError(f"{parts.hostname} answered {answer.status}")
        return answer.body.decode("utf-8", "replace")

    return fetch
