"""LDAP search filters: from text (RFC 4515) to what a request carries (RFC 4511 4.5.1.7)."""

import re

from engine.protocols.ber import boolean, element, octets

DEEPEST = 30
"""Filters within each other: far more than anybody writes."""

_AND, _OR, _NOT = 0xA0, 0xA1, 0xA2
_EQUAL, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA3, 0xA4, 0x87, 0xA9
_COMPARED = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82

_ATTRIBUTE = r"[A-Za-z0-9][A-Za-z0-9.;-]*"
_ITEM = re.compile(rf"({_ATTRIBUTE})(>=|<=|~=|=)([^()]*)")
_RULED = re.compile(rf"({_ATTRIBUTE})?(:dn)?(?::({_ATTRIBUTE}))?:=([^()]*)")
_SPECIAL = re.compile(r"[\0()*\\]")
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2})?")


class BadFilter(ValueError):
    """Text that is no filter; it says where."""


def escaped(value: str) -> str:
    """``value`` as it may stand in a filter, whatever it holds."""
    return _SPECIAL.sub(lambda found: f"\\{ord(found[0]):02x}", value)


def parse_filter(text: str) -> bytes:
    """The filter in BER. BadFilter."""
    encoded, end = _filter(text, 0, DEEPEST)
    if end != len(text):
        raise BadFilter(f"{text[end:]!r} stands behind the filter")
    return encoded


def _filter(text: str, start: int, depth: int) -> tuple[bytes, int]:
    """What begins at ``start``, and where it ends."""
    if not depth:
        raise BadFilter("filters are nested too deeply")
    if text[start : start + 1] != "(":
        raise BadFilter(f'"(" is lacking before {text[start:]!r}')
    kind = text[start + 1 : start + 2]
    if kind in ("&", "|", "!"):
        encoded, end = _combined(text, start + 2, kind, depth)
    else:
        encoded, end = _item(text, start + 1)
    if text[end : end + 1] != ")":
        raise BadFilter(f'")" is lacking before {text[end:]!r}')
    return encoded, end + 1


def _combined(text: str, start: int, kind: str, depth: int) -> tuple[bytes, int]:
    parts = []
    end = start
    while text[end : end + 1] == "(":
        part, end = _filter(text, end, depth - 1)
        parts.append(part)
    if not parts or (kind == "!" and len(parts) > 1):
        raise BadFilter(f"{kind!r} has {'no filter' if not parts else 'more than one filter'} behind it")
    return element({"&": _AND, "|": _OR, "!": _NOT}[kind], *parts), end


def _item(text: str, start: int) -> tuple[bytes, int]:
    ruled = _RULED.match(text, start)
    if ruled:
        return _extensible(*ruled.groups()), ruled.end()
    found = _ITEM.match(text, start)
    if found is None:
        raise BadFilter(f"no attribute=value at {text[start:]!r}")
    attribute, operator, value = found.groups()
    if operator == "=" and value == "*":
        return octets(attribute, _PRESENT), found.end()
    if operator == "=" and "*" in value:
        return element(_SUBSTRINGS, octets(attribute), _substrings(value)), found.end()
    return element(_COMPARED[operator], octets(attribute), octets(_value(value))), found.end()


def _substrings(value: str) -> bytes:
    initial, *middle, final = value.split("*")
    parts = [(_INITIAL, initial), *((_ANY, part) for part in middle), (_FINAL, final)]
    return element(0x30, *(octets(_value(part), tag) for tag, part in parts if part))


def _extensible(attribute: str | None, dn: str | None, rule: str | None, value: str) -> bytes:
    if not (attribute or rule):
        raise BadFilter('":=" needs an attribute or a matching rule before it')
    return element(
        _EXTENSIBLE,
        octets(rule, 0x81) if rule else b"",
        octets(attribute, 0x82) if attribute else b"",
        octets(_value(value), 0x83),
        boolean(True, 0x84) if dn else b"",
    )


def _value(text: str) -> bytes:
    def unescaped(found: "re.Match[bytes]") -> bytes:
        if found[1] is None:
            raise BadFilter(f"a backslash stands before two hexadecimal digits, but not in {text!r}")
        return bytes.fromhex(found[1].decode())

    return _ESCAPE.sub(unescaped, text.encode())
