"""Who a message says wrote it: the mailboxes of From (RFC 5322 3.4, 3.6.2), with the obsolete forms of 4.4."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from engine.authentication.fields import Fields
from engine.net.dns import a_labels

FROM_LIMIT = 16 * 1024
"""Octets of all From fields that are read; they take a tenth of a second at worst."""

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<literal>\[(?:[^\[\]\\]|\\.)*\])
    | (?P<special>[<>@,;:])
    | (?P<comment>\()
    | (?P<atom>[^\s"\[\]<>@,;:()\\]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_PART = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class Token(NamedTuple):
    kind: str
    text: str


class Author(NamedTuple):
    """The address of one who wrote a message."""

    local: str  # as it is written, with its quotes
    domain: str  # in A-labels

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def authors(fields: Fields) -> tuple[Author, ...]:
    """All mailboxes in all From fields, in their order.

    ValueError says what is wrong where a field leaves room for doubt: then nobody can say who the author is.
    """
    found = fields.named("from")
    if sum(len(field.octets) for field in found) > FROM_LIMIT:
        raise ValueError(f"From has more than {FROM_LIMIT} octets")
    return tuple(author for field in found for author in _authors(field.value))


def agents(fields: Fields) -> tuple[Author, ...]:
    """All mailboxes in all Sender fields: who has sent it for its authors (RFC 5322 3.6.2). ValueError as there."""
    found = fields.named("sender")
    try:
        if sum(len(field.octets) for field in found) > FROM_LIMIT:
            raise ValueError
        return tuple(agent for field in found for agent in _authors(field.value))
    except ValueError as error:
        raise ValueError("Sender holds no address that can be read") from error


def author_domains(fields: Fields) -> tuple[str, ...]:
    """The domains of all ``authors``, in their order. ValueError as there."""
    return tuple([author.domain for author in authors(fields)])


@lru_cache(maxsize=256)  # of 16 KB at most; who writes, writes again
def _authors(value: bytes) -> tuple[Author, ...]:
    tokens = list(_tokens(value.decode(errors="surrogateescape")))  # names come in any charset, domains do not
    found = []
    for mailbox in _mailboxes(tokens):
        address = _address(mailbox)
        if any(token.text == "@" for token in address):
            found.append(_author(address))
        elif len(address) < len(mailbox):
            raise ValueError("From holds an address without a domain")
    return tuple(found)


def _tokens(text: str) -> Iterator[Token]:
    """Tokens without white space and comments."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError("From has quotes or brackets that nothing ends")
        kind, position = str(found.lastgroup), found.end()
        if kind == "comment":
            position = _end_of_comment(text, position)
        elif kind != "space":
            yield Token(kind, found[0])


def _end_of_comment(text: str, position: int) -> int:
    """Comments nest (RFC 5322 3.2.2)."""
    depth = 1
    while depth:
        part = _COMMENT_PART.match(text, position)
        if part is None:
            raise ValueError("From has a comment that nothing ends")
        depth += (part[0] == "(") - (part[0] == ")")
        position = part.end()
    return position


def _mailboxes(tokens: list[Token]) -> Iterator[list[Token]]:
    """What stands between commas, outside of <>; the name of a group belongs to no mailbox."""
    mailbox: list[Token] = []
    in_angle = in_group = False
    for token in tokens:
        special = token.text if token.kind == "special" else ""
        in_angle = special == "<" or (in_angle and special != ">")
        if in_angle or special not in {",", ":", ";"}:
            mailbox.append(token)
            continue
        if special == ":" and not in_group:
            in_group, mailbox = True, []
            continue
        if special == ":" or (special == ";" and not in_group):
            raise ValueError(f"From has a {special} out of place")
        in_group = in_group and special != ";"
        yield mailbox
        mailbox = []
    if in_angle:
        raise ValueError("From has an address that nothing ends")
    yield mailbox


def _address(mailbox: list[Token]) -> list[Token]:
    """The tokens of the address: those in <>, else all. The route of RFC 5322 4.4 is left out."""
    texts = [token.text if token.kind == "special" else "" for token in mailbox]
    if "<" not in texts and ">" not in texts:
        return mailbox
    if texts.count("<") != 1 or texts[-1] != ">" or texts.count(">") != 1:
        raise ValueError("From has more or less than one <address> between its commas")
    inner = mailbox[texts.index("<") + 1 : -1]
    if Token("special", ":") not in inner:
        return inner
    return inner[inner.index(Token("special", ":")) + 1 :]


def _author(address: list[Token]) -> Author:
    at = [number for number, token in enumerate(address) if token == Token("special", "@")]
    local, domain = address[: at[-1]], address[at[-1] + 1 :]
    if len(at) != 1 or not local or any(token.kind not in {"atom", "quoted"} for token in local):
        raise ValueError("From holds an address that is none")
    written = "".join(token.text for token in local)
    text = "".join(token.text for token in domain)
    if len(domain) == 1 and domain[0].kind == "literal":
        return Author(written, text.lower())
    name = a_labels(text)
    if not _DOMAIN.fullmatch(name):
        raise ValueError(f"From holds an address whose domain is none: {text!a}")
    return Author(written, name)
