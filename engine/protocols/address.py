"""Mail addresses: the grammar of RFC 5321 and RFC 6531, their parts, and the form in which they are compared."""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import NewType

import idna

Address = NewType("Address", str)
"""An address as an envelope holds it: ``local@domain`` as the peer wrote it, without angle brackets or source route.

Empty for the null reverse-path. ``postmaster`` in any case of letters, without a domain, is one too (RFC 5321 4.1.1.3).
"""

DOMAIN_LIMIT = 255
"""Octets of a domain (RFC 5321 4.5.3.1.2)."""

PATH_LIMIT = 256
"""Octets of a path, angle brackets counted (RFC 5321 4.5.3.1.3).

A local part has no limit of its own: forwarders and mailers make ones that are longer than the 64 octets of RFC 5321
4.5.3.1.1, which 4.5.3.1 asks us to take.
"""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
# What RFC 6531 adds, but for C1 controls and the two separators of lines: they would break a line of a report or a log.
_BEYOND = r"\u00a0-\u2027\u202a-\U0010ffff"
_UTEXT = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND}-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"

# Nearly every path is this one: an ASCII dot-atom at an ASCII domain.
_PLAIN = re.compile(rf"<{_ATEXT}++(?>(?:\.{_ATEXT}++)*)@{_DOMAIN}>")
_DOT_ATOM = re.compile(rf"{_UTEXT}++(?>(?:\.{_UTEXT}++)*)")
_QUOTED = re.compile(rf'"(?>(?:[ !#-\[\]-~{_BEYOND}]++|\\[ -~])*)"')
_ROUTE = re.compile(r"@[^@,:]+(?:,@[^@,:]+)*:")
_ASCII_DOMAIN = re.compile(_DOMAIN)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_QUOTED_PAIR = re.compile(r"\\(.)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_XTEXT = re.compile(r"(?>(?:[!-*,-<>-~]++|\+[0-9A-F]{2})*)")
_XTEXT_HEX = re.compile(rb"\+([0-9A-F]{2})")
_XTEXT_UNSAFE = re.compile(rb"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why a text is no address. ``needs_utf8``: it would be one if the transaction had asked for SMTPUTF8."""

    text: str
    needs_utf8: bool = False


def parse_path(text: str, *, null_ok: bool, utf8: bool) -> Address | Malformed:
    """The address in a path with its angle brackets: ``<user@example.org>`` (RFC 5321 4.1.2).

    ``null_ok`` stands for a reverse-path: ``<>`` is allowed and ``<postmaster>`` is not. ``utf8`` allows what RFC 6531
    adds: local parts in UTF-8, and domains in U-labels. A source route is dropped (RFC 5321 appendix C).
    """
    if len(text) <= PATH_LIMIT and _PLAIN.fullmatch(text):
        return Address(text[1:-1])
    if not (text.startswith("<") and text.endswith(">")):
        return Malformed("an address stands in angle brackets")
    inner = text[1:-1]
    if not inner and null_ok:
        return Address("")
    if inner.lower() == "postmaster" and not null_ok:
        return Address(inner)
    if not inner.isascii() and not utf8:
        return Malformed("this address needs SMTPUTF8", needs_utf8=True)
    if _SURROGATE.search(inner):
        return Malformed("this address is not UTF-8")
    return _mailbox(_without_route(inner))


def split(address: str) -> tuple[str, str]:
    """The local part (quotes kept) and the domain, as they stand; the domain is empty for ``""`` and ``postmaster``."""
    # A quoted local part may hold an "@", a domain never does.
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (address, "")


def domain_of(address: str) -> str:
    """The domain in the form in which domains are compared; empty for ``""`` and ``postmaster``."""
    return normalised_domain(split(address)[1])


def normalised(address: str) -> str:
    """The address in the form in which addresses are compared.

    The domain is lower case in A-labels, needless quotes around the local part are gone, the local part is in Unicode
    form C (RFC 6532 3.1). The case of a local part is kept: only its own host knows what it means (RFC 5321 2.4).
    """
    local, domain = split(address)
    if local.startswith('"'):
        local = _unquoted(local)
    if not local.isascii():
        local = unicodedata.normalize("NFC", local)
    if not domain:
        return local.lower() if local.lower() == "postmaster" else local
    return f"{local}@{normalised_domain(domain)}"


def normalised_domain(domain: str) -> str:
    """A domain in lower-case A-labels, an address literal in its shortest form; other text comes back in lower case."""
    if domain.startswith("["):
        return _normalised_literal(domain)
    if domain.isascii():
        return domain.lower()
    return _a_labels(domain) or domain.lower()


def xtext_encode(text: str) -> str:
    """Text as xtext of its UTF-8 octets (RFC 3461 4)."""
    return _XTEXT_UNSAFE.sub(lambda match: b"+%02X" % match[0][0], text.encode()).decode("ascii")


def xtext_decode(text: str) -> str | None:
    """What an xtext stands for; None when it is no xtext, or not of UTF-8 octets (RFC 3461 4)."""
    if not _XTEXT.fullmatch(text):
        return None
    octets = _XTEXT_HEX.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), text.encode("ascii"))
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


def _without_route(inner: str) -> str:
    if not inner.startswith("@"):
        return inner
    route = _ROUTE.match(inner)
    return inner[route.end() :] if route else inner


def _mailbox(address: str) -> Address | Malformed:
    local, domain = split(address)
    if not domain:
        return Malformed("an address is local-part@domain")
    if not (_QUOTED if local.startswith('"') else _DOT_ATOM).fullmatch(local):
        return Malformed("the part before the @ is malformed")
    if len(domain.encode()) > DOMAIN_LIMIT or len(address.encode()) + 2 > PATH_LIMIT:
        return Malformed(f"the address is longer than {PATH_LIMIT} octets")
    if not _is_domain(domain):
        return Malformed("the part after the @ is no domain")
    return Address(address)


def _is_domain(domain: str) -> bool:
    if domain.startswith("["):
        return domain.endswith("]") and _literal(domain) is not None
    if domain.isascii():
        return _ASCII_DOMAIN.fullmatch(domain) is not None
    return _a_labels(domain) is not None


def _a_labels(domain: str) -> str | None:
    # UTS 46 maps capitals (in ASCII too) and width before IDNA 2008 is asked, as people type them. ASCII labels are not
    # checked by IDNA: hosts have names that it would refuse, such as "a--b".
    try:
        labels = idna.uts46_remap(domain, std3_rules=False).split(".")
        encoded = [label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels]
    except (idna.IDNAError, UnicodeError):
        return None
    name = ".".join(encoded)
    return name if len(name) <= DOMAIN_LIMIT and _ASCII_DOMAIN.fullmatch(name) else None


def _literal(domain: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in ``[…]`` (RFC 5321 4.1.3); "IPv6" is the only tag that was ever registered."""
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:" and "%" not in inner:
            return ipaddress.IPv6Address(inner[5:])
        if _IPV4.fullmatch(inner):  # leading zeros are allowed, and mean nothing
            return ipaddress.IPv4Address(bytes(int(part) for part in inner.split(".")))
    except ValueError:
        pass
    return None


def _normalised_literal(domain: str) -> str:
    literal = _literal(domain)
    if literal is None:
        return domain.lower()
    return f"[IPv6:{literal}]" if literal.version == 6 else f"[{literal}]"


def _unquoted(local: str) -> str:
    plain = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    if _DOT_ATOM.fullmatch(plain):
        return plain
    return '"' + re.sub(r'(["\\])', r"\\\1", plain) + '"'
