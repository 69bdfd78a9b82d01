"""How far a migration is, and what came of it."""

from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["running", "waiting", "done", "full", "refused", "failed"]
"""``waiting``: the source does not want us now. ``full``: the account has no room for more. ``refused``: the source
does not let us in. Whatever was broken off goes on where it was when it is begun again."""


class Left(msgspec.Struct, frozen=True):
    """A message that could not be taken; it is tried again the next time. ``uid`` 0: the whole folder. ``size`` in
    octets, ``received``: Unix milliseconds; 0: not known.
    """

    folder: str
    uid: int
    why: str
    size: int = 0
    received: int = 0


class Progress(msgspec.Struct):
    """Of one account. Sizes are octets."""

    address: str = ""
    state: State = "running"
    why: str = ""  # it waits, or ended without being done
    folder: str = ""  # which is being read
    folders: int = 0  # that have been read
    of_folders: int = 0
    total: int = 0  # messages that are known to be there, in the folders begun
    taken: int = 0
    size: int = 0  # of what was taken
    before: int = 0  # were taken in an earlier run
    flags: int = 0  # messages of earlier runs whose flags have been brought up to date
    left: list[Left] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    places: dict[str, str] = msgspec.field(default_factory=dict)  # where each folder goes

    @property
    def seen(self) -> int:
        """Messages that are dealt with."""
        return self.taken + self.before + len(self.left)
