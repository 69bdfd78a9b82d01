"""Attachments: what kinds of files a message may bring, by content and name, also within archives. A pure stage."""

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal

import trio

from engine import Duration, Message, Quarantine, Reject, Size, Verdict
from engine.mime import rewriting
from engine.mime.part import Part
from engine.mime.structure import structure
from engine.scanning import macros
from engine.scanning.attached import File, Limits, examined, shown
from engine.scanning.kinds import KINDS
from engine.scanning.parts import has_none, is_overfull

Action = Literal["pass", "note", "strip", "quarantine", "reject"]

_ORDER = ("pass", "note", "strip", "quarantine", "reject")
_LISTS = ("reject", "quarantine", "strip", "note")

NOTED = 20
"""Files that a fact names at most."""

LARGE = 256 * 1024
"""Octets of a message that goes to a thread at once; it has attachments, as a rule."""


@dataclass
class Attachments:
    """Refuses, parks or strips by the worst of what is found, and leaves facts about all of it."""

    leaves: ClassVar = ("attachments.",)

    _: KW_ONLY
    # Kinds of files, or patterns of names such as "*.docm". What mail has no business to bring.
    reject: tuple[str, ...] = ("executable", "script", "shortcut", "disk-image", "double-extension", "hidden-name")
    quarantine: tuple[str, ...] = ()
    # Taken out of the message, and a text put in their place.
    strip: tuple[str, ...] = ()
    # Named in the fact attachments.files.
    note: tuple[str, ...] = ("macros", "pdf-javascript", "encrypted", "onenote", "help", "html")
    # What is encrypted, so that nobody can look into it: archives, and documents of Office.
    encrypted: Action = "pass"
    # What is damaged, or of a format that is not opened here: 7z, RAR, CAB and others.
    unreadable: Action = "pass"
    # What unpacks to more than the limits below. Nobody sends that.
    bomb: Action = "reject"
    # Archives within each other.
    depth: int = 5
    # Files in all archives of a message.
    files: int = 2000
    # Octets that come out of all archives of a message.
    unpacked: Size = Size("200 MB")
    # Octets that come out for each one that is packed, from 10 MB on. Text has 20 at most, tables and logs 100.
    ratio: int = 150
    # Then the rest counts as unreadable.
    time_limit: Duration = Duration("10s")
    # Ask oletools, which must be installed, about documents in which we find no macros: half a second of CPU each.
    oletools: bool = False
    # In the place of what was stripped.
    text: str = "The attachment {name} was removed here, because files of this kind are not taken: {kinds}."
    _actions: dict[str, str] = field(init=False, repr=False)
    _patterns: list[tuple[str, str]] = field(init=False, repr=False)
    _threads: trio.CapacityLimiter = field(init=False, repr=False)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        for name in _LISTS:
            for one in settings.get(name, ()):
                if one not in KINDS and not one.startswith("*"):
                    yield f"{name} has {one!r}, which is no kind of file; a pattern of names begins with *"
        if settings.get("oletools") and not macros.is_installed():
            yield "oletools are not installed: pip install oletools"
        for name in ("depth", "files", "ratio"):
            if settings.get(name, 1) < 1:
                yield f"{name} must be at least 1"

    def __post_init__(self) -> None:
        self._actions, self._patterns = {}, []
        for action in reversed(_LISTS):
            for one in getattr(self, action):
                if one in KINDS:
                    self._actions[one] = action
                else:
                    self._patterns.append((one.lower(), action))
        for kind in ("encrypted", "unreadable", "bomb"):
            self._actions[kind] = max(self._actions.get(kind, "pass"), getattr(self, kind), key=_ORDER.index)
        self._limits = Limits(self.depth, self.files, self.unpacked, self.ratio, self.time_limit, self.oletools)
        self._threads = trio.CapacityLimiter(os.cpu_count() or 1)

    async def __call__(self, message: Message) -> Verdict:
        if message.size > LARGE:
            return await trio.to_thread.run_sync(self._judged, message, limiter=self._threads)
        if has_none(b"".join(message.chunks())):
            return message
        return await trio.to_thread.run_sync(self._judged, message, limiter=self._threads)

    def _judged(self, message: Message) -> Verdict:
        root = structure(message.chunks())
        found = list(examined(message.chunks, root, self._limits))
        overfull = is_overfull(root)
        if overfull:
            found.append((root, [File(("",), frozenset({"unreadable"}))]))
        if not found:
            return message
        message = message.with_facts(self._facts(file for _, files in found for file in files))
        worst = max((self._action(files) for _, files in found), key=_ORDER.index)
        if worst == "strip" and overfull:
            worst = "quarantine"  # there is nothing that could be taken out
        said = sorted({kind for _, files in found for kind in self._reasons(files, worst)})
        if worst == "reject":
            names = ", ".join(sorted({str(file) for _, files in found for file in files}))
            return Reject(f"Attachments of this kind are not taken here: {', '.join(said)}", log=f"it has {names:.300}")
        if worst == "quarantine":
            return Quarantine(f"attachments: {', '.join(said)}")
        return self._stripped(message, found) if worst == "strip" else message

    def _action(self, files: list[File]) -> str:
        return max((self._of(file)[0] for file in files), key=_ORDER.index, default="pass")

    def _reasons(self, files: list[File], action: str) -> set[str]:
        return {
            reason for file in files for found, reasons in [self._of(file)] if found == action for reason in reasons
        }

    def _of(self, file: File) -> tuple[str, set[str]]:
        """What is to be done about a file, and the kinds or patterns that are the reason."""
        name = file.name.lower()
        found = [(self._actions.get(kind, "pass"), kind) for kind in file.kinds]
        found += [(action, pattern) for pattern, action in self._patterns if fnmatch.fnmatchcase(name, pattern)]
        worst = max((action for action, _ in found), key=_ORDER.index, default="pass")
        return worst, {reason for action, reason in found if action == worst}

    def _facts(self, files: Iterator[File]) -> dict[str, Any]:
        everything = list(files)
        seen = {kind for file in everything for kind in file.kinds}
        noted = [file for file in everything if self._of(file)[0] != "pass"]
        return {
            "attachments.kinds": sorted(seen),
            "attachments.macros": "macros" in seen,
            "attachments.files": [f"{file}: {', '.join(sorted(file.kinds))}" for file in noted[:NOTED]],
        }

    def _stripped(self, message: Message, found: list[tuple[Part, list[File]]]) -> Message:
        kinds = {part.start: reasons for part, files in found if (reasons := self._reasons(files, "strip"))}
        octets = b"".join(message.chunks())

        def note(part: Part) -> str | None:
            reasons = kinds.get(part.start)
            if reasons is None:
                return None
            return self.text.replace("{name}", shown(rewriting.name(part))).replace(
                "{kinds}", ", ".join(sorted(reasons))
            )

        return message.with_content(rewriting.replaced(octets, note))
