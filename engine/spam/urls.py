"""URLs in mail: where they are in text, and what their host is."""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from engine.authentication.suffixes import registered

LONGEST = 2_000
"""Characters of a URL that are read."""

MOST = 300
"""URLs of a message that are looked at."""

_IN_TEXT = re.compile(r"(?i)\b(?:https?://|www\.)[^\s<>\"'()\[\]{}|\\^`]++")
_HOST = re.compile(r"(?i)\A(?:([a-z][a-z0-9+.-]*+):)?/*+([^/?#\\]*+)([^?#]*+)")
_NAME = re.compile(r"\A[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z")
_DOMAIN = re.compile(r"(?i)\b((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})\b")


class Url(NamedTuple):
    """A URL that leads to a host of the web. ``host`` in A-labels and lower case; ``site`` is the domain registered."""

    host: str
    site: str
    path: str
    is_address: bool  # the host is an IP address
    has_login: bool  # something stands before an "@", which is read as the host
    scheme: str


def in_text(text: str) -> list[str]:
    """The URLs that a reader of plain text is shown as links, at most MOST."""
    found = []
    for match in _IN_TEXT.finditer(text):
        found.append(match[0][:LONGEST].rstrip(".,;:!?*_~"))
        if len(found) == MOST:
            break
    return found


def parsed(url: str) -> Url | None:
    """The parts of a URL of http or https; None for any other, and for what has no host."""
    match = _HOST.match(url[:LONGEST].replace("\t", "").replace("\n", "").replace("\r", ""))
    if match is None or (scheme := (match[1] or "http").lower()) not in {"http", "https"}:
        return None
    login, _, host = match[2].rpartition("@")
    host = _plain_host(unquote(host))
    if not host:
        return None
    address = _address(host)
    if address:
        return Url(address, address, match[3], True, bool(login), scheme)
    return Url(host, site_of(host), match[3], False, bool(login), scheme)


def named_site(text: str) -> str | None:
    """The registered domain that a short text names, as the text of a link may; None: it names none."""
    match = _DOMAIN.search(text[:200])
    if match is None:
        return None
    return site_of(match[1].lower())


def _plain_host(host: str) -> str:
    host = host.strip().rstrip(".").lower()
    if not host.startswith("["):
        host = host.partition(":")[0]
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return host if host.startswith("[") or ("." in host and _NAME.match(host)) or host.isdigit() else ""


def _address(host: str) -> str:
    """The IP address that a host is, in whatever way it is written; empty: it is a name."""
    try:
        if host.startswith("["):
            return str(ipaddress.ip_address(host.strip("[]").partition("]")[0]))
        if host.isdigit():  # browsers take one number, too
            return str(ipaddress.IPv4Address(int(host)))
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return ""


@lru_cache(maxsize=4096)
def site_of(host: str) -> str:
    """The registered domain of a host in lower case."""
    return registered(host)
