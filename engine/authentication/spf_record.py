"""The SPF record as it is written (RFC 7208 4.5, 4.6, 7): parsed whole, before anything of it is evaluated."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote

from engine.authentication.outcome import Result
from engine.net.targets import Network

RECORD_LIMIT = 16_384
"""Octets of a record or an explanation. RFC 7208 3.4 wants them below 450; a TXT record may have 65,535, made to be
slow to read."""

USUAL = 512
"""Octets up to which a record that was read is remembered: that is nearly every one, and bounds the memory it takes."""

NAME_LIMIT = 253
"""Characters of a domain name in a question (RFC 7208 7.3)."""


_QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}

# One macro, and no digits beyond what means anything: a domain name has 127 labels at most.
_EXPAND = r"%(?:\{[slodipvhcrtSLODIPVHCRT][0-9]{0,9}[rR]?[-.+,/_=]*\}|[%_-])"
_LITERAL = r"[!-$&-~]"
_TOPLABEL = r"(?![0-9]+\.?\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_CIDR = r"0|[1-9][0-9]{0,2}"

_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([-+?~]?)([A-Za-z][A-Za-z0-9_.-]*)(.*)", re.DOTALL)
_MACRO_STRING = re.compile(rf"(?:{_EXPAND}|{_LITERAL})*")
_EXPLANATION = re.compile(rf"(?:{_EXPAND}|{_LITERAL}| )*")
_DOMAIN_SPEC = re.compile(rf"(?:{_EXPAND}|{_LITERAL})*(?:\.{_TOPLABEL}\.?|{_EXPAND})")
_ONLY_IN_EXPLANATIONS = re.compile(r"%\{[crt]", re.IGNORECASE)
_PREFIXES = re.compile(rf"(?P<domain>.*?)(?:/(?P<four>{_CIDR}))?(?://(?P<six>{_CIDR}))?", re.DOTALL)
_NETWORK = re.compile(rf":(?P<address>[0-9A-Fa-f:.]+)(?:/(?P<length>{_CIDR}))?")
_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([^}]*)\}|([%_-]))")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism. ``domain`` is a domain-spec, macros and all; empty stands for the domain that is checked."""

    text: str
    name: str
    result: Result
    domain: str = ""
    network: Network | None = None
    ipv4_prefix: int = 32
    ipv6_prefix: int = 128


@dataclass(frozen=True, slots=True)
class Record:
    """Mechanisms in their order, and the domain-specs of the two modifiers that mean something; empty: not there."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    explanation: str = ""


def select(texts: Sequence[bytes]) -> list[bytes]:
    """Those of a domain's TXT records that are SPF records (RFC 7208 4.5); one is right."""
    return [text for text in texts if _VERSION.match(text)]


def parse(octets: bytes) -> Record:
    """The record. ValueError, with a text for the operator, for any mistake anywhere in it (RFC 7208 4.6)."""
    return _read_before(octets) if len(octets) <= USUAL else _read(octets)


def _read(octets: bytes) -> Record:
    if len(octets) > RECORD_LIMIT:
        raise ValueError(f"the record has more than {RECORD_LIMIT} octets")
    try:
        terms = octets.decode("ascii").split(" ")[1:]
    except UnicodeDecodeError:
        raise ValueError("the record is not ASCII") from None
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in filter(None, terms):
        modifier = _MODIFIER.fullmatch(term)
        if modifier is None:
            mechanisms.append(_mechanism(term))
            continue
        name, value = modifier[1].lower(), modifier[2]
        if name not in ("redirect", "exp"):
            _must(_MACRO_STRING.fullmatch(value), term)
            continue
        _must(name not in modifiers, term, "is there twice")
        modifiers[name] = _domain_spec(value, term)
    return Record(tuple(mechanisms), modifiers.get("redirect", ""), modifiers.get("exp", ""))


_read_before = lru_cache(maxsize=512)(_read)


def is_explanation(text: str) -> bool:
    """Whether a text is an explain-string (RFC 7208 6.2)."""
    return _EXPLANATION.fullmatch(text) is not None


def letters(text: str) -> set[str]:
    """The macros that a text uses, in lower case."""
    return {match[1].lower() for match in _MACRO.finditer(text) if match[1]}


def expand(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its macros replaced (RFC 7208 7.3). ``values`` has every letter that ``letters`` finds."""
    known: dict[str, str] = {}  # a record may repeat a macro thousands of times

    def replaced(match: re.Match[str]) -> str:
        found = known.get(match[0])
        if found is None:
            found = known[match[0]] = _expanded(match, values)
        return found

    return _MACRO.sub(replaced, text)


def target_name(text: str) -> str:
    """An expanded domain-spec as a name to ask for: no final dot, and cut from the left to fit (RFC 7208 7.3)."""
    name = text.removesuffix(".")
    while len(name) > NAME_LIMIT:
        name = name[-NAME_LIMIT - 1 :].partition(".")[2]
    return name


def _expanded(match: re.Match[str], values: Mapping[str, str]) -> str:
    letter, digits, reverse, delimiters, escape = match.groups()
    if escape:
        return _ESCAPES[escape]
    value = values[letter.lower()]
    if digits or reverse or delimiters:
        parts = re.split(f"[{re.escape(delimiters or '.')}]", value)
        if reverse:
            parts.reverse()
        value = ".".join(parts[-int(digits) :] if digits else parts)
    return quote(value, safe="-._~") if letter.isupper() else value


def _must(holds: object, term: str, what: str = "is malformed") -> None:
    if not holds:
        raise ValueError(f"{term[:100]!r} {what}")


def _mechanism(term: str) -> Mechanism:
    match = _MECHANISM.fullmatch(term)
    name = match[2].lower() if match else ""
    parser = _MECHANISMS.get(name)
    if match is None or parser is None:
        raise ValueError(f"{term[:100]!r} is no mechanism")
    return parser(Mechanism(term, name, _QUALIFIERS[match[1] or "+"]), match[3])


def _bare(mechanism: Mechanism, rest: str) -> Mechanism:
    _must(not rest, mechanism.text)
    return mechanism


def _with_domain(mechanism: Mechanism, rest: str) -> Mechanism:
    _must(rest.startswith(":"), mechanism.text)
    return replace(mechanism, domain=_domain_spec(rest[1:], mechanism.text))


def _with_optional_domain(mechanism: Mechanism, rest: str) -> Mechanism:
    return _with_domain(mechanism, rest) if rest else mechanism


def _with_prefixes(mechanism: Mechanism, rest: str) -> Mechanism:
    match = _PREFIXES.fullmatch(rest)
    assert match is not None
    ipv4, ipv6 = int(match["four"] or 32), int(match["six"] or 128)
    _must(ipv4 <= 32 and ipv6 <= 128, mechanism.text)
    changed = replace(mechanism, ipv4_prefix=ipv4, ipv6_prefix=ipv6)
    return _with_optional_domain(changed, match["domain"])


def _with_network(kind: type[Network]) -> Callable[[Mechanism, str], Mechanism]:
    def parser(mechanism: Mechanism, rest: str) -> Mechanism:
        match = _NETWORK.fullmatch(rest)
        _must(match, mechanism.text)
        assert match is not None
        try:
            network = kind(
                f"{match['address']}/{match['length']}" if match["length"] else match["address"], strict=False
            )
        except ValueError:
            raise ValueError(f"{mechanism.text[:100]!r} names no network") from None
        return replace(mechanism, network=network)

    return parser


_MECHANISMS: Mapping[str, Callable[[Mechanism, str], Mechanism]] = {
    "all": _bare,
    "include": _with_domain,
    "a": _with_prefixes,
    "mx": _with_prefixes,
    "ptr": _with_optional_domain,
    "ip4": _with_network(ipaddress.IPv4Network),
    "ip6": _with_network(ipaddress.IPv6Network),
    "exists": _with_domain,
}


def _domain_spec(text: str, term: str) -> str:
    _must(_DOMAIN_SPEC.fullmatch(text), term)
    _must(not _ONLY_IN_EXPLANATIONS.search(text), term, "uses a macro that stands only in explanations")
    _must(not any(int(match[2] or 1) == 0 for match in _MACRO.finditer(text)), term)
    return text
