"""Where a name that a client says leads to."""

from typing import NamedTuple

from engine.mailbox import Folder

ALL_RIGHTS = "lrswipkxtea"
"""RFC 4314 2.1: what the owner of a mailbox may do."""


class Place(NamedTuple):
    """A mailbox, and what the one who asked may do with it."""

    account: int  # its owner
    name: str  # as its owner calls it
    folder: Folder
    rights: str = ALL_RIGHTS

    @property
    def mailbox(self) -> int:
        return self.folder.number
