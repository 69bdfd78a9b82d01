"""Where a name that a client says leads to."""

from typing import NamedTuple

from engine.mailbox import Folder


class Place(NamedTuple):
    """A mailbox, or a level of names without one, and what the one who asked may do with it."""

    account: int  # its owner
    name: str  # as its owner calls it
    folder: Folder
    rights: str  # RFC 4314

    @property
    def mailbox(self) -> int:
        return self.folder.number
