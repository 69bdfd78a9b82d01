"""Commands about the session itself: what it can do, who it is, and what it waits for."""

import re
from typing import Final

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed

ENABLED: Final = {name.upper(): name for name in ("IMAP4rev2", "UTF8=ACCEPT", "CONDSTORE", "QRESYNC", "UIDONLY")}
"""What a client can enable (RFC 5161), by the name in capitals."""

_MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}")
_INITIAL = re.compile(rb"[A-Za-z0-9+/=]++")


class Capability(Struct, frozen=True):
    pass


class Noop(Struct, frozen=True):
    """NOOP, and CHECK, which IMAP4rev1 has besides: tell the news."""


class Logout(Struct, frozen=True):
    pass


class StartTls(Struct, frozen=True):
    pass


class Compress(Struct, frozen=True):
    """RFC 4978."""


class Unauthenticate(Struct, frozen=True):
    """RFC 8437: forget who it is, and all that came with it."""


class Idle(Struct, frozen=True):
    """RFC 9051 6.3.13: tell news as they come, until the client is done."""


class Id(Struct, frozen=True):
    """RFC 2971: what the client says of itself; nothing vouches for it."""

    pairs: tuple[tuple[str, str | None], ...]


class Enable(Struct, frozen=True):
    names: frozenset[str]  # those of ``ENABLED`` that were named


class Login(Struct, frozen=True):
    login: str
    password: str

    def __repr__(self) -> str:  # a password never shows in a log
        return f"Login({self.login!r})"


class Authenticate(Struct, frozen=True):
    mechanism: str  # in capitals
    initial: bytes | None  # as it came (RFC 4959)

    def __repr__(self) -> str:
        return f"Authenticate({self.mechanism!r})"


def capability(_: Cursor) -> Capability:
    return Capability()


def noop(_: Cursor) -> Noop:
    return Noop()


def logout(_: Cursor) -> Logout:
    return Logout()


def start_tls(_: Cursor) -> StartTls:
    return StartTls()


def compress(cursor: Cursor) -> Compress:
    cursor.space()
    if cursor.word() != "DEFLATE":
        raise Malformed("DEFLATE is the only compression here")
    return Compress()


def unauthenticate(_: Cursor) -> Unauthenticate:
    return Unauthenticate()


def idle(_: Cursor) -> Idle:
    return Idle()


def identify(cursor: Cursor) -> Id:
    cursor.space()
    if cursor.accept_word(b"NIL"):
        return Id(())

    def pair() -> tuple[str, str | None]:
        name = cursor.string("A field name")
        cursor.space()
        value = cursor.nstring("A field value")
        # RFC 2971 3.3
        if len(name) > 30 or len(value or b"") > 1024:
            raise Malformed("A field of ID is too long")
        return name.decode("utf-8", "replace"), None if value is None else value.decode("utf-8", "replace")

    pairs = cursor.items(pair, empty=True)
    if len(pairs) > 30:
        raise Malformed("ID takes 30 fields at most")
    return Id(pairs)


def enable(cursor: Cursor) -> Enable:
    """Names that nobody knows are passed over (RFC 5161 3.1)."""
    names = set()
    cursor.space()
    names.add(cursor.atom("A capability").upper())
    while cursor.accept(b" ") and not cursor.at_end:
        names.add(cursor.atom("A capability").upper())
    return Enable(frozenset(ENABLED[name] for name in names if name in ENABLED))


def login(cursor: Cursor) -> Login:
    cursor.space()
    name = cursor.text("A user name")
    cursor.space()
    return Login(name, cursor.text("A password"))


def authenticate(cursor: Cursor) -> Authenticate:
    cursor.space()
    mechanism = cursor.match(_MECHANISM, "A mechanism")[0].decode("ascii").upper()
    initial = cursor.match(_INITIAL, "An initial response")[0] if cursor.accept(b" ") and not cursor.at_end else None
    return Authenticate(mechanism, initial)
