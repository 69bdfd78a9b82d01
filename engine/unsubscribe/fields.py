"""What bulk mail offers to people who want no more of it: List-Unsubscribe (RFC 2369), and by one click (RFC 8058)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ONE_CLICK = "List-Unsubscribe=One-Click"
"""The value of List-Unsubscribe-Post, and the body of the request (RFC 8058 3.1, 3.2)."""

URIS = 20
"""URIs of one field that are looked at."""

FIELD_LIMIT = 8 * 1024
"""Characters of a field that are."""

NAMES = ("list-unsubscribe", "list-unsubscribe-post")
"""What a signature must cover (RFC 8058 4), as h= names it."""

_URI = re.compile(r"<([^<>]{1,2000})>")
_HTTPS = re.compile(r"https://[^\s/?#@\"<>]+(?:[/?][^\s\"<>]*)?", re.IGNORECASE)
_SIGNED = re.compile(r"(?:^|;)\s*h\s*=([^;]{0,8000})", re.IGNORECASE)
_COMMENT = re.compile(r"\([^()]{0,500}\)")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the header section of a message offers. ``uris`` are in the order of the field."""

    uris: tuple[str, ...] = ()
    post: bool = False  # List-Unsubscribe-Post says that one click is enough
    covered: bool = False  # a signature that came with the message is over both fields
    sealed: bool = False  # a signature would break if they were changed, or added

    @property
    def https(self) -> str:
        """The first URI that one click may go to; empty without one."""
        return next((uri for uri in self.uris if _HTTPS.fullmatch(uri)), "")

    @property
    def by_mail(self) -> tuple[str, ...]:
        return tuple(uri for uri in self.uris if uri.lower().startswith("mailto:"))

    @property
    def one_click(self) -> bool:
        return self.post and bool(self.https)


def uris(value: str) -> tuple[str, ...]:
    """Those in angle brackets, in order, without white space in them (RFC 2369 2)."""
    found = (re.sub(r"\s+", "", match[1]) for match in _URI.finditer(_COMMENT.sub("", value[:FIELD_LIMIT])))
    return tuple(found)[:URIS]


def offer(unsubscribe: Sequence[str], post: Sequence[str], signatures: Iterable[str]) -> Offer:
    """What is offered by the values of List-Unsubscribe, List-Unsubscribe-Post and DKIM-Signature.

    A field that is there twice offers nothing: programs of readers differ on which of them they take.
    """
    named = [_signed(value) for value in signatures]
    return Offer(
        uris(unsubscribe[0]) if len(unsubscribe) == 1 else (),
        post=len(post) == 1 and post[0].strip().lower() == ONE_CLICK.lower(),
        covered=any(set(NAMES) <= names for names in named),
        sealed=any(names & {*NAMES, "list-id"} for names in named),
    )


def _signed(value: str) -> set[str]:
    """The fields that a signature is over."""
    found = _SIGNED.search(value)
    return {name.strip().lower() for name in found[1].split(":")} if found else set()
