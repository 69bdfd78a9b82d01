"""Commands about what belongs to a mailbox: rights (RFC 4314), quotas (RFC 9208), metadata (RFC 5464)."""

import re
from typing import Final

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed, decoded

RIGHTS: Final = "lrswipkxteacd"
"""RFC 4314 2.1; ``c`` and ``d`` are what RFC 2086 had (section 2.1.1)."""

_RIGHTS = re.compile(r"[a-z0-9]*")
_ROOTS = ("/private", "/shared")
_ENTRY = re.compile(r"(?:/[^/*%\x00-\x1f\x7f-\U0010ffff]+)+")


class GetAcl(Struct, frozen=True):
    mailbox: str


class SetAcl(Struct, frozen=True):
    mailbox: str
    identifier: str  # "-" before it: negative rights
    operation: str  # "+", "-", or "" to replace
    rights: str  # of RIGHTS


class DeleteAcl(Struct, frozen=True):
    mailbox: str
    identifier: str


class ListRights(Struct, frozen=True):
    mailbox: str
    identifier: str


class MyRights(Struct, frozen=True):
    mailbox: str


class GetQuota(Struct, frozen=True):
    root: str


class GetQuotaRoot(Struct, frozen=True):
    mailbox: str


class SetQuota(Struct, frozen=True):
    root: str
    limits: tuple[tuple[str, int], ...]  # by resource; STORAGE in units of 1,024 octets


class GetMetadata(Struct, frozen=True):
    mailbox: str  # empty: of the server
    entries: tuple[str, ...]
    most: int | None = None  # octets of a value (MAXSIZE)
    depth: int | None = 0  # levels below the entries; None: all


class SetMetadata(Struct, frozen=True):
    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]  # None: remove the entry


def get_acl(cursor: Cursor) -> GetAcl:
    cursor.space()
    return GetAcl(cursor.mailbox())


def set_acl(cursor: Cursor) -> SetAcl:
    mailbox, identifier = _of_someone(cursor)
    cursor.space()
    text = cursor.text("Rights")
    operation, rights = (text[:1], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not _RIGHTS.fullmatch(rights) or set(rights) - set(RIGHTS):
        raise Malformed(f"The rights are some of {RIGHTS}")  # RFC 4314 3.1 wants BAD
    return SetAcl(mailbox, identifier, operation, rights)


def delete_acl(cursor: Cursor) -> DeleteAcl:
    return DeleteAcl(*_of_someone(cursor))


def list_rights(cursor: Cursor) -> ListRights:
    return ListRights(*_of_someone(cursor))


def my_rights(cursor: Cursor) -> MyRights:
    cursor.space()
    return MyRights(cursor.mailbox())


def _of_someone(cursor: Cursor) -> tuple[str, str]:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return mailbox, cursor.text("An identifier")


def get_quota(cursor: Cursor) -> GetQuota:
    cursor.space()
    return GetQuota(cursor.text("A quota root"))


def get_quota_root(cursor: Cursor) -> GetQuotaRoot:
    cursor.space()
    return GetQuotaRoot(cursor.mailbox())


def set_quota(cursor: Cursor) -> SetQuota:
    cursor.space()
    root = cursor.text("A quota root")
    cursor.space()

    def limit() -> tuple[str, int]:
        name = cursor.atom("A resource").upper()
        cursor.space()
        return name, cursor.number("A limit")

    return SetQuota(root, cursor.items(limit, empty=True))


def get_metadata(cursor: Cursor) -> GetMetadata:
    """The options stand before the mailbox, or behind it as in an example of RFC 5464 4.2.1."""
    cursor.space()
    options: dict[str, int | None] = {}
    if cursor.sees(b"("):
        options = _metadata_options(cursor)
        cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    if not options and (cursor.sees_word(b"(MAXSIZE ") or cursor.sees_word(b"(DEPTH ")):
        options = _metadata_options(cursor)
        cursor.space()
    entries = cursor.one_or_more(lambda: asked_entry(cursor))
    return GetMetadata(mailbox, entries, options.get("MAXSIZE"), options.get("DEPTH", 0))


def _metadata_options(cursor: Cursor) -> dict[str, int | None]:
    def option() -> tuple[str, int | None]:
        name = cursor.word("An option")
        cursor.space()
        if name == "MAXSIZE":
            return name, cursor.number("A size")
        if name != "DEPTH":
            raise Malformed(f"The option {name} is unknown here")
        depth = cursor.word("0, 1 or infinity")
        if depth not in ("0", "1", "INFINITY"):
            raise Malformed("DEPTH is 0, 1 or infinity")
        return name, None if depth == "INFINITY" else int(depth)

    return dict(cursor.items(option))


def set_metadata(cursor: Cursor) -> SetMetadata:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()

    def value() -> tuple[str, bytes | None]:
        name = entry(cursor)
        cursor.space()
        return name, cursor.nstring("A value", binary=True)

    return SetMetadata(mailbox, cursor.items(value))


def entry(cursor: Cursor) -> str:
    """The name of an entry, in small letters: they mean the same in any case (RFC 5464 3)."""
    name = asked_entry(cursor)
    if name in _ROOTS:
        raise Malformed("An entry is like /private/comment or /shared/comment")
    return name


def asked_entry(cursor: Cursor) -> str:
    """The same where it may be the root of all that are private, or of all that are shared: DEPTH leads below it."""
    name = decoded(cursor.astring("An entry")).lower()
    if not _ENTRY.fullmatch(name) or not f"{name}/".startswith(("/private/", "/shared/")):
        raise Malformed("An entry is like /private/comment or /shared/comment")
    return name
