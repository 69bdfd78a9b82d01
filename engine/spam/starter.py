"""The words that the filter knows before it has learnt any, and how likely a message with each of them is spam.

They are words of a dictionary alone, no names and no hosts, counted by `python -m bench.spam.starter`. What a server
learns itself soon weighs more.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

STRENGTH: Final = 2.0
"""How many messages of a server's own one of these probabilities is worth."""


@cache
def starter() -> Mapping[str, float]:
    """The probability of spam, by token."""
    lines = files(__package__).joinpath("starter.txt").read_text().splitlines()
    pairs = (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    return MappingProxyType({token: int(percent) / 100 for percent, token in pairs})
