"""The first words of a message, as a list of messages shows them (RFC 8970)."""

import re
from collections.abc import Callable, Iterable, Iterator

from engine.mime.part import Part
from engine.mime.search import text_of

LENGTH = 200
"""Characters of a preview (RFC 8970 3.2)."""

READ = 64 * 1024
"""Octets of a part's body that are looked at."""

_SLICE = 512

_FOR_PROGRAMS = frozenset({b"calendar", b"directory", b"vcard", b"x-vcalendar", b"x-vcard"})
"""Subtypes of text that nobody reads: they begin with BEGIN:VCALENDAR and the like."""

TRIES = 5
"""Parts that are looked at until one has words."""

Read = Callable[[int, int], Iterable[bytes]]
"""Gives the octets of the message from an offset to another in chunks."""

# Controls, those of direction among them.
_UNWANTED = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffc\ud800-\udfff\xad]+")
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\u3164"
"""What is seen only between other characters, if at all; letters that advertise fill their previews with it."""


def preview(message: Part, read: Read) -> str:
    """At most LENGTH characters in one line, of the best part with words; empty where none has any."""
    for number, part in enumerate(_candidates(message)):
        if number == TRIES:
            break
        body = read(part.body, min(part.end, part.body + READ))
        words = shortened(text_of(part, _slices(body)))
        if words:
            return words
    return ""


def shortened(pieces: Iterable[str]) -> str:
    """Text with its white space as single spaces, without controls and words that can not be seen, cut at LENGTH."""
    gathered, look_at = "", 2 * LENGTH
    for piece in pieces:
        gathered += piece
        if len(gathered) > look_at:
            words = _words(gathered)
            if len(words) > LENGTH:
                return words[:LENGTH].rstrip()
            look_at = 2 * len(gathered)
    return _words(gathered)[:LENGTH].rstrip()


def _words(text: str) -> str:
    words = _UNWANTED.sub(" ", text).split()
    return " ".join(words if text.isascii() else [seen for word in words if (seen := word.strip(_INVISIBLE))])


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces, so that no more is decoded than is shown."""
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            yield chunk[start : start + _SLICE]


def _candidates(message: Part) -> Iterator[Part]:
    """Parts with text, best first: those that are shown with the message, then those of messages inside."""
    inside: list[Part] = []
    yield from _shown(message, inside)
    for part in inside:
        yield from _candidates(part.parts[0])


def _shown(part: Part, inside: list[Part]) -> Iterator[Part]:
    if part.parts and part.parts[0].envelope:
        inside.append(part)
    elif part.parts:
        inner = part.parts
        if part.subtype.lower() == b"alternative":
            inner = tuple(sorted(inner, key=_rank))
        for each in inner:
            yield from _shown(each, inside)
    elif part.type.lower() == b"text" and part.subtype.lower() not in _FOR_PROGRAMS and not part.is_attachment:
        yield part


def _rank(part: Part) -> int:
    """Among alternatives plain text tells most in few words, then what holds HTML, then others."""
    media = {each.media for each in part.walk()}
    return 0 if b"text/plain" in media else 1 if b"text/html" in media else 2
