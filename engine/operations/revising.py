"""The configurations that were put in force: which there are, what became of each, and putting one in force."""

import os
import time
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from engine.config import Config, ConfigError, Problem, parse
from engine.config.document import Document
from engine.operations.impossible import Impossible, Missing
from engine.revisions import (
    IN_FORCE,
    ON_TRIAL,
    OPENING,
    Archive,
    Kept,
    Restoring,
    changes,
    in_a_line,
    in_folder,
)
from engine.runtime.ordering import ordered
from engine.runtime.state import Order, Running, State, Trial

PATIENCE = 60.0
"""Seconds in which the server must have said how a reload went."""


_NOT_HERE = "says what runs or writes here, or who comes in; only who may write the file there may change it"


class Row(NamedTuple):
    """A revision as it is listed. ``when``: Unix time; ``before``: the one that was in force then, or 0."""

    number: int
    when: float
    by: str
    became: str
    changed: str
    before: int


class Revisions:
    """What is kept for a pipeline.toml, which may be wrong just now: that is when one wants to go back. Missing."""

    def __init__(self, pipeline: Path, data: Path) -> None:
        self.pipeline = pipeline
        self.data = data
        self.running = State(data).running()
        self._archive = Archive(data)
        self.all = self._archive.all()
        self._by_number = {kept.number: kept for kept in self.all}
        if not self.all:
            raise Missing(f"no revision is kept in {data}; is that the data folder, and did a server run there?")

    @property
    def is_of_others(self) -> bool:
        """Whether root asks, and another user could have written what is kept."""
        return os.geteuid() == 0 and self.data.stat().st_uid != 0

    @property
    def on_trial(self) -> Trial | None:
        return self.running.trial if self.running is not None else None

    def get(self, number: int) -> Kept:
        """Missing."""
        found = self._by_number.get(number)
        if found is None:
            text = f"there is no revision {number}; kept are {self.all[0].number} to {self.all[-1].number}"
            raise Missing(text)
        return found

    @cached_property
    def in_force(self) -> Kept | None:
        """Of a server that does not run, the one that was in force last."""
        if self.running is not None and (kept := self._by_number.get(self.running.revision)) is not None:
            return kept
        return self._archive.last_in_force()

    def current(self) -> Kept:
        """The one in force. Missing."""
        if self.in_force is None:
            raise Missing("no revision was ever in force")
        return self.in_force

    def before(self) -> Kept:
        """The one to go back to: from one on trial the one in force, from that the one before it. Missing."""
        current = self.current()
        if self.on_trial is not None:
            return current
        if not current.before:
            there = "`postroad revision list` shows those there are"
            raise Missing(f"there was none before revision {current.number}; {there}")
        return self.get(current.before)

    def ends_trial(self, kept: Kept) -> bool:
        """Whether to go back to it is to end the trial of another one."""
        return self.on_trial is not None and kept is self.in_force

    def row(self, kept: Kept) -> Row:
        return Row(kept.number, kept.when, kept.by, self._became(kept), self._changed(kept), kept.before)

    def _became(self, kept: Kept) -> str:
        if kept.became == IN_FORCE and (self.in_force is None or kept.number != self.in_force.number):
            return "was in force"
        if kept.became == ON_TRIAL and not (self.on_trial and kept.number == self.on_trial.revision):
            return "was on trial"
        if kept.became == OPENING and self.running is None:
            return "was to be opened"
        return f"{kept.became}: {kept.why}" if kept.why else kept.became

    def _changed(self, kept: Kept) -> str:
        before = self._by_number.get(kept.before)
        return in_a_line(changes(before, kept)) if before is not None else ""


def written(revisions: Revisions, text: str, by: str) -> Kept:
    """A text that is to be put in force, as one that was kept. Its number is given when it is."""
    return Kept(0, time.time(), by, text, before=revisions.in_force.number if revisions.in_force else 0)


def put_in_force(revisions: Revisions, kept: Kept, by: str, share: float | None = None) -> Running:
    """Write it over the files that stand there, and have the server reload. Blocks. Impossible: then the server and the
    files are as before. Disobeyed: nobody knows how it ends; the files stay.

    ``share``: per cent of the mail that it is tried on first; None: as it says itself. Whether it is a good
    configuration the server finds out; whoever calls has looked before.
    """
    restoring = Restoring(revisions.pipeline, kept)
    try:
        restoring.write()
    except OSError as error:
        raise Impossible(f"cannot write {error.filename}: {error.strerror}; nothing was changed") from error
    what = "abort" if revisions.ends_trial(kept) else "reload"
    now = ordered(revisions.data, Order(by, what, share), PATIENCE)  # type: ignore[arg-type]
    if now.error:
        restoring.undo()
        raise Impossible(f"the server goes on as before, and so do the files: {now.error}")
    return now


def end_trial(data: Path, by: str, *, promote: bool) -> Running:
    """Put what is on trial in force for all mail, or go on without it. Blocks. Impossible, Disobeyed."""
    now = ordered(data, Order(by, "promote" if promote else "abort"), PATIENCE)
    if now.error:
        raise Impossible(f"the server goes on as before: {now.error}")
    return now


def mistakes(text: str, config: Config) -> list[Problem]:
    """What is wrong with a text for the place of ``config``. It is a text of strangers: code that it names is loaded
    only when ``config`` names it too."""
    if found := foreign(text, config.path.read_text()):
        return found
    try:
        parse(text, config.path)
    except ConfigError as error:
        return list(error.problems)
    return []


def kept_mistakes(kept: Kept, pipeline: Path) -> list[Problem]:
    """What is wrong by now with a revision that was kept."""
    try:
        parse(kept.text, pipeline, in_folder(kept.files, pipeline.parent))
    except ConfigError as error:
        return list(error.problems)
    return []


def foreign(text: str, known: str) -> list[Problem]:
    """Where a text names code, commands or users of the machine that the ``known`` one does not, or others who say who
    somebody is: who may change what the mail server does may not for that become its user, or its owner. What is no
    TOML has other mistakes."""
    new, old = _tables(text), _tables(known)
    allowed = {value for _, value in _powers(old)}
    places = [place for place, value in _powers(new) if value not in allowed]
    if not places:
        return []
    document = Document(text, Path())
    return [Problem(document.line(place), place, _NOT_HERE) for place in places]


def _powers(tables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is code, or says where and as whom it runs."""
    stages = tables.get("stage")
    for name, stage in stages.items() if isinstance(stages, dict) else ():
        if isinstance(stage, dict) and "use" in stage:
            yield f"stage.{name}.use", repr(stage["use"])
        if isinstance(stage, dict) and "command" in stage:  # one that runs programs, whatever it is called
            yield f"stage.{name}.command", repr((stage["command"], stage.get("folder")))
    for table, key in (("acme", "hook"), ("server", "data"), ("server", "user"), ("web", "edit_code"), ("log", "file")):
        found = tables.get(table)
        if isinstance(found, dict) and found.get(key, False) is not False:
            yield f"{table}.{key}", repr(("", table, key, found[key]))
    tls = tables.get("tls")
    if isinstance(tls, dict) and "client_ca" in tls:  # a file of authorities: somebody's own would make them anybody
        yield "tls.client_ca", repr(("", "tls.client_ca", tls["client_ca"]))
    # Secrets of these go to where the same table says: so another server would be told what is in a file.
    for table in ("oidc", "shared"):
        if isinstance(found := tables.get(table), dict):
            yield table, repr(("", table, *sorted(found.items(), key=str)))
    elsewhere = tables.get("directory")
    for name, directory in elsewhere.items() if isinstance(elsewhere, dict) else ():
        yield f"directory.{name}", repr(("", "directory", name, directory))
    web = tables.get("web")
    providers = web.get("oidc") if isinstance(web, dict) else None
    for name, provider in providers.items() if isinstance(providers, dict) else ():
        yield f"web.oidc.{name}", repr(("", "web.oidc", name, provider))


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}
