"""The mail that lies in the mailboxes: of many sizes, some with attachments, and words to search for. Seeded."""

import base64
import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from bench.servers.base import DOMAIN

VERSION = 1
"""Of what this module makes: mailboxes that were filled by another one are filled anew."""

FIRST = 1_700_000_000
"""When the first message came, Unix time; the others follow, ten minutes apart."""

KINDS = (
    ("plain", 0.55, 1 << 10, 4 << 10),
    ("plain", 0.25, 4 << 10, 12 << 10),
    ("html", 0.13, 4 << 10, 40 << 10),
    ("attachment", 0.06, 16 << 10, 90 << 10),
    ("attachment", 0.01, 100 << 10, 600 << 10),
)
"""Share of all messages, and between which octets these are, evenly by their logarithm: 10 KiB on the average."""

IN_SUBJECT, SUBJECTS = "quarterly", 50
"""A word of one subject in so many, and of no other field."""

IN_TEXT, TEXTS = "zeppelin", 500
"""A word that one message in so many has in its text."""

_TEXT = """
about after again agreed answer arrive because before between budget call change city clear close contract
could customer date delay deliver detail draft early email every figure finish first follow forward from good
great help however invoice issue known large last later letter line list little long market meeting message
minutes monday month more morning most need never notes number office often only open order other page paper
part people phone place plan please point price project question quite rather read ready reason regards report
right room school second send service several should since some soon still street summer table team thanks
that their there these things think those time today together travel under until update very visit water week
well where which while will winter with without work would write year yesterday your
"""

_WORDS = _TEXT.split()

_SUBJECTS = (
    "Minutes of the meeting",
    "Your order",
    "Plan for next week",
    "Invoice",
    "Grüße aus Köln",
    "Travel",
    "Notes",
)

_BOUNDARY = "=_b5d1c3"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it lies in a mailbox."""

    content: bytes  # with the line ends of the net
    received: int  # Unix time
    seen: bool


def letter(number: int, *, series: int = 0) -> Letter:
    """Always the same one for a number of a series; those of two series share no content."""
    chance = random.Random((VERSION << 64) + (series << 32) + number)
    name, least, most = _kind(chance)
    size = int(math.exp(chance.uniform(math.log(least), math.log(most))))
    content_type, body = _BODIES[name](chance, size, number)
    received = FIRST + 600 * number
    head = _head(chance, number, series, received, content_type)
    return Letter(head + body, received, seen=number % 3 != 0)


def found(word: str, messages: int) -> list[int]:
    """The sequence numbers, from 1, of those of the first messages of a series that have the word."""
    every = {IN_SUBJECT: SUBJECTS, IN_TEXT: TEXTS}[word]
    return list(range(1, messages + 1, every))


def _kind(chance: random.Random) -> tuple[str, int, int]:
    left = chance.random()
    for name, share, least, most in KINDS:
        left -= share
        if left < 0:
            return name, least, most
    return KINDS[0][0], *KINDS[0][2:]


def _head(chance: random.Random, number: int, series: int, received: int, content_type: str) -> bytes:
    sender, date = chance.randrange(400), format_datetime(datetime.fromtimestamp(received, UTC))
    subject = chance.choice(_SUBJECTS)
    if not subject.isascii():
        subject = f"=?utf-8?B?{base64.b64encode(subject.encode()).decode()}?="
    if number % SUBJECTS == 0:
        subject = f"The {IN_SUBJECT} figures"
    lines = [
        f"Received: from relay{sender % 7}.source.test (relay{sender % 7}.source.test [192.0.2.{sender % 250}])",
        f"\tby mx.{DOMAIN} with ESMTPS id {number:010X};\r\n\t{date}",
        f"From: Sender Number {sender} <sender{sender}@source.test>",
        f"To: All <all@{DOMAIN}>, Other <other{number % 11}@{DOMAIN}>",
        f"Subject: {'Re: ' * (number % 4 == 1)}{subject}",
        f"Date: {date}",
        f"Message-ID: <{series}.{number}@source.test>",
    ]
    if number % 5 == 2:
        lines.append(f"Cc: Team <team{number % 13}@{DOMAIN}>")
    if number % 4 == 1:
        lines += [f"In-Reply-To: <{series}.{number - 1}@source.test>"]
        lines += [f"References: <{series}.{max(number - 5, 0)}@source.test>\r\n <{series}.{number - 1}@source.test>"]
    lines += ["MIME-Version: 1.0", f"Content-Type: {content_type}", "User-Agent: Bench/1.0", "\r\n"]
    return "\r\n".join(lines).encode()


# -- bodies


def _plain(chance: random.Random, size: int, number: int) -> tuple[str, bytes]:
    return "text/plain; charset=utf-8", _text(chance, size - 600, number)


def _html(chance: random.Random, size: int, number: int) -> tuple[str, bytes]:
    text = _text(chance, size // 3, number)
    paragraphs = b"".join(b"<p>%s</p>\r\n" % one for one in _some(chance, size // 2))
    html = b"<html><head><title>A message</title></head><body>\r\n%s</body></html>\r\n" % paragraphs
    parts = (("text/plain; charset=utf-8", text), ("text/html; charset=utf-8", html))
    return f'multipart/alternative; boundary="{_BOUNDARY}"', _multipart(parts)


def _attachment(chance: random.Random, size: int, number: int) -> tuple[str, bytes]:
    text = _text(chance, 1500, number)
    lines = max((size - 3000) // 78, 10)
    start = 78 * chance.randrange(_ENCODED_LINES - lines)
    head = f'application/pdf; name="report-{number}.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    head += f'Content-Disposition: attachment; filename="report-{number}.pdf"'
    parts = (("text/plain; charset=utf-8", text), (head, _encoded()[start : start + 78 * lines]))
    return f'multipart/mixed; boundary="{_BOUNDARY}"', _multipart(parts)


_BODIES = {"plain": _plain, "html": _html, "attachment": _attachment}


def _multipart(parts: Sequence[tuple[str, bytes]]) -> bytes:
    lines = [
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (_BOUNDARY.encode(), head.encode(), part) for head, part in parts
    ]
    return b"".join([*lines, b"--%s--\r\n" % _BOUNDARY.encode()])


def _text(chance: random.Random, size: int, number: int) -> bytes:
    lines = _some(chance, size)
    if number % TEXTS == 0:
        lines.insert(len(lines) // 2, b"and then the %s came down\r\n" % IN_TEXT.encode())
    return b"\r\n".join(lines)


def _some(chance: random.Random, size: int) -> list[bytes]:
    return chance.choices(_paragraphs(), k=max(size // _AVERAGE, 1))


_AVERAGE = 365
"""Octets of a paragraph."""


@functools.cache
def _paragraphs() -> Sequence[bytes]:
    """Made once: to choose every word anew would take longer than to store the message."""
    chance = random.Random(VERSION)
    return [b"".join(_line(chance) for _ in range(chance.randrange(2, 9))) for _ in range(2000)]


def _line(chance: random.Random) -> bytes:
    return " ".join(chance.choices(_WORDS, k=11)).encode() + b"\r\n"


_ENCODED_LINES = 16_384


@functools.cache
def _encoded() -> bytes:
    """Lines of 76 characters of base64, from which attachments are cut."""
    text = base64.b64encode(random.Random(VERSION).randbytes(57 * _ENCODED_LINES))
    return b"".join(text[start : start + 76] + b"\r\n" for start in range(0, len(text), 76))
