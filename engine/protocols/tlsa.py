"""TLSA records (RFC 6698), as mail uses them (RFC 7672): which can be used, and which certificate fits one."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.protocols.ber import Malformed, extent

TRUST_ANCHOR, END_ENTITY = 2, 3
"""Certificate usages that mail knows: DANE-TA and DANE-EE. Who publishes 0 or 1 cannot be checked (RFC 7672 3.1.3)."""

CERTIFICATE, PUBLIC_KEY = 0, 1
WHOLE, SHA256, SHA512 = 0, 1, 2

RECORDS_LIMIT = 30
"""Records of one host that are looked at: two for each key are usual, and twice as many while keys change."""

_SIZES = {SHA256: 32, SHA512: 64}


class Tlsa(NamedTuple):
    """A record: certificate usage, selector, matching type, and the data."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def usable(self) -> bool:
        """Whether a client can do something with it."""
        known = self.usage in (TRUST_ANCHOR, END_ENTITY) and self.selector in (CERTIFICATE, PUBLIC_KEY)
        if not known or self.matching not in (WHOLE, SHA256, SHA512):
            return False
        return len(self.data) == _SIZES.get(self.matching, len(self.data)) and bool(self.data)

    def fits(self, certificate: bytes) -> bool:
        """Whether a certificate, in DER, is what the record describes."""
        try:
            chosen = public_key(certificate) if self.selector == PUBLIC_KEY else certificate
        except Malformed:
            return False
        if self.matching == WHOLE:
            return chosen == self.data
        return hashlib.new("sha256" if self.matching == SHA256 else "sha512", chosen).digest() == self.data

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Those that count, in an order of their own: of digests with one usage and selector, the strongest alone.

    So a weaker digest cannot be used by who breaks it (RFC 7671 9).
    """
    found = {record for record in records if record.usable}
    strongest: dict[tuple[int, int], int] = {}
    for record in found:
        key = record.usage, record.selector
        strongest[key] = max(strongest.get(key, WHOLE), record.matching)
    return tuple(sorted(r for r in found if r.matching in (WHOLE, strongest[r.usage, r.selector])))[:RECORDS_LIMIT]


def end_entity(records: Iterable[Tlsa], certificate: bytes) -> bool:
    """Whether a server's own certificate is one that they name. Its names and dates do not count (RFC 7672 3.1.1)."""
    return any(record.usage == END_ENTITY and record.fits(certificate) for record in records)


def trust_anchors(records: Sequence[Tlsa], chain: Sequence[bytes]) -> tuple[bytes, ...]:
    """The authorities that they name, in DER: those that a record holds whole, and those among what a server has shown.

    ``chain`` is what it has shown, its own certificate first: that is nobody's authority.
    """
    anchors = [record for record in records if record.usage == TRUST_ANCHOR]
    whole = (record.data for record in anchors if (record.selector, record.matching) == (CERTIFICATE, WHOLE))
    shown = (certificate for certificate in chain[1:] if any(record.fits(certificate) for record in anchors))
    return tuple(dict.fromkeys((*whole, *shown)))


def public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate, octet by octet as it stands there (RFC 5280 4.1). Malformed."""
    start, end = _inside(certificate, 0, len(certificate))  # Certificate
    place, end = _inside(certificate, start, end)  # TBSCertificate
    # version (there in all but those of version 1), serialNumber, signature, issuer, validity, subject
    for _ in range(6 if certificate[place : place + 1] == b"\xa0" else 5):
        place = _inside(certificate, place, end)[1]
    return certificate[place : _inside(certificate, place, end)[1]]


def _inside(octets: bytes, place: int, limit: int) -> tuple[int, int]:
    """Where the content of the element at ``place`` begins and ends. Malformed."""
    found = extent(octets, place)
    if found is None or found[1] > limit:
        raise Malformed("no certificate")
    return found
