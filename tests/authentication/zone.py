"""Answers of the DNS without a DNS, and messages from files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from engine.authentication.fields import with_crlf
from engine.net.dns import Answer, DnsTrouble, NoData, NoSuchName, Outcome

DATA = Path(__file__).parent / "data"

TROUBLE = b"trouble"
"""Stands for a server that fails."""


class Asked:
    """A ``Resolver.ask`` that knows the TXT records of a table, and writes down what it was asked."""

    def __init__(self, records: Mapping[str, bytes | tuple[bytes, ...]]) -> None:
        self.records = {
            name.lower(): (found if isinstance(found, tuple) else (found,)) for name, found in records.items()
        }
        self.questions: list[str] = []

    async def __call__(self, name: str, rdtype: str) -> Outcome[Any]:
        await trio.lowlevel.checkpoint()
        assert rdtype == "TXT"
        self.questions.append(name)
        found = self.records.get(name.lower())
        if found is None:
            return NoSuchName(0.0)
        if found == (TROUBLE,):
            return DnsTrouble("no server answers", 0.0)
        return Answer(found, 0.0) if found else NoData(0.0)


def message(name: str) -> bytes:
    """A message of the folder ``data``, with CRLF."""
    return with_crlf((DATA / name).read_bytes())
