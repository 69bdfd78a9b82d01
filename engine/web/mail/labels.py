"""Labels: keywords of IMAP with a name and a colour, which is a class of the style sheet and never a value.

They are metadata of the mail server (RFC 5464), so they go where the mail goes; other programs see the keywords.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from engine.finding.words import plain
from engine.mailbox import Mailboxes
from engine.mailbox.commands import Command, SetMetadata
from engine.spam.learning import KEYWORDS

ENTRY: Final = "/private/vendor/postroad/labels"

COLOURS: Final = ("grey", "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")

MOST: Final = 50
"""Of one account: a mailbox has no more keywords than that to spare."""

NAME: Final = 40
"""Characters of a name."""

_SIGNS = re.compile(r"[^a-z0-9]+")


class Label(msgspec.Struct, frozen=True):
    """What is shown of a keyword."""

    keyword: str
    name: str
    colour: str = COLOURS[0]


_decode = msgspec.json.Decoder(tuple[Label, ...]).decode


def labels(mailboxes: Mailboxes, account: int) -> dict[str, Label]:
    """Those of an account by their keywords in lower case, as they stand in the list. StorageError."""
    for _, value in mailboxes.metadata(account, 0, [ENTRY], me=account):
        try:
            return {one.keyword.lower(): one for one in _decode(value)}
        except msgspec.DecodeError:
            break
    return {}


def command(account: int, wanted: Iterable[Label]) -> Command:
    """The change that keeps them."""
    value = msgspec.json.encode(tuple(wanted))
    return SetMetadata(account=account, mailbox=0, values=((ENTRY, value),), me=account)


def keyword_of(name: str, taken: Collection[str]) -> str:
    """A keyword for a new label: what is left of its name in ASCII, and of no other meaning."""
    root = _SIGNS.sub("-", plain(name)).strip("-")[:30] or "label"
    if root in KEYWORDS or f"${root}" in KEYWORDS:  # which would teach the spam filter
        root = f"label-{root}"
    found, number = root, 1
    while found in taken:
        number += 1
        found = f"{root}-{number}"
    return found


def keywords_by_name(known: Mapping[str, Label]) -> dict[str, str]:
    """Keywords by what people may write for them in a search."""
    return {plain(one.name): one.keyword for one in known.values()}
