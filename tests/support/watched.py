"""A server with a filter that leaves a fact, under a load, for those who watch it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.load import Load
from tests.support.server import Postroad

BOB = "bob@example.org"
SETTINGS: dict[str, Any] = {
    "lane": {"inbound": {"stages": ["accept", "note", "queue", "route"]}},
    "stage": {"note": {"use": "filters/note.py"}},
}
NOTE = '''
"""Notes the subject."""
from engine import Message

async def note(message: Message) -> Message:
    return message.with_fact("note.subject", message.header("Subject"))
'''


@contextmanager
def watched(folder: Path) -> Iterator[Postroad]:
    with Postroad(folder, SETTINGS, note=NOTE).account(BOB) as running:
        yield running


@contextmanager
def flowing(server: Postroad) -> Iterator[Load]:
    """Mail for Bob, none of which may break."""
    with Load(server, BOB, clients=2, pause=0.02) as load:
        yield load
    assert load.broken == []
