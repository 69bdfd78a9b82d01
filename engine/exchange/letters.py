"""A message on its way in or out, as every format has it: its octets in pieces, flags, keywords, and its date."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from engine.exchange.scanned import PIECE
from engine.mailbox.flags import SYSTEM

_KEYWORD = re.compile(r"[!#$&'+-\[^-z|}~]+")
"""An atom (RFC 9051 9): printable, none of ``( ) { % * " \\ ]`` and no space."""


@dataclass(frozen=True, slots=True)
class Letter:
    """``pieces`` is to be read once, before the next letter is asked for."""

    pieces: Iterable[bytes]
    flags: int = 0
    keywords: tuple[str, ...] = ()
    received: int = 0  # Unix milliseconds; 0: nobody knows


@dataclass(frozen=True, slots=True)
class Found:
    """A letter in a source, and where it was."""

    where: str
    folder: str  # the name of its mailbox, not yet ``canonical``
    letter: Letter


@dataclass(frozen=True, slots=True)
class Broken:
    """What could not be read as a letter."""

    where: str
    why: str


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file. OSError."""
    while piece := file.read(PIECE):
        yield piece


def with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Every line ended as mail has it, whatever its file had. A CR that ends no line stays."""
    return (octets.replace(b"\n", b"\r\n") for octets in with_lf(pieces))


def with_lf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Every line ended as files of Unix have it."""
    held = b""
    for piece in pieces:
        octets = held + piece
        held = b"\r" if octets.endswith(b"\r") else b""
        if held:
            octets = octets[:-1]
        yield octets.replace(b"\r\n", b"\n")
    if held:
        yield held


def is_keyword(text: str) -> bool:
    return _KEYWORD.fullmatch(text) is not None


def flag_names(flags: int) -> list[str]:
    r"""``\\Seen`` and so on."""
    return [name for name, bit in SYSTEM.items() if flags & bit]


def flag_bits(names: Iterable[str]) -> int:
    """Names that are no system flags count for nothing."""
    return sum(SYSTEM[name] for name in set(names) if name in SYSTEM)
