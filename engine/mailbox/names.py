r"""Names of mailboxes: what is one, who stands above whom, and the special uses (RFC 9051 5.1, RFC 6154)."""

import unicodedata
from collections.abc import Iterator

SEPARATOR = "/"

INBOX_NAME = "INBOX"

LONGEST = 400
"""Octets of a name in UTF-8: it is part of a key, and keys of LMDB have at most 511."""

USES = ("", "\\Sent", "\\Drafts", "\\Junk", "\\Trash", "\\Archive")
"""The special uses (RFC 6154 section 2) by their numbers in ``EntryRow``; 0: none."""

AT_FIRST = ((INBOX_NAME, 0), ("Sent", 1), ("Drafts", 2), ("Junk", 3), ("Trash", 4), ("Archive", 5))
"""Name and special use of the mailboxes that every account begins with, INBOX first."""


OTHERS, PUBLIC = "Other Users", "Public"
"""What the names of mailboxes of others, and of public ones, begin with (RFC 2342)."""


def canonical(name: str) -> str:
    """The name as it is stored: NFC, INBOX in capitals wherever it stands first (RFC 9051 5.1).

    ValueError for what cannot be a name: empty parts, control characters (RFC 5198 section 2), or too long.
    """
    plain = name.isascii() and name.isprintable()
    name = name if plain else unicodedata.normalize("NFC", name)
    first, *below = name.split(SEPARATOR)
    if first.upper() == INBOX_NAME:
        name = SEPARATOR.join((INBOX_NAME, *below))
    if not all((first, *below)):
        raise ValueError("a mailbox's name has no empty part")
    if not plain and any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name):
        raise ValueError("a mailbox's name has no control characters")
    if len(name.encode()) > LONGEST:
        raise ValueError(f"a mailbox's name has at most {LONGEST} octets")
    return name


def is_reserved(name: str) -> bool:
    """Whether it means, in everybody's eyes, a mailbox of others or a public one."""
    return name.partition(SEPARATOR)[0] in (OTHERS, PUBLIC)


def above(name: str) -> Iterator[str]:
    """The names above it, the nearest first."""
    while SEPARATOR in name:
        name = name.rpartition(SEPARATOR)[0]
        yield name


def below(name: str) -> str:
    """What the names below it begin with."""
    return name + SEPARATOR
