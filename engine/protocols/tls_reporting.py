"""The record by which a domain asks for reports on TLS (RFC 8460 3)."""

import re
from collections.abc import Iterable

RECORD_LIMIT = 4096
"""Octets of a record that are read."""

_VERSION = re.compile(rb"v=TLSRPTv1[ \t]*(?:;|\Z)")
_RUA = re.compile(r";[ \t]*rua[ \t]*=([^;]*)")


def record_name(domain: str) -> str:
    """Where the record of a domain is."""
    return f"_smtp._tls.{domain}"


def report_uris(texts: Iterable[bytes]) -> str:
    """The rua= in the TXT records; empty where no report is asked for.

    Of several that begin as such records do, none counts (RFC 8460 3).
    """
    found = [text for text in texts if _VERSION.match(text)]
    if len(found) != 1:
        return ""
    match = _RUA.search(found[0][:RECORD_LIMIT].decode("latin-1"))
    return match[1].strip(" \t") if match else ""
