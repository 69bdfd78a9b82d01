"""What strings may hold: encoded characters (RFC 5228 2.4.2.4) and variables (RFC 5229 3)."""

import re
from urllib.parse import quote

from engine.sieve.compiled import Template, Words

LARGEST_MATCH_VARIABLE = 32
"""RFC 5229 3.2 asks for 9."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SPACE = r"[ \t\r\n]*"
_HEX = rf"\$\{{hex:{_SPACE}[0-9A-Fa-f]{{1,2}}(?:[ \t\r\n]+[0-9A-Fa-f]{{1,2}})*{_SPACE}\}}"
_UNICODE = rf"\$\{{unicode:({_SPACE}[0-9A-Fa-f]+(?:[ \t\r\n]+[0-9A-Fa-f]+)*{_SPACE})\}}"
_ENCODED = re.compile(rf"((?:{_HEX})+)|{_UNICODE}", re.IGNORECASE)
_PAIR = re.compile(r"\b[0-9A-Fa-f]{1,2}\b")
_REFERENCE = re.compile(r"\$\{((?:[A-Za-z_][A-Za-z0-9_]*\.)*)([A-Za-z_][A-Za-z0-9_]*|[0-9]+)\}")
_WILDCARD = re.compile(r"[*?\\]")
_REGEX_SPECIAL = re.compile(r"[\\^$.\[\]|()*+?{}]")


class Names:
    """The variables of one script. ``shared``: those that a `global` command has named (RFC 6609 3.4.1)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self.shared: set[str] = set()

    def take(self, name: str) -> str:
        """The name under which a variable is kept. ValueError where there are too many."""
        name = name.lower()
        if name in self.shared:
            name = f"global.{name}"
        self._known.add(name)
        if len(self._known) > self._limit:
            raise ValueError(f"a script has at most {self._limit} variables")
        return name


def decoded(text: str) -> str:
    """The text with its encoded characters as what they stand for. ValueError for a number that is no character."""

    def character(match: re.Match[str]) -> str:
        if match[1]:
            # Octets side by side may be one character.
            return bytes(int(pair, 16) for pair in _PAIR.findall(match[1])).decode("utf-8", "replace")
        codes = [int(code, 16) for code in match[2].split()]
        if any(code > 0x10FFFF or 0xD800 <= code <= 0xDFFF for code in codes):
            raise ValueError(f"`{match[0]}` is no character of Unicode")
        return "".join(map(chr, codes))

    return _ENCODED.sub(character, text)


def template(text: str, names: Names, *, shared: bool) -> Words:
    """The text, ready to have its variables filled in; as it is, where it has none. ValueError for a wrong one."""
    texts, found, end = [], [], 0
    for match in _REFERENCE.finditer(text):
        texts.append(text[end : match.start()])
        found.append(_name(match[1].lower(), match[2], names, shared=shared))
        end = match.end()
    return Template([*texts, text[end:]], found) if found else text


def _name(space: str, name: str, names: Names, *, shared: bool) -> str:
    if name.isdigit():
        if space:
            raise ValueError(f"`${{{space}{name}}}` is no variable")
        if len(name) > 4 or int(name) > LARGEST_MATCH_VARIABLE:
            raise ValueError(f"match variables go up to ${{{LARGEST_MATCH_VARIABLE}}}")
        return str(int(name))
    if space and not (shared and space == "global."):
        raise ValueError(f"`{space}` is no namespace of variables here")
    return names.take(space + name)


def first(text: str, change: str) -> str:
    """`:lowerfirst` and `:upperfirst` (RFC 5229 4.1.2)."""
    return (text[:1].lower() if change == "lowerfirst" else text[:1].upper()) + text[1:]


def quote_wildcards(text: str) -> str:
    """RFC 5229 4.1.3."""
    return _WILDCARD.sub(r"\\\g<0>", text)


def quote_regex(text: str) -> str:
    """Text as a regular expression that matches it alone."""
    return _REGEX_SPECIAL.sub(r"\\\g<0>", text)


def encode_url(text: str) -> str:
    """RFC 5435 6."""
    return quote(text, safe="-._~")
