"""Editing pipeline.toml and the files that it names: what is wrong with an edit, and putting it in force."""

import ast
import contextlib
import difflib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from engine.config import Config, ConfigError, Problem, parse
from engine.operations import revising
from engine.operations.advising import warnings
from engine.operations.impossible import Impossible, Missing
from engine.operations.revising import Revisions
from engine.revisions import Kept, from_folder
from engine.runtime.state import Running

LARGEST = 500_000
"""Octets of a file that is edited; the largest configurations have a tenth of it."""

Hindrance: TypeAlias = Literal["", "code", "outside", "unwritable", "owner"]
"""Why a file cannot be edited: it is code of the server, lies outside the folder of pipeline.toml, its folder cannot be
written to, or it is another user's, who would lose it."""

_LOCK = "editing.lock"


@dataclass(frozen=True, slots=True)
class File:
    """One that can be read. ``name``: its path from the folder of pipeline.toml on."""

    name: str
    path: Path
    is_code: bool
    hindrance: Hindrance


@dataclass(frozen=True, slots=True)
class Text:
    """What stands in a file now. ``digest`` says it in short, so that one who saves it knows whether it still does."""

    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class Edit:
    """A file as it is to be."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is to say of an edit. ``after``: what would be in force; None: it cannot be, or nobody knows yet."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    after: Config | None = None


def files_of(config: Config) -> list[File]:
    """pipeline.toml, then those that it names, as far as they are texts of the configuration: secrets are none."""
    folder = config.path.parent
    names = sorted(from_folder(config.files, folder))
    return [_file(config, config.path.name, config.path), *(_file(config, name, folder / name) for name in names)]


def file_of(config: Config, name: str) -> File:
    """Missing: the configuration in force names no such file."""
    for file in files_of(config):
        if file.name == name:
            return file
    raise Missing(f"{name} is no file of the configuration in force")


def _file(config: Config, name: str, path: Path) -> File:
    is_code = path.suffix == ".py"
    return File(name, path, is_code, _hindrance(config, path, is_code=is_code))


def _hindrance(config: Config, path: Path, *, is_code: bool) -> Hindrance:
    place = path.resolve()  # where a link leads is where it would be written
    if not place.is_relative_to(config.path.parent.resolve()):
        return "outside"
    if is_code and not config.web.edit_code:
        return "code"
    if not os.access(place.parent, os.W_OK):
        return "unwritable"
    with contextlib.suppress(OSError):
        if os.geteuid() not in (0, place.stat().st_uid):
            return "owner"
    return ""


def read(file: File) -> Text:
    """What stands there now. Impossible."""
    try:
        with open(file.path, "rb") as opened:
            octets = opened.read(LARGEST + 1)
    except OSError as error:
        raise Impossible(f"cannot read {file.name}: {error.strerror}") from error
    if len(octets) > LARGEST:
        raise Impossible(f"{file.name} has more than {LARGEST:,} octets")
    try:
        return Text(octets.decode(), hashlib.sha256(octets).hexdigest())
    except UnicodeDecodeError as error:
        raise Impossible(f"{file.name} is no text in UTF-8") from error


def unapplied(config: Config) -> list[str]:
    """Files that say something else than what is in force: somebody has edited them, and not reloaded."""
    texts = {config.path: config.text} | {Path(path): text for path, text in config.files.items()}
    found = []
    for file in files_of(config):
        with contextlib.suppress(OSError):
            if file.path.read_bytes().splitlines() != texts.get(file.path, "").encode().splitlines():
                found.append(file.name)
    return found


# -- what is wrong with it


def looked_over(config: Config, edit: Edit) -> Looked:
    """Every mistake in an edit, and what is hardly meant. Missing, Impossible.

    No code runs but that which is in force: an edit cannot name any other, and edited code is only parsed.
    """
    file = file_of(config, edit.name)
    if file.is_code:
        return Looked(tuple(_in_code(file, edit.text)))
    pipeline, named = _texts(config, file, edit)
    if foreign := revising.foreign(pipeline, config.text):
        return Looked(tuple(foreign))
    try:
        after = parse(pipeline, config.path, named)
    except ConfigError as error:
        return Looked(tuple(_shown(one, config) for one in error.problems))
    return Looked((), tuple(_shown(one, config) for one in warnings(after)), after)


def _in_code(file: File, text: str) -> Iterator[Problem]:
    """What keeps it from being Python. Whether it is a good filter shows when it is put in force: then it is run."""
    try:
        ast.parse(text, str(file.path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield Problem(getattr(error, "lineno", 0) or 0, "", str(getattr(error, "msg", "") or error), file.path)


def _texts(config: Config, file: File, edit: Edit) -> tuple[str, dict[str, str]]:
    """The text of pipeline.toml, and those of others: of code what is in force, of the rest what stands there now."""
    named = {path: text for path, text in config.files.items() if path.endswith(".py")}
    if file.path == config.path:
        return edit.text, named
    return read(file_of(config, config.path.name)).text, named | {str(file.path): edit.text}


def _shown(problem: Problem, config: Config) -> Problem:
    """With the file that it is in."""
    return replace(problem, path=problem.path or config.path)


def difference(config: Config, edit: Edit) -> list[str]:
    """The lines that differ from what is in force, as `diff -u` shows them below its head. Missing."""
    file = file_of(config, edit.name)
    before = config.text if file.path == config.path else config.files.get(str(file.path), "")
    return list(difflib.unified_diff(before.splitlines(), edit.text.splitlines(), lineterm=""))[2:]


def after_files(config: Config, edit: Edit) -> Mapping[str, str]:
    """Texts of the files that the edited configuration names, so far as they are not simply read: for a preview, which
    runs what is code among them. Missing; Impossible: it is code, which nobody edits here.
    """
    file = file_of(config, edit.name)
    if file.hindrance == "code":
        raise Impossible(f"{file.name} is code, which is tried on the machine alone: [web] edit_code is off")
    _, named = _texts(config, file, edit)
    return named


def pipeline_text(config: Config, edit: Edit) -> str:
    """The text of pipeline.toml with the edit. Missing, Impossible."""
    return _texts(config, file_of(config, edit.name), edit)[0]


# -- having it in force


def put_in_force(config: Config, edit: Edit, stood: str, by: str, share: float | None = None) -> Running:
    """Write the edit into its file, and have the server reload. Blocks. Impossible: then all is as before. Disobeyed.

    ``stood``: the digest of what stood there when it was opened; if that has changed meanwhile, nothing is done.
    """
    file = file_of(config, edit.name)
    if file.hindrance:
        raise Impossible(f"{file.name} cannot be edited here")
    if found := looked_over(config, edit).problems:
        raise Impossible(f"it has {len(found)} mistakes; nothing was changed")
    with _alone(config):
        if read(file).digest != stood:
            raise Impossible(f"{file.name} was changed meanwhile; nothing was overwritten")
        revisions = Revisions(config.path, config.server.data)
        return revising.put_in_force(revisions, _kept(config, file, edit, revisions, by), by, share)


def _kept(config: Config, file: File, edit: Edit, revisions: Revisions, by: str) -> Kept:
    """The edit as a revision that is to be put in force: nothing but the edited file is written."""
    text, _ = _texts(config, file, edit)
    kept = revising.written(revisions, text, by)
    return kept if file.path == config.path else msgspec.structs.replace(kept, files={file.name: edit.text})


@contextlib.contextmanager
def _alone(config: Config) -> Iterator[None]:
    """Nobody else puts an edit in force meanwhile. Impossible: somebody does."""
    descriptor = os.open(config.server.data / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Impossible("somebody else is putting a configuration in force just now") from error
        yield
    finally:
        os.close(descriptor)
