"""How addresses compare, and which ones may be written into the directory."""

import functools
import re
import unicodedata

import idna
from email_validator import EmailNotValidError, validate_email

from engine.directory.errors import Invalid

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_MAX_OCTETS = 254  # RFC 5321 4.5.3.1.3: a path is 256 octets with its angle brackets


def split(address: str) -> tuple[str, str] | None:
    """(local part, domain) as they compare, or None for text without both.

    The domain is an A-label in lower case, the local part lower-cased in NFC, without quotes (RFC 5321 4.1.2: the
    quoted and the plain form name the same mailbox).
    """
    local, _, domain = address.rpartition("@")
    if local[:1] == '"':
        local = _unquoted(local)
    if not local or not domain:
        return None
    return (local.lower() if local.isascii() else _folded(local)), a_label(domain)


def a_label(domain: str) -> str:
    """``domain`` as it compares (RFC 5890). A name that IDNA cannot express is only lower-cased: it equals no other."""
    return domain.lower() if domain.isascii() else _encoded(domain)


def without_tag(local: str, character: str) -> str:
    """What stands before ``character``, which begins a tag; all of it where there are no tags."""
    return local.partition(character)[0] if character else local


def is_bare_postmaster(address: str) -> bool:
    """Whether this is the one address that has no domain (RFC 5321 2.3.5, 4.5.1)."""
    return address.lower() == "postmaster"


def valid_domain(domain: str) -> str:
    """``domain`` as an A-label. Invalid for text that is no domain name."""
    try:
        name = idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise Invalid(f"{domain!r} is no domain name: {error}") from error
    labels = name.split(".")
    if len(name) > 253 or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        raise Invalid(f'{domain!r} is no domain name; write it like "example.org"')
    return name


def valid_address(address: str) -> str:
    """``address`` with its domain as an A-label and the local part as written (NFC). Invalid for one that is none.

    Domains such as ``.test`` and ``.local`` are allowed: what is local is for the operator to say.
    """
    local, _, domain = address.rpartition("@")
    if not local or not domain:
        raise Invalid(f'{address!r} is no address; write it like "user@example.org"')
    name = valid_domain(domain)
    try:
        # The stand-in domain keeps the validator's list of special-use names out of it; strict holds the local part
        # to 64 octets (RFC 5321 4.5.3.1.1).
        checked = validate_email(f"{local}@a.test", check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        raise Invalid(f"{address!r} is no address: {error}") from error
    whole = f"{checked.local_part}@{name}"
    if len(whole.encode()) > _MAX_OCTETS:
        raise Invalid(f"{address!r} is longer than {_MAX_OCTETS} octets (RFC 5321 4.5.3.1.3)")
    return whole


def _folded(local: str) -> str:
    # Lower-casing can take a character out of NFC, so it is composed again.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


def _unquoted(local: str) -> str:
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.endswith('"') and len(local) > 1 else local


@functools.lru_cache(maxsize=1024)  # IDNA takes 13 µs, and the same few domains come all day
def _encoded(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain.lower()
