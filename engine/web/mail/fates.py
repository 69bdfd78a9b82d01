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
from engine.web.text import N_, Text

LOOKED_AT: Final = 50
"""Entries with the same Message-ID: there may be one for each time that it was sent."""

_LOGIN: Final = 4
"""Where in the session of an arrival the account is."""


REASONS: Final[frozenset[Text]] = frozenset({
    N_("the mailbox is full"), N_("the mailbox is busy"), N_("no such user here"), N_("the mailboxes have no room now"),
    N_("the mailboxes cannot be written now"), N_("the directory cannot be asked now"), N_("Cannot deliver now"),
    N_("The next mail server cannot be found"), N_("No address may send there now"), N_("The next server refused it"),
    N_("The next server cannot be reached from here"), N_("The address has no domain"),
    N_("This message goes round in a circle"), N_("Mail for this destination is returned for now"),
    N_("This server does not send mail over IPv6"), N_("you may not post to this folder"),
    N_("The administrator of this server has given its delivery up"),
    N_("It could not be delivered by the time that its sender has set"),
})  # fmt: skip
"""What this server says for itself, and what can be said in the reader's language. All else is quoted as it came."""

_KNOWN: Final = {str(reason): reason for reason in REASONS}


class Fate(NamedTuple):
    """Of one recipient."""

    to: str
    what: str  # delivered, deferred, failed, held, parked …; "waiting": nothing has been tried yet
    text: str = ""  # why, if it is not delivered

    @property
    def reason(self) -> Text | None:
        """Why, where it is one of ours."""
        return _KNOWN.get(self.text)


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
        Fate(to, outcome.what, "" if outcome.what == "delivered" else outcome.reply or outcome.text)
        for to, outcome in outcomes.items()
    ] + [Fate(to, "waiting") for to in arrived.to if to not in outcomes and not _expanded(to, story)]


def _expanded(to: str, story: Story) -> bool:
    """Whether an alias stood for others, whose outcomes there are."""
    return any(outcome.original == to for outcome in story.outcomes.values())
