"""What became of TLS with a server, for those who count it (RFC 8460)."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.net.dns import a_labels
from engine.outbound.handshake import Failed
from engine.outbound.way import Security
from engine.policies.results import PolicyType, TlsResult


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a connection."""

    host: str
    address: str
    own_address: str = ""
    helo: str = ""  # what the server calls itself


def domains_of(addresses: Iterable[str]) -> frozenset[str]:
    """The domains of recipients, in A-labels; what is no domain is left out."""
    found = {address.rpartition("@")[2] for address in addresses}
    return frozenset(name for domain in found if domain[:1] not in ("", "[") and (name := _name(domain)))


def _name(domain: str) -> str:
    try:
        return a_labels(domain)
    except ValueError:
        return ""


def told(security: Security, domain: str, ends: Ends, failed: Failed | None) -> TlsResult:
    """How a session with those ends counts for a domain whose mail wants that security."""
    published, dane = security.published, security.published.dane_of(ends.host)
    kind: PolicyType = "no-policy-found"
    lines: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    if dane is not None:
        kind, lines = "tlsa", tuple(map(str, dane.records))
    elif published.sts is not None:
        kind, lines, patterns = "sts", published.sts.lines, published.sts.mx
    return TlsResult(
        kind, domain, lines, patterns,
        result=failed.result if failed else "",
        reason=str(failed) if failed else "",
        sending_ip=ends.own_address,
        mx_hostname=ends.host,
        mx_helo=ends.helo,
        receiving_ip=ends.address if not ends.address.startswith("/") else "",
    )  # fmt: skip
