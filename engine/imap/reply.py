"""How a command ends, and what goes before its end."""

from typing import NamedTuple

from engine.protocols.imap.view import May


class Done(NamedTuple):
    """OK. ``may``: which news of the mailbox are told before it."""

    text: str
    code: bytes = b""
    may: May = May.ALL


class No(Exception):
    """NO: it cannot be done."""

    def __init__(self, text: str, code: bytes = b"", may: May = May.ALL) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.may = may


class Bad(Exception):
    """BAD: it makes no sense."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


def during(*, uid: bool) -> May:
    """What FETCH, STORE, SEARCH, SORT and THREAD may tell, said by UID or by message numbers (RFC 9051 7.5.1)."""
    return May.ALL if uid else May.NO_EXPUNGE
