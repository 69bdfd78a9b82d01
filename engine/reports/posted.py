"""Reports on TLS that are posted to us (RFC 8460 3, 5.4): what is read of a request by a stranger."""

import zlib

from engine.reports.tls_received import JSON_LIMIT, TlsReport, parse
from engine.reports.unpacked import Unreadable

GZIP, JSON = "application/tlsrpt+gzip", "application/tlsrpt+json"
"""RFC 8460 6.4, 6.5."""

BODY_LIMIT = 2 * 2**20
"""Octets of a request: gzip makes a report some twenty times smaller."""


def kind_of(content_type: str) -> str:
    """GZIP or JSON; empty for all other types. Parameters do not count."""
    found = content_type.partition(";")[0].strip().lower()
    return found if found in (GZIP, JSON) else ""


def read(kind: str, octets: bytes) -> TlsReport:
    """The report. Unreadable, for a bomb as well."""
    if len(octets) > BODY_LIMIT:
        raise Unreadable(f"it has more than {BODY_LIMIT // 2**20} MiB")
    return parse(_gunzipped(octets) if kind == GZIP else octets)


def _gunzipped(octets: bytes) -> bytes:
    """What is in it, of which no more is unpacked than may be there."""
    stream = zlib.decompressobj(31)
    try:
        found = stream.decompress(octets, JSON_LIMIT + 1)
    except zlib.error as error:
        raise Unreadable(f"its gzip is damaged: {error}") from error
    if len(found) > JSON_LIMIT:
        raise Unreadable(f"more than {JSON_LIMIT // 2**20} MiB come out of it")
    if not stream.eof or stream.unused_data:
        raise Unreadable("its gzip has no end, or something behind it")
    return found
