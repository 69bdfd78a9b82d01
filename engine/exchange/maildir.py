"""Maildir, with subfolders as Maildir++ has them (``.Sub.folder``) or as folders (``Sub/folder``).

Flags are letters in the name of a file, keywords those letters that ``dovecot-keywords`` explains, the date is the
file's. ``dovecot-uidlist`` has the order, the UIDs and UIDVALIDITY: Dovecot goes on with them. Names of folders are in
modified UTF-7; a dot in one is ``\\2e``, as Dovecot's listescape plugin writes it.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.exchange.files import messages_in, opened, replacing, settle, text_of
from engine.exchange.letters import Broken, Found, Letter, is_keyword, pieces_of, with_crlf, with_lf
from engine.mailbox.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN
from engine.mailbox.names import INBOX_NAME, SEPARATOR
from engine.protocols.imap import names
from engine.storage.files import private, sync

KEYWORDS = "abcdefghijklmnopqrstuvwxyz"
"""The letters of keywords: a folder can have no more."""

KEYWORDS_FILE, UIDS_FILE, SUBSCRIPTIONS_FILE = "dovecot-keywords", "dovecot-uidlist", "subscriptions"

_FLAGS = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED}
_PASSED = "$Forwarded"
"""The keyword for the flag P, "passed" (RFC 5788 has it registered)."""

_ESCAPED = re.compile(r"\\([0-9a-f]{2})")


def folders(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders of a tree that hold mail: name and path, sorted by path."""
    for path in sorted(Path(found) for found, below, _ in os.walk(root) if {"cur", "new"} & {*below}):
        yield folder_name(path.relative_to(root).parts), path


def folder_name(parts: Sequence[str]) -> str:
    """The name of the mailbox that lies there."""
    levels: list[str] = []
    for part in parts:
        levels += part[1:].split(".") if part.startswith(".") else [part]
    return SEPARATOR.join(map(decoded, levels)) or INBOX_NAME


def subfolder(name: str) -> str:
    """Where a mailbox lies below the folder of INBOX; empty: in that itself."""
    if name == INBOX_NAME:
        return ""
    return "".join("." + _encoded(level) for level in name.split(SEPARATOR))


def read(path: Path, folder: str) -> Iterator[Found | Broken]:
    """Each message of a folder, in the order of UIDs where Dovecot left them, else of names."""
    keywords = _keywords(path)
    uids = _uids(path)
    files = [file for sub in ("cur", "new") if not (path / sub).is_symlink() for file in messages_in(path / sub)]
    files.sort(key=lambda file: (uids.get(_base(file.name), 2**32), file.name))
    for file in files:
        try:
            octets = opened(file)
        except OSError as error:
            yield Broken(str(file), error.strerror or str(error))
            continue
        with octets:
            received = os.fstat(octets.fileno()).st_mtime_ns // 1_000_000
            flags, words = _marks(file.name, keywords)
            letter = Letter(with_crlf(pieces_of(octets)), flags, words, received)
            yield Found(str(file), folder, letter)


def subscriptions(root: Path) -> set[str]:
    """The names in the root's list of subscriptions, of Dovecot's first or second kind."""
    try:
        first, *lines = text_of(root / SUBSCRIPTIONS_FILE).splitlines() or [""]
    except OSError:
        return set()
    second = first.startswith("V\t")
    lines = lines if second else [first, *lines]
    return {SEPARATOR.join(map(decoded, line.split("\t" if second else "."))) for line in lines if line}


def _base(name: str) -> str:
    return name.partition(":")[0]


def _marks(name: str, keywords: dict[str, str]) -> tuple[int, tuple[str, ...]]:
    letters = name.partition(":2,")[2].partition(",")[0]
    words = [keywords[letter] for letter in letters if letter in keywords] + [_PASSED] * ("P" in letters)
    return sum(bit for letter, bit in _FLAGS.items() if letter in letters), tuple(dict.fromkeys(words))


def _keywords(path: Path) -> dict[str, str]:
    """What the letters stand for."""
    try:
        lines = text_of(path / KEYWORDS_FILE).splitlines()
    except OSError:
        return {}
    pairs = (line.partition(" ")[::2] for line in lines)
    return {
        KEYWORDS[int(number)]: word
        for number, word in pairs
        if number.isdigit() and int(number) < len(KEYWORDS) and is_keyword(word)
    }


def _uids(path: Path) -> dict[str, int]:
    """UIDs by the names of files without their flags, as Dovecot keeps them."""
    try:
        lines = text_of(path / UIDS_FILE).splitlines()
    except OSError:
        return {}
    found = (re.fullmatch(r"(\d+) .*?:(.+)", line) for line in lines)
    return {_base(match[2]): int(match[1]) for match in found if match}


def _encoded(level: str) -> str:
    return names.encode(level, utf8=False).decode().replace("\\", "\\5c").replace(".", "\\2e")


def decoded(level: str) -> str:
    """A level of a name, of modified UTF-7 or not."""
    level = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), level)
    name = names.decode(level.encode(errors="surrogateescape"), utf8=False) if level.isascii() else None
    return level if name is None else name


class Mailbox:
    """A folder that takes the messages of one mailbox. What is there already is not written again.

    ``put`` may be called in several threads at once. OSError from every method.
    """

    def __init__(self, path: Path, uidvalidity: int, uidnext: int, keywords: Sequence[str]) -> None:
        self._path, self._validity, self._uidnext = path, uidvalidity, uidnext
        for sub in ("tmp", "new", "cur"):
            (path / sub).mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.name.startswith("."):
            (path / "maildirfolder").touch(mode=0o600)
        if keywords:
            with replacing(path / KEYWORDS_FILE) as file:
                lines = (f"{number} {word}\n" for number, word in enumerate(keywords[: len(KEYWORDS)]))
                file.write("".join(lines).encode())
        self._letters = dict(zip(map(str.casefold, keywords), KEYWORDS, strict=False))
        self._names: dict[int, str] = {}
        self._there = {file.name.partition(",")[0]: file for sub in ("cur", "new") for file in messages_in(path / sub)}

    def put(self, uid: int, letter: Letter) -> None:
        flags = [mark for mark, bit in _FLAGS.items() if letter.flags & bit]
        words = [mark for word in letter.keywords if (mark := self._letters.get(word.casefold()))]
        marks = ":2," + "".join(sorted(flags) + sorted(words))
        unique = f"{letter.received // 1000}.V{self._validity}U{uid:010d}.postroad"
        there = self._there.get(unique)
        if there is not None:
            self._names[uid] = _base(there.name)
            if there.name.partition(":2,")[2] != marks[3:]:
                there.rename(self._path / "cur" / (_base(there.name) + marks))
            return
        temporary = self._path / "tmp" / unique
        size = virtual = 0
        try:
            with open(temporary, "wb", opener=private) as file:
                for piece in with_lf(letter.pieces):
                    file.write(piece)
                    size += len(piece)
                    virtual += len(piece) + piece.count(b"\n")
                settle(file, letter.received)
        except LookupError:  # expunged meanwhile
            temporary.unlink()
            raise
        name = self._names[uid] = f"{unique},S={size},W={virtual}"
        temporary.rename(self._path / "cur" / (name + marks))

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        sync(self._path / "cur")
        if kind is None:
            with replacing(self._path / UIDS_FILE) as file:
                file.write(f"3 V{self._validity} N{self._uidnext}\n".encode())
                file.writelines(f"{uid} :{name}\n".encode() for uid, name in sorted(self._names.items()))
