"""Rights to a mailbox (RFC 4314): their letters, the names of those who hold them, and what somebody holds in all."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.directory.addresses import split

RIGHTS = "lrswipkxtea"
"""RFC 4314 2.1, in its order. They are stored so, each once."""

OBSOLETE = {"c": "kx", "d": "et"}
"""What the rights of RFC 2086 stand for (RFC 4314 2.1.1)."""

ANYONE, AUTHENTICATED = "anyone", "authenticated"

GROUP = "$"
"""Before the address of a group, as in Dovecot; ``group:``, as in Cyrus, is understood too."""

MINUS = "-"
"""Before an identifier whose rights are taken away (RFC 4314 2)."""

LONGEST = 300
"""Octets of an identifier: more than any address, and it is part of a key."""


class Identity(NamedTuple):
    """Somebody who has logged in."""

    account: int
    address: str  # as it compares
    groups: frozenset[str] = frozenset()  # addresses, as they compare; those alone that are named in a list of rights

    @property
    def names(self) -> list[str]:
        """The identifiers that mean them."""
        return [self.address, ANYONE, AUTHENTICATED, *(GROUP + group for group in self.groups)]


class Grant(NamedTuple):
    """One line of a mailbox's list of rights."""

    identifier: str
    rights: str
    who: int = 0  # the account that the identifier meant when they were given; 0: nobody knows, or many


def plain(rights: str) -> str:
    """The rights as they are stored, ``c`` and ``d`` by what they stand for. ValueError for a letter that is none."""
    letters = {letter for one in rights for letter in OBSOLETE.get(one, one)}
    if unknown := letters - set(RIGHTS):
        raise ValueError(f"there is no right {min(unknown)!r}; there are {RIGHTS}")
    return "".join(letter for letter in RIGHTS if letter in letters)


def shown(rights: str) -> str:
    """The rights for ACL, MYRIGHTS and LISTRIGHTS: with ``c`` and ``d`` for old clients (RFC 4314 2.1.1)."""
    return rights + "".join(old for old, new in OBSOLETE.items() if set(new) & set(rights))


def identifier(text: str) -> str:
    """The identifier as it is stored. ValueError for what is none."""
    sign, name = (MINUS, text[1:]) if text.startswith(MINUS) else ("", text)
    if name.lower() in (ANYONE, AUTHENTICATED):
        return sign + name.lower()
    if name.lower().startswith("group:"):
        name = GROUP + name[len("group:") :]
    group, address = (GROUP, name[1:]) if name.startswith(GROUP) else ("", name)
    parts = split(address)
    if parts is None or not address.isprintable() or len(name.encode()) > LONGEST:
        raise ValueError(
            f"{text!r} is none of ann@example.org, $group@example.org, {ANYONE}, {AUTHENTICATED}, or these behind -"
        )
    return sign + group + "@".join(parts)


def changed(rights: str, operation: str, named: str) -> str:
    """What SETACL makes of rights: ``operation`` is ``+``, ``-``, or empty to replace them (RFC 4314 3.1)."""
    if operation == "+":
        return plain(rights + named)
    return "".join(letter for letter in rights if letter not in named) if operation == MINUS else named


def held(grants: Iterable[Grant], me: Identity) -> str:
    """The rights that somebody holds: all that were given, without those that were taken away."""
    given, taken, names = "", "", me.names
    for name, rights, who in grants:
        if who and who != me.account:  # it meant an earlier account of this address
            continue
        if name in names:
            given += rights
        elif name[:1] == MINUS and name[1:] in names:
            taken += rights
    return "".join([letter for letter in RIGHTS if letter in given and letter not in taken])
