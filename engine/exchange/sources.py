"""What is to be imported: which format it has, and all its messages in turn."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine.exchange import eml, maildir, mbox, tree
from engine.exchange.files import PART, opened, unsafe
from engine.exchange.letters import Broken, Found
from engine.mailbox.names import SEPARATOR

Folders: TypeAlias = list[tuple[str, Path]]
"""The name and the path of each folder that has messages."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or a file. ``said``: what an export of ours says of its folders."""

    kind: str  # "mbox", "maildir", "eml"
    folders: Folders
    said: tree.Tree
    subscribed: frozenset[str] = frozenset()
    single: bool = False  # one file, whose own name says little

    @classmethod
    def at(cls, path: Path, kind: str = "auto") -> "Source":
        """ValueError when nothing is there that it could be; OSError."""
        if path.is_file():
            found = "mbox" if kind == "auto" else kind
            whole = path.resolve()  # the one link that an import follows: who runs it has named it
            if found != "mbox" or not _is_mbox(whole):
                raise ValueError(f"{path} is no mbox; give the folder of a Maildir, or of .eml files")
            return cls("mbox", [(_mbox_name((path.name,)), whole)], tree.Tree(), single=True)
        if not path.is_dir():
            raise ValueError(f"there is no {path}")
        for name, folders in _KINDS.items():
            if kind in ("auto", name) and (found_ := list(folders(path))):
                said = tree.Tree.read(path)
                names = said.names()
                named = [(names.get(str(where.relative_to(path)), folder), where) for folder, where in found_]
                subscribed = maildir.subscriptions(path) if name == "maildir" else set()
                subscribed |= {entry.name for entry in said.folders.values() if entry.subscribed}
                return cls(name, named, said, frozenset(subscribed))
        raise ValueError(f"{path} has no messages, or not as {kind}" if kind != "auto" else f"{path} has no messages")

    def letters(self, only: Collection[str] = ()) -> Iterator[Found | Broken]:
        """All of them, or those of these folders. A letter is to be read before the next one is asked for."""
        for name, path in self.folders:
            if not only or name in only:
                try:
                    yield from _READ[self.kind](path, name)
                except OSError as error:
                    yield Broken(str(path), error.strerror or str(error))

    def uses(self) -> dict[str, str]:
        """Special uses by the names of mailboxes."""
        return {entry.name: entry.use for entry in self.said.folders.values() if entry.use}


def _mboxes(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)  # Dovecot's .imap, .subscriptions
        if path.is_file() and not hidden and path.suffix not in (".msf", PART) and _is_mbox(path):
            yield _mbox_name(parts), path


def _mbox_name(parts: tuple[str, ...]) -> str:
    """Thunderbird has what is below ``Name`` in ``Name.sbd``, we end files in .mbox, Dovecot writes UTF-7."""
    *above, last = parts
    levels = (*(part.removesuffix(".sbd") for part in above), last.removesuffix(".mbox"))
    return SEPARATOR.join(unsafe(maildir.decoded(level)) for level in levels)


def _is_mbox(path: Path) -> bool:
    """Whether it begins as one does; one without messages is one by its name."""
    try:
        with opened(path) as file:
            start = file.read(64).lstrip(b"\r\n")
    except OSError:
        return True  # to be named as broken
    return start.startswith(b"From ") or (not start and path.suffix == ".mbox")


_KINDS: dict[str, Callable[[Path], Iterator[tuple[str, Path]]]] = {
    "maildir": maildir.folders,
    "eml": eml.folders,
    "mbox": _mboxes,
}
"""In the order in which they are tried: an mbox may lie about anywhere."""

_READ: dict[str, Callable[[Path, str], Iterator[Found | Broken]]] = {
    "maildir": maildir.read,
    "eml": eml.read,
    "mbox": mbox.read,
}
