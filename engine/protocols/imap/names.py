"""Names of mailboxes: modified UTF-7 (RFC 3501 5.1.3), UTF-8 (RFC 9051 5.1), and the wildcards of LIST."""

import binascii
import re
import unicodedata
from typing import Final

INBOX: Final = "INBOX"

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_OTHER = re.compile(r"[^ -~]+|&")
_PLAIN = re.compile(rb"[ -%'-~]*+")


def decode(name: bytes, *, utf8: bool) -> str | None:
    """The name as text, INBOX in capitals; None where it is malformed or holds a control character.

    ``utf8``: the client speaks IMAP4rev2 or enabled UTF8=ACCEPT. Otherwise modified UTF-7, in the one right spelling.
    """
    if _PLAIN.fullmatch(name):  # the same in both
        text: str | None = name.decode("ascii")
    else:
        text = _utf8(name) if utf8 else _utf7(name)
    if text is None or not (text.isprintable() or _is_fit(text)):
        return None
    return INBOX if text.upper() == INBOX and text.isascii() else text


def encode(name: str, *, utf8: bool) -> bytes:
    """The name as octets, not yet quoted."""
    return name.encode() if utf8 else _OTHER.sub(_shifted, name).encode("ascii")


def _is_fit(text: str) -> bool:
    return not any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in text)


def _utf8(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None


def _utf7(name: bytes) -> str | None:
    try:
        text = "".join(
            part.decode("ascii") if place % 2 == 0 else _unshifted(part)
            for place, part in enumerate(_SHIFTED.split(name))
        )
    except (UnicodeDecodeError, binascii.Error):
        return None
    # Two spellings of one name would be two ways past whatever compares names.
    return text if encode(text, utf8=False) == name else None


def _unshifted(part: bytes) -> str:
    if not part:
        return "&"
    return binascii.a2b_base64(part.replace(b",", b"/") + b"=" * (-len(part) % 4)).decode("utf-16-be")


def _shifted(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    octets = binascii.b2a_base64(match[0].encode("utf-16-be"), newline=False)
    return "&" + octets.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"


class Pattern:
    """What LIST looks for: ``*`` is anything, ``%`` anything without the delimiter (RFC 9051 6.3.9).

    The time of a match grows with the length of the name alone: all places in the pattern that may be reached are the
    bits of one number. Names below INBOX begin with it in capitals, however a client writes that.
    """

    __slots__ = ("_any", "_delimiter", "_end", "_level", "_signs")

    def __init__(self, text: str, delimiter: str) -> None:
        self._delimiter = delimiter
        self._signs: dict[str, int] = {}
        self._any = self._level = 0
        place = 1
        if text[: len(INBOX) + 1].upper() == INBOX + delimiter:
            text = INBOX + text[len(INBOX) :]
        for sign in _collapsed(text):
            if sign == "*":
                self._any |= place
            elif sign == "%":
                self._level |= place
            else:
                self._signs[sign] = self._signs.get(sign, 0) | place
            place <<= 1
        self._end = place

    def matches(self, name: str) -> bool:
        """Whether it is this name; INBOX is so in any case."""
        return self._matches(name) or (name == INBOX and Pattern.folded(self)._matches(name))

    def folded(self) -> "Pattern":
        """The pattern in capitals."""
        other = Pattern("", self._delimiter)
        other._any, other._level, other._end = self._any, self._level, self._end
        for sign, places in self._signs.items():
            other._signs[sign.upper()] = other._signs.get(sign.upper(), 0) | places
        return other

    def _matches(self, name: str) -> bool:
        wild = self._any | self._level
        reached = self._skipped(1, wild)
        for sign in name:
            stays = reached & (self._any if sign == self._delimiter else wild)
            reached = self._skipped((reached & self._signs.get(sign, 0)) << 1 | stays, wild)
            if not reached:
                return False
        return bool(reached & self._end)

    @staticmethod
    def _skipped(reached: int, wild: int) -> int:
        return reached | (reached & wild) << 1  # no two wildcards stand side by side


def _collapsed(text: str) -> str:
    """The same pattern without wildcards side by side: ``*%`` is ``*``."""
    return re.sub(r"[*%]{2,}", lambda run: "*" if "*" in run[0] else "%", text)
