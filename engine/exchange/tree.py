"""What an export says of its folders, for what no format has a place: ``postroad.json`` at the root."""

import json
from pathlib import Path
from typing import Any

import msgspec

from engine.exchange.files import replacing, text_of

NAME = "postroad.json"


class Entry(msgspec.Struct, frozen=True):
    r"""One mailbox of an export."""

    name: str
    path: str = ""  # relative to the root; empty: it holds no mail
    use: str = ""  # "\\Sent" and so on (RFC 6154)
    subscribed: bool = False
    uidvalidity: int = 0
    modseq: int = 0  # what was exported is all that the mailbox had then; 0: it is not whole yet


class Tree(msgspec.Struct):
    """All of them, by name."""

    address: str = ""
    folders: dict[str, Entry] = {}

    def write(self, root: Path) -> None:
        """OSError."""
        said: dict[str, Any] = {
            "address": self.address,
            "folders": [msgspec.to_builtins(self.folders[name]) for name in sorted(self.folders)],
        }
        with replacing(root / NAME) as file:
            file.write(json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n")

    @classmethod
    def read(cls, root: Path) -> "Tree":
        """What is there; an empty one when there is none, or it cannot be read."""
        try:
            said = json.loads(text_of(root / NAME))
            entries = [msgspec.convert(entry, Entry) for entry in said["folders"]]
            return cls(said.get("address", ""), {entry.name: entry for entry in entries})
        except (OSError, ValueError, TypeError, KeyError, msgspec.ValidationError):
            return cls()

    def names(self) -> dict[str, str]:
        """The names of mailboxes by their paths."""
        return {entry.path: entry.name for entry in self.folders.values() if entry.path}
