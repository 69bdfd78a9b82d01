"""The records that a domain whose mail is here should have."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote

from engine.authentication.signer import Signer
from engine.protocols.tls_reporting import record_name as record_name_of_tls_reports
from engine.signing.publishing import record, record_name, txt

SERVICES = ("submissions", "submission", "imaps", "imap", "pop3s", "pop3", "managesieve")
"""Listeners that mail programs look for by SRV records, best first (RFC 6186 3, RFC 8314 5.1, RFC 5804 1.8)."""


@dataclass(frozen=True, slots=True)
class Host:
    """What our configuration says of the server for a domain. All names are in A-labels."""

    domain: str
    hostname: str
    addresses: tuple[str, ...] = ()  # that the world sees; empty: we cannot know
    ports: Mapping[str, int] = field(default_factory=dict)  # listener → port
    signers: tuple[Signer, ...] = ()  # the domain's keys that sign or wait
    key_info: bytes = b""  # SubjectPublicKeyInfo of a certificate whose key stays; empty: there is none
    tls_reports: str = ""  # the address that takes reports on TLS; empty: the postmaster's
    report_page: str = ""  # where they can be posted to; empty: nowhere
    sts_policy: str = ""  # that we serve for the domain; empty: none


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a zone file has it; ``name`` without the final dot."""

    name: str
    rdtype: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}. IN {self.rdtype} {self.text}"


def wanted(host: Host) -> Iterator[Record]:
    """What can be published as it stands."""
    domain, hostname = host.domain, host.hostname
    yield Record(domain, "MX", f"10 {hostname}.")
    if within(hostname, domain):
        yield from addresses(host)
    yield Record(domain, "TXT", txt("v=spf1 mx -all"))
    if hostname != domain and within(hostname, domain):  # for reports, which have no sender (RFC 7208 2.3)
        yield Record(hostname, "TXT", txt("v=spf1 a -all"))
    for signer in host.signers:
        yield Record(record_name(signer.domain, signer.selector), "TXT", txt(record(signer.key)))
    yield Record(f"_dmarc.{domain}", "TXT", txt(f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"))
    yield tls_reports(domain, host.tls_reports, host.report_page)
    if host.sts_policy:
        yield Record(f"mta-sts.{domain}", "CNAME", f"{hostname}.")
        yield sts_record(domain, host.sts_policy)
    for rank, service in enumerate(service for service in SERVICES if host.ports.get(service)):
        yield Record(service_name(service, domain), "SRV", f"{rank} 1 {host.ports[service]} {hostname}.")


def service_name(listener: str, domain: str) -> str:
    """Where the SRV record of a listener is. All but one are called as their services are."""
    return f"_{'sieve' if listener == 'managesieve' else listener}._tcp.{domain}"


def addresses(host: Host) -> Iterator[Record]:
    for address in host.addresses:
        yield Record(host.hostname, "A" if ip_address(address).version == 4 else "AAAA", address)


def reverse(host: Host) -> Iterator[Record]:
    """In zones of whoever gave us the addresses."""
    for address in host.addresses:
        yield Record(ip_address(address).reverse_pointer, "PTR", f"{host.hostname}.")


def sts_record(domain: str, policy: str) -> Record:
    """What says that there is a policy (RFC 8461 3.1): another id when it is another one."""
    identity = hashlib.sha256(policy.encode()).hexdigest()[:20]
    return Record(f"_mta-sts.{domain}", "TXT", txt(f"v=STSv1; id={identity}"))


def tls_reports(domain: str, address: str = "", page: str = "") -> Record:
    """What asks others for reports on TLS (RFC 8460 3): to the address, and to a page that takes them; where there is
    neither, to the postmaster.
    """
    to = [f"mailto:{quote(address or f'postmaster@{domain}', safe='@+=')}"] if address or not page else []
    uris = ",".join([*to, *([quote(page, safe=":/[]@")] if page else [])])
    return Record(record_name_of_tls_reports(domain), "TXT", txt(f"v=TLSRPTv1; rua={uris}"))


def tlsa(host: Host) -> Record | None:
    """DANE for our certificate's key (RFC 7672 3.1.1), of use in a zone that DNSSEC signs; None without one."""
    if not host.key_info:
        return None
    return Record(f"_25._tcp.{host.hostname}", "TLSA", f"3 1 1 {hashlib.sha256(host.key_info).hexdigest()}")


def within(name: str, domain: str) -> bool:
    return f".{name}".endswith(f".{domain}")
