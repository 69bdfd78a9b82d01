"""One input, fed whole and in pieces; and parsers with small limits, so that a short input reaches them."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from unittest.mock import patch

_CUTS = 4


def cut(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The octets in one piece, and in several: the first four say where they are cut."""
    places, rest = data[:_CUTS], data[_CUTS:]
    return [rest] if rest else [], pieces_of(rest, places)


def pieces_of(data: bytes, places: bytes) -> list[bytes]:
    """The data cut at these places, without empty pieces: they would be the end of file."""
    ends = sorted({place % (len(data) + 1) for place in places})
    return [piece for start, end in zip([0, *ends], [*ends, len(data)], strict=True) if (piece := data[start:end])]


def option(data: bytes) -> tuple[int, bytes]:
    """The first octet as bits that choose among ways to run a target, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


@contextlib.contextmanager
def limits(module: ModuleType, **values: int) -> Iterator[None]:
    """Meanwhile the module's limits are these."""
    with patch.multiple(module, **values):
        yield
