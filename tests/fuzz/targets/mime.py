"""Messages of anyone's making, read for a mailbox."""

import re

from engine.mime import digest as digests
from engine.mime import structure as scanner
from engine.mime.bodystructure import body, bodystructure
from engine.mime.dates import sent
from engine.mime.digest import between, digest
from engine.mime.fields import fields, only
from engine.mime.part import Part
from engine.mime.search import body_texts, header_texts
from engine.mime.sections import section
from engine.mime.subjects import base_subject
from engine.mime.threads import Threadable, ordered_subject, references, rendered
from engine.mime.transfer import decoded
from engine.mime.words import decoded as words
from tests.fuzz.targets.cutting import cut, limits
from tests.support.lists import is_one_list


def mime(data: bytes) -> None:
    """A whole message: the same in pieces and when stored, parts within one another, answers that can be read."""
    whole, pieces = cut(data)
    octets = b"".join(whole)
    with limits(scanner, DEPTH=4, PARTS=8, HEADER_LIMIT=300, BOUNDARY_LIMIT=8):
        found = digest(lambda: whole, 0.0)
        assert digest(lambda: pieces, 0.0) == found
    assert digests.load(digests.dump(found)) == found
    message = found.message
    assert (message.start, message.end) == (0, len(octets))
    _within(message, 0, len(octets))
    for answer in (message.envelope, body(message), bodystructure(message)):
        assert is_one_list(answer)
    for specifier in ("1", "TEXT", "1.MIME", "1.HEADER", "2.1", "HEADER.FIELDS (Subject)"):
        range_ = section(message, specifier)
        assert range_ is None or range_.picked(octets[range_.start : range_.end]) is not None
    assert _searched(message, whole) == _searched(message, pieces)
    assert len(found.preview) <= 200
    assert not re.search("[\0-\x1f\x7f]", found.preview)


def mail_texts(data: bytes) -> None:
    """What stands in a header: fields, words, dates, subjects, references."""
    found = fields(data)
    for _, value in header_texts(found):
        assert base_subject(words(value)).text.strip(" ") == base_subject(words(value)).text
    for name, value in found:
        sent(value)
        assert len(only(data, [name])) <= len(data) + 4
    for encoding in (b"base64", b"quoted-printable"):
        for chunks in cut(data):
            assert sum(map(len, decoded(chunks, encoding))) <= len(data)
    mails = [
        Threadable(number, 0.0, "A" * (octet % 3), octet % 2 == 0, bytes([octet % 8]), [bytes([octet % 7]), b"x"])
        for number, octet in enumerate(data[:40])
    ]
    for threads in (references(mails), ordered_subject(mails)):
        assert sorted(map(int, re.findall(rb"\d+", rendered(threads)))) == [mail.number for mail in mails]


def _searched(message: Part, chunks: list[bytes]) -> str:
    return "".join(body_texts(message, lambda start, end: between(chunks, start, end)))


def _within(part: Part, start: int, end: int) -> None:
    assert start <= part.start <= part.body <= part.end <= end
    place = part.body
    for inner in part.parts:
        _within(inner, place, part.end)
        place = inner.end
