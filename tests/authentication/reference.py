"""Canonical forms as RFC 6376 3.4 says them, line by line and slowly."""

import re


def relaxed_field(octets: bytes) -> bytes:
    name, value = octets.split(b":", 1)
    unfolded = value.replace(b"\r\n", b"")
    return name.lower().strip() + b":" + re.sub(rb"[ \t]+", b" ", unfolded).strip(b" ") + b"\r\n"


def body(octets: bytes, *, relaxed: bool) -> bytes:
    lines = octets.split(b"\r\n")  # the last has no CRLF, and is no line where it is empty
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        del lines[-1]
    if not lines:
        return b"" if relaxed else b"\r\n"
    return b"".join(line + b"\r\n" for line in lines)


def chosen(fields: list[bytes], names: list[str]) -> bytes:
    """The fields that h= names, relaxed; each field once, from the lowest."""
    left = list(fields)
    found = []
    for name in names:
        for field in reversed(left):
            if field.split(b":")[0].strip().lower() == name.encode().lower():
                left.remove(field)
                found.append(relaxed_field(field))
                break
    return b"".join(found)
