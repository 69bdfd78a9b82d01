"""Octets to text by the name of a charset (RFC 2978), as mailers use these names."""

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

_NAMES = {
    # What is labelled with the old name often holds characters that only the larger set has.
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "hz-gb-2312": "hz",
    "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "ksc5601": "cp949",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "windows-31j": "cp932",
    "iso-2022-jp": "iso2022_jp_ext", "iso-8859-8-i": "iso8859_8", "iso-8859-8-e": "iso8859_8", "big5": "cp950",
    "utf8": "utf-8", "utf-8mb4": "utf-8", "utf8mb4": "utf-8", "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
}  # fmt: skip
_NO_CHARSETS = {
    "idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem", "palmos",
}  # fmt: skip
"""Text encodings of Python that no mail has; some of them take quadratic time."""

_ESCAPED = re.compile("[\udc80-\udcff]")
_WESTERN = {0xDC00 + octet: bytes([octet]).decode("cp1252", "replace") for octet in range(0x80, 0x100)}


@lru_cache(maxsize=256)
def codec(charset: str) -> str | None:
    """The codec for a charset, or None for an unknown one."""
    name = charset.strip(" \t\"'").lower()
    try:
        found = codecs.lookup(_NAMES.get(name, name))
        is_charset = found._is_text_encoding and isinstance(found.decode(b"")[0], str)
    except (LookupError, ValueError, TypeError, UnicodeError):
        return None
    known = is_charset and found.name.replace("-", "_") not in _NO_CHARSETS
    return found.name if known else None


def guess(octets: bytes) -> str:
    """Text whose charset nobody tells: UTF-8, and where it is none, what Western mailers send without a word."""
    return _with_western(octets.decode("utf-8", "surrogateescape"))


def _with_western(text: str) -> str:
    return text.translate(_WESTERN) if _ESCAPED.search(text) else text


def decode(octets: bytes, charset: str) -> str:
    """The text, with U+FFFD for what is none in that charset; an unknown one and US-ASCII are guessed."""
    name = codec(charset)
    if name is None or name == "ascii":
        return guess(octets)
    return octets.decode(name, "replace")


def decoder(charset: str) -> codecs.IncrementalDecoder:
    """What does `decode` for octets that come in chunks."""
    name = codec(charset)
    return _Guess() if name is None or name == "ascii" else codecs.getincrementaldecoder(name)("replace")


def beginning(chunks: Iterable[bytes], charset: str, most: int) -> str:
    """So many characters of what comes in chunks, at most; no more chunks are taken than that needs."""
    characters, pieces, length = decoder(charset), list[str](), 0
    for octets in chunks:
        piece = characters.decode(octets)
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return "".join(pieces)[:most]


class _Guess(codecs.IncrementalDecoder):
    """`guess` for chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def decode(self, octets: bytes, final: bool = False) -> str:  # type: ignore[override]
        return _with_western(self._decoder.decode(octets, final))
