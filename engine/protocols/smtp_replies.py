"""SMTP replies as octets (RFC 5321 4.2, RFC 2034): always whole lines, never a line break that a text smuggled in."""

import re

TEXT_LIMIT = 480
"""Characters of text a line: with codes and CRLF a reply line has at most 512 octets (RFC 5321 4.5.3.1.5)."""

_UNPRINTABLE = re.compile(r"[^ -~]")


def reply(code: int, enhanced: str, text: str) -> bytes:
    """A reply of as many lines as ``text`` has. Other control characters and non-ASCII turn into ``?``.

    ``enhanced`` may be empty, as it must be in 220 greetings, EHLO and 354 replies (RFC 2034 4).
    """
    if len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable():  # as nearly all are
        return f"{code} {enhanced} {text}\r\n".encode() if enhanced else f"{code} {text}\r\n".encode()
    lines = [piece for line in text.splitlines() for piece in _pieces(_UNPRINTABLE.sub("?", line))]
    status = f" {enhanced} " if enhanced else " "
    dashed = f"-{enhanced} " if enhanced else "-"
    *first, last = lines
    return ("".join(f"{code}{dashed}{line}\r\n" for line in first) + f"{code}{status}{last}\r\n").encode("ascii")


def check_refusal(code: int, enhanced: str) -> None:
    """ValueError where this is no refusal: code and enhanced code must be of one class, 4 or 5 (RFC 2034 4)."""
    if not 400 <= code <= 599 or not re.fullmatch(rf"{code // 100}\.\d{{1,3}}\.\d{{1,3}}", enhanced):
        raise ValueError(f"{code} {enhanced} is no refusal")


def _pieces(line: str) -> list[str]:
    return [line[start : start + TEXT_LIMIT] for start in range(0, len(line), TEXT_LIMIT)] or [""]
