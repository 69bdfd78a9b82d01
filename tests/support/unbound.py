"""A validating resolver on loopback, with zones that are signed, unsigned, or broken."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.support.programs import path_of
from tests.support.server import free_port, program

_DAYS = 86_400

_CONFIG = """\
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  logfile: "{folder}/log"
  pidfile: ""
  username: ""
  chroot: ""
  directory: "{folder}"
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "validator iterator"
  cache-max-negative-ttl: 1
"""
_ZONE = """\
auth-zone:
  name: "{name}"
  zonefile: "{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""


@dataclass(frozen=True)
class Told:
    """What one zone holds: name → type → texts, "@" for itself.

    Records in ``forged`` stand there in place of those that were signed.
    """

    name: str
    records: Mapping[str, Mapping[str, str | Sequence[str]]]
    signed: bool = True
    forged: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def _text(zone: Told) -> str:
    lines = [f"$ORIGIN {zone.name}.", "$TTL 60", "@ IN SOA ns hostmaster 1 3600 600 86400 60", "@ IN NS ns"]
    lines += ["ns IN A 127.0.0.1"]
    for name, by_type in zone.records.items():
        for kind, texts in by_type.items():
            lines += [f"{name} IN {kind} {text}" for text in ([texts] if isinstance(texts, str) else texts)]
    return "\n".join(lines) + "\n"


def _signed(zone: Told) -> tuple[str, str]:
    """The zone's text with its signatures, and its key as a trust anchor."""
    made = dns.zone.from_text(_text(zone), relativize=False)
    key = generate_private_key(SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    now = int(time.time())
    dns.dnssec.sign_zone(made, keys=[(key, public)], inception=now - _DAYS, expiration=now + _DAYS, dnskey_ttl=60)
    for name, by_type in zone.forged.items():
        for kind, text in by_type.items():
            rdtype = dns.rdatatype.from_text(kind)
            rdataset = made.find_rdataset(dns.name.from_text(f"{name}.{zone.name}"), rdtype)
            forged = dns.rdata.from_text("IN", kind, text, dns.name.from_text(zone.name), False)
            rdataset.clear()
            rdataset.add(forged, 60)
    return made.to_text(), f"{zone.name}. 60 IN DNSKEY {public.to_text()}"


@contextlib.contextmanager
def unbound(folder: Path, *zones: Told) -> Iterator[str]:
    """Run it meanwhile; gives its address, for ``[dns] servers``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = _CONFIG.format(port=port, folder=folder)
    parts = ""
    for zone in zones:
        text, anchor = _signed(zone) if zone.signed else (_text(zone), "")
        file = folder / f"{zone.name}.zone"
        file.write_text(text)
        config += f'  trust-anchor: "{anchor}"\n' if anchor else ""
        parts += _ZONE.format(name=f"{zone.name}.", file=file)
    path = folder / "unbound.conf"
    path.write_text(config + parts)
    with program([path_of("unbound"), "-dp", "-c", str(path)], port):
        yield f"127.0.0.1:{port}"
