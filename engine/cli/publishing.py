"""What a domain of ours should have in the DNS, by the configuration and the keys that there are."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from engine.cli import opening
from engine.cli.configured import own_sts_policy, report_page, tls_reports_to
from engine.cli.errors import Refused, Unusable

if TYPE_CHECKING:
    from engine.authentication.signer import Signer
    from engine.config import Config
    from engine.presence.records import Host


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


def host_of(config: "Config", name: str, addresses: tuple[str, ...]) -> "Host":
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
        report_page(config),
        own_sts_policy(config, domain),
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


async def fetch(url: str) -> str:
    """RFC 8461 3.3: no redirect is followed."""
    import httpx2  # slow to import

    try:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.get(url)
            answer.raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise OSError(str(error) or type(error).__name__) from error
    return answer.text
