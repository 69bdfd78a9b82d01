"""The letters that the server writes to its own people, in their language: a file of TOML for each."""

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from engine.wording.words import ENGLISH

LANGUAGES = ("en", "vi")
"""Those that there are; who has another one is written to in the first."""


class LanguageOf(Protocol):
    """The language of somebody at a domain, by the id of their account; 0: of whoever it is, as of postmasters."""

    def __call__(self, domain: str, account: int = 0) -> str: ...


class Letters(Struct, frozen=True, forbid_unknown_fields=True):
    """The texts of one language, by what they are about; ``{…}`` is filled in."""

    language: str
    date: str  # for strftime, numbers only; empty: as RFC 5322 3.3 has it
    digest: Mapping[str, str]
    quota: Mapping[str, str]
    script: Mapping[str, str]
    suspect: Mapping[str, str]
    action: Mapping[str, str]

    def day(self, moment: float) -> str:
        """A Unix time where the server is; empty where ``date`` is."""
        # Not by strftime(3), which is at odds with what is not ASCII in some locales.
        when = datetime.fromtimestamp(moment).astimezone()
        return re.sub("%[YmdHM]", lambda match: f"{when:{match[0]}}", self.date)


@cache
def letters(language: str) -> Letters:
    """Those of a language, or the English ones."""
    known = language if language in LANGUAGES else ENGLISH
    found = tomllib.loads((Path(__file__).parent / f"{known}.toml").read_text("utf-8"))
    return msgspec.convert(found | {"language": known}, Letters)


def english(domain: str, account: int = 0) -> str:
    """The language of everybody, where nothing else is known."""
    del domain, account
    return ENGLISH
