"""Messages as lessons: what of them is learnt, and by what they are known again."""

import hashlib
import re
from collections.abc import Iterable
from itertools import islice

from engine.spam.letter import Letter
from engine.spam.store import AT_ONCE, Kind, Learnt, Lesson, Words
from engine.spam.tokens import tokens

_SPACE = re.compile(rb"\s+")


def lesson(letter: Letter, kind: Kind | None, owners: Iterable[int]) -> list[Lesson]:
    """One for each owner that is to learn the message, or to forget it."""
    found, known_by = tokens(letter), digest(letter)
    return [Lesson(owner, known_by, found, kind) for owner in owners]


def digest(letter: Letter) -> bytes:
    """16 octets by which a message is known again, wherever it lies and whatever was added to its header section.

    White space does not count: stores and mailers change it.
    """
    identity = letter.first(b"message-id").encode("utf-8", "surrogateescape")
    return hashlib.blake2b(identity + b"\0" + _SPACE.sub(b" ", letter.body).strip(), digest_size=16).digest()


def teach(words: Words, lessons: Iterable[Lesson]) -> Learnt:
    """Learn any number of messages, some at a time, then make room. StorageError; what was done until then stays."""
    done = Learnt()
    rest = iter(lessons)
    while some := list(islice(rest, AT_ONCE)):
        done += words.learn(some)
    words.sweep()
    return done
