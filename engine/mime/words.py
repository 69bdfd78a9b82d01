"""Encoded words in header fields (RFC 2047), read tolerantly and in linear time."""

import binascii
import re

from engine.mime.charsets import codec

# The text ends with the first "?="; a further "=?" means that this was no word, so that nothing is looked at twice.
# A "?" within the text is forbidden, and met.
_WORD = re.compile(r"=\?([^\s?*]++)(?:\*[^\s?]*+)?\?([bBqQ])\?((?>(?:[^?=]++|\?(?!=)|=(?!\?[^=]))*))\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def decoded(text: str) -> str:
    """The unfolded text of a field with its encoded words decoded; what can not be decoded stays as it came.

    Words that follow one another in one charset are decoded together: mailers cut characters in two.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    run: list[bytes] = []  # the octets of adjacent words of one charset
    charset, start, end = "", 0, 0  # of the run
    was_word = False  # whether a decoded word stands before, to which the next may be joined
    for match in _WORD.finditer(text):
        octets = _octets(match[2], match[3])
        if octets is None:
            continue
        gap = text[end : match.start()]
        adjoins = not gap.strip(" \t\r\n") and bool(run)
        if adjoins and match[1].lower() == charset:
            run.append(octets)
        else:
            was_word = _close(pieces, run, charset, text[start:end])
            if not (adjoins and was_word and codec(match[1])):
                pieces.append(gap)
            run, charset, start = [octets], match[1].lower(), match.start()
        end = match.end()
    _close(pieces, run, charset, text[start:end])
    pieces.append(text[end:])
    return "".join(pieces)


def _close(pieces: list[str], run: list[bytes], charset: str, raw: str) -> bool:
    """Add what a run of words says, or as it came; whether it was decoded."""
    name = codec(charset) if run else None
    if name is not None:
        try:
            pieces.append(b"".join(run).decode(name))
        except UnicodeError:
            pass
        else:
            return True
    pieces.append(raw)
    return False


def _octets(encoding: str, text: str) -> bytes | None:
    """What the text of a word stands for; None where it is not in its encoding."""
    if not text.isascii():
        return None
    octets = text.encode("ascii")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    octets = _NOT_BASE64.sub(b"", octets)
    if len(octets) % 4 == 1:
        return None
    return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))
