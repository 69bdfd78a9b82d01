"""The tokens of a message: words of its text, its header fields, its links, its attachments.

Tokens that are no words of the text have a prefix with a colon, which no word has.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from engine.mime.addresses import addresses
from engine.mime.fields import text
from engine.spam.letter import Letter

MOST = 4_000
"""Different tokens of one message."""

LONGEST = 24
"""Characters of a word. Of what is longer only the length counts: it is no word of a language."""

_VALUE = 500
"""Characters of a header field that are read."""

_RUN = 2_000
"""Characters of text without spaces that are read at once."""

_WORD = re.compile(r"[$€£¥]?\w(?:[\w'’.,$-]*\w)?[%!]?")
INVISIBLE = dict.fromkeys(
    map(ord, "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d"
    "\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff")
)  # fmt: skip
"""Characters without width, by their numbers."""

_LETTERS_ALIKE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХЅІЈαοιρνκτΑΒΕΗΙΚΜΝΟΡΤΥΧΖ",
    "aeopcyxijsdqwhlABEKMHOPCTYXSIJaoipvktABEHIKMNOPTYXZ",
)
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_BLOB = re.compile(r"[A-Za-z0-9+/=_-]{50,}+")
_DIGITS = frozenset("0123456789")
_NUMBER = re.compile(r"[\d.,-]+")
_PATH_WORD = re.compile(r"[A-Za-z]{3,24}")

_ADDRESSES = {b"from": "from", b"reply-to": "reply", b"to": "to", b"cc": "cc", b"sender": "sender"}
_WHOLE = {b"x-mailer": "mailer:", b"user-agent": "mailer:", b"content-type": "type:", b"list-id": "list:"}
_PRESENT = (
    b"list-unsubscribe", b"precedence", b"in-reply-to", b"references", b"reply-to", b"mime-version", b"organization",
    b"x-priority", b"dkim-signature", b"message-id", b"date", b"to", b"cc", b"x-mailer", b"user-agent", b"errors-to",
)  # fmt: skip


def tokens(letter: Letter) -> frozenset[str]:
    """At most MOST tokens of a message."""
    return frozenset(islice(dict.fromkeys(_all(letter)), MOST))


def _all(letter: Letter) -> Iterator[str]:
    yield from _header(letter)
    yield from _links(letter)
    yield from _parts(letter)
    yield from words(letter.text)


def words(written: str) -> list[str]:
    """The words of a text, as they are compared, in order."""
    found: list[str] = []
    for one in _WORD.findall(_BLOB.sub(" ", readable(written)).casefold()):
        word = one if one.isascii() else unlike(one)
        if not word.isascii() and _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, min(len(word), _RUN) - 1))]
            continue
        if len(word) > LONGEST:
            found.append(f"long:{len(word) // 10}")
        elif word[0] in _DIGITS and _NUMBER.fullmatch(word):
            found.append(f"number:{len(word)}")
        elif len(word) > 1:
            found.append(word)
    return found


def readable(written: str) -> str:
    """Text as it is seen: without what has no width, and letters in their plain form."""
    if written.isascii():
        return written
    return unicodedata.normalize("NFKC", written.translate(INVISIBLE))


def unlike(word: str) -> str:
    """A word in which letters of other scripts stand among Latin ones that they look like, in Latin alone."""
    latin = word.translate(_LETTERS_ALIKE)
    return latin if latin != word and latin.isascii() and any(one.isascii() and one.isalpha() for one in word) else word


def _prefixed(prefix: str, written: str) -> list[str]:
    return [prefix + word for word in words(written)]


def _header(letter: Letter) -> Iterator[str]:
    subject = words(letter.first(b"subject")[:_VALUE])
    yield from subject
    yield from (f"subject:{word}" for word in subject)
    present: set[bytes] = set()
    for written, value in letter.fields:
        name = written.lower()
        present.add(name)
        if name in _ADDRESSES:
            yield from _addresses(value, _ADDRESSES[name])
        elif name in _WHOLE:
            yield from _prefixed(_WHOLE[name], text(value)[:_VALUE])
    yield from (f"{'has' if name in present else 'no'}:{name.decode()}" for name in _PRESENT)


def _addresses(value: bytes, prefix: str) -> Iterator[str]:
    for address in addresses(value)[:10]:
        if address.host:
            host = text(address.host).lower()
            yield f"{prefix}:@{host}"
            if prefix in {"from", "reply"}:
                yield f"{prefix}:{text(address.mailbox or b'').lower()}@{host}"
        if address.name:
            yield from _prefixed(f"{prefix}:", text(address.name)[:_VALUE])


def _links(letter: Letter) -> Iterator[str]:
    for url in letter.urls:
        yield f"host:{url.host}"
        yield f"site:{url.site}"
        yield from (f"path:{word.lower()}" for word in _PATH_WORD.findall(url.path)[:8])


def _parts(letter: Letter) -> Iterator[str]:
    for part in letter.leaves:
        yield f"part:{part.media.decode('ascii', 'replace')}"
        if part.charset:
            yield f"charset:{part.charset.lower()[:20]}"
    for attachment in letter.attachments:
        yield from (f"suffix:{suffix[:10]}" for suffix in attachment.suffixes)
        yield from _prefixed("file:", attachment.name)
    for one in letter.markup:
        yield "markup:active" if one.is_active else "markup:passive"
        if one.hidden:
            yield f"markup:hidden{min(len(str(one.hidden)), 4)}"
        if one.images:
            yield f"markup:images{min(len(one.images), 4)}"
