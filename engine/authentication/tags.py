"""Lists of tag=value, as in DKIM-Signature fields and key records (RFC 6376 3.2)."""

import binascii
import re

_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_VALUE = re.compile(rb"[!-:<-~\x80-\xff \t\r\n]*")  # RFC 8616 3: with UTF-8
_SPACE = " \t\r\n"
_QUOTED = re.compile(rb"=([0-9A-F]{2})")


def parse_tags(octets: bytes) -> dict[str, str]:
    """Tags in their order, with their values, folds inside of them kept. ValueError says what breaks the grammar.

    Names are told apart by case; a name that occurs twice spoils the whole list.
    """
    specs = octets.split(b";")
    if not specs[-1].strip():
        del specs[-1]  # a final semicolon is allowed
    tags: dict[str, str] = {}
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip(b" \t\r\n")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError("no list of tag=value")
        key = name.decode("ascii")
        if key in tags:
            raise ValueError(f"the tag {key}= occurs twice")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the tag {key}= holds a control character")
        try:
            tags[key] = value.decode().strip(_SPACE)
        except UnicodeDecodeError:
            raise ValueError(f"the tag {key}= is not in UTF-8") from None
    return tags


def without_space(value: str) -> str:
    """``value`` without the white space that folding may put anywhere."""
    for space in _SPACE:
        value = value.replace(space, "")
    return value


def base64(value: str) -> bytes:
    """The octets of a base64string (RFC 6376 2.10), in which white space and missing padding mean nothing.

    ValueError for other text.
    """
    text = without_space(value)
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        raise ValueError("no base64") from None


def unquoted(value: str) -> str:
    """The text that dkim-quoted-printable stands for (RFC 6376 2.11), in which white space means nothing.

    An equals sign before anything else stands for itself.
    """
    octets = without_space(value).encode()
    return _QUOTED.sub(lambda match: bytes.fromhex(match[1].decode()), octets).decode(errors="replace")


def listed(value: str) -> list[str]:
    """The items of a list with colons between them."""
    return [item.strip(_SPACE) for item in value.split(":")]
