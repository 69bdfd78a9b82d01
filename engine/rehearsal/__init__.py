"""Rehearsals: real messages are taken through the stages of a configuration in this process, and nothing comes of it.

``scratch`` copies what stages remember, ``services`` gives them that copy, ``stages`` has each stage as it is in a
rehearsal, ``trail`` takes one message along, ``rehearsal`` is the whole. ``outcome`` is what became of a message,
``difference`` what two configurations disagree about, ``sources`` where messages come from, ``archive`` of journals.
"""

from engine.rehearsal.archive import archived
from engine.rehearsal.difference import KINDS, Change, Groups, changes
from engine.rehearsal.outcome import Fate, Outcome
from engine.rehearsal.rehearsal import Comparison, Rehearsal, compared, rehearsal
from engine.rehearsal.services import Surroundings
from engine.rehearsal.sources import Asked, Told, in_mailbox, parked, queued, told

__all__ = [
    "KINDS",
    "Asked",
    "Change",
    "Comparison",
    "Fate",
    "Groups",
    "Outcome",
    "Rehearsal",
    "Surroundings",
    "Told",
    "archived",
    "changes",
    "compared",
    "in_mailbox",
    "parked",
    "queued",
    "rehearsal",
    "told",
]
