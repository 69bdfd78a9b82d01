"""Answers in JSON, read strictly: what one of them says may be more than a message can carry on."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from engine.scanning.guard import Unreachable

T = TypeVar("T")

DEPTH = 16
"""Tables and lists within each other in a fact. Facts are read again with every message, deep within other calls."""

_INTEGERS = range(-(2**63), 2**64)
"""What a queue can hold."""


def decoded(decoder: msgspec.json.Decoder[T], octets: bytes) -> T:
    """Unreachable where it is no answer."""
    try:
        return decoder.decode(octets)
    except (msgspec.MsgspecError, RecursionError) as error:  # lists without an end within each other
        raise Unreachable(f"nonsense for an answer: {error}") from error


def check_facts(facts: Mapping[str, Any]) -> None:
    """Unreachable where one of them cannot be kept with a message."""
    level: list[Any] = [*facts.values()]
    for _ in range(DEPTH):
        if any(isinstance(one, int) and one not in _INTEGERS for one in level):
            raise Unreachable("nonsense for an answer: a number that is too large")
        level = [inner for one in level for inner in _within(one)]
    if level:
        raise Unreachable(f"nonsense for an answer: more than {DEPTH} lists within each other")


def _within(fact: Any) -> Iterator[Any]:
    if isinstance(fact, dict):
        yield from fact.values()
    elif isinstance(fact, list):
        yield from fact
