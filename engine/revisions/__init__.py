"""Configurations that were put in force, or were to be: kept by number, compared, and put back.

``archive`` keeps them, ``comparing`` says what one changed, ``restoring`` writes one over the files that stand there.
"""

from engine.revisions.archive import (
    FOLDER,
    IN_FORCE,
    ON_TRIAL,
    OPENING,
    REFUSED,
    WITHDRAWN,
    Archive,
    Kept,
    from_folder,
    in_folder,
)
from engine.revisions.comparing import Change, changes, in_a_line, unified
from engine.revisions.restoring import Restoring

__all__ = [
    "FOLDER",
    "IN_FORCE",
    "ON_TRIAL",
    "OPENING",
    "REFUSED",
    "WITHDRAWN",
    "Archive",
    "Change",
    "Kept",
    "Restoring",
    "changes",
    "from_folder",
    "in_a_line",
    "in_folder",
    "unified",
]
