"""ORCPT: the address that a sender first wrote to, with its type (RFC 3461 4.2, RFC 6533 3)."""

import re

from engine.protocols.address import xtext_decode, xtext_encode

EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,5}|10[0-9A-F]{4})\}")
"""A character of utf-8-addr-xtext and utf-8-addr-unitext that is written by its number (RFC 6533 3)."""

_SPECIAL = re.compile(r"[\\+= ]")
_BEYOND = re.compile(r"[^!-*,-<>-\[\]-~]")


def orcpt(address: str) -> str:
    """The parameter that stands for an address, "rfc822;user+2Btag@example.org"."""
    if address.isascii():
        return f"rfc822;{xtext_encode(address)}"
    return "utf-8;" + _SPECIAL.sub(_number, address)  # utf-8-addr-unitext


def unicode_xtext(address: str) -> str:
    """The address as utf-8-addr-xtext, which is ASCII (RFC 6533 3)."""
    return _BEYOND.sub(_number, address)


def orcpt_address(original: str) -> str:
    """The address that the parameter stands for, also one that is not quite right; empty for an empty one."""
    kind, _, encoded = original.partition(";")
    if kind.lower() == "utf-8":
        return EMBEDDED.sub(character, encoded)
    decoded = xtext_decode(encoded)
    return encoded if decoded is None else decoded


def character(match: re.Match[str]) -> str:
    """The character that stands in EMBEDDED; as it was written where it is half a surrogate pair or a control, which
    would break what the address is put into."""
    number = int(match[1], 16)
    return match[0] if number < 0x20 or 0x7F <= number < 0xA0 or 0xD800 <= number < 0xE000 else chr(number)


def _number(match: re.Match[str]) -> str:
    return f"\\x{{{ord(match[0]):02X}}}"
