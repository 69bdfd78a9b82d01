"""ORCPT: the address that a sender first wrote to, with its type (RFC 3461 4.2, RFC 6533 3)."""

import re

from engine.protocols.address import xtext_decode, xtext_encode

_ESCAPED = re.compile(r"\\x\{([0-9A-F]{2,5}|10[0-9A-F]{4})\}")


def orcpt(address: str) -> str:
    """The parameter that stands for an address, "rfc822;user+2Btag@example.org"."""
    if address.isascii():
        return f"rfc822;{xtext_encode(address)}"
    return "utf-8;" + re.sub(r"[\\+=]", lambda match: f"\\x{{{ord(match[0]):X}}}", address)  # utf-8-addr-unitext


def orcpt_address(original: str) -> str:
    """The address that the parameter stands for, also one that is not quite right; empty for an empty one."""
    kind, _, encoded = original.partition(";")
    if kind.lower() == "utf-8":
        return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), encoded)
    decoded = xtext_decode(encoded)
    return encoded if decoded is None else decoded
