"""What became of a message that somebody has sent, for each of its recipients, as the history has it."""

from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from engine.history.entries import Arrived
from engine.history.reading import History
from engine.history.shelf import FOLDER
from engine.history.story import Story
from engine.message import MessageId
from engine.storage.environment import StorageError
from engine.web.mail.opened import Opened

LOOKED_AT: Final = 50
"""Entries with the same Message-ID: there may be one for each time that it was sent."""

_LOGIN: Final = 4
"""Where in the session of an arrival the account is."""


class Fate(NamedTuple):
    """Of one recipient."""

    to: str
    what: str  # delivered, deferred, failed, held, parked …; "waiting": nothing has been tried yet
    text: str = ""  # why, if it is not delivered
    reply: str = ""  # what another server has said to it, in its own words


def fates(data: Path, address: str, opened: Opened) -> list[Fate]:
    """Those of a message that this account has sent; nothing where the history does not know it. It blocks."""
    if not opened.message_id:
        return []
    found: dict[str, Fate] = {}
    with suppress(StorageError, OSError), History(data / FOLDER) as history:
        for told in islice(history.about(opened.message_id), LOOKED_AT):
            entry = told.entry
            if isinstance(entry, Arrived) and entry.session[_LOGIN:] == (address,) and entry.what == "accepted":
                for one in _of(Story.of(history, MessageId(entry.id)), entry):
                    found.setdefault(one.to, one)
    return sorted(found.values())


def _of(story: Story, arrived: Arrived) -> list[Fate]:
    outcomes = story.outcomes
    return [
        Fate(to, outcome.what, *(("", "") if outcome.what == "delivered" else (outcome.text, outcome.reply)))
        for to, outcome in outcomes.items()
    ] + [Fate(to, "waiting") for to in arrived.to if to not in outcomes and not _expanded(to, story)]


def _expanded(to: str, story: Story) -> bool:
    """Whether an alias stood for others, whose outcomes there are."""
    return any(outcome.original == to for outcome in story.outcomes.values())
