"""`[stage.NAME]`: the stages that lanes name, loaded and with their settings."""

import importlib.util
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.condition import parse_condition
from engine.config.conversion import convert
from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.tables import Stage
from engine.lanes import MAIL, QUEUE, Lane
from engine.stage import Spec, StageError, load_stage
from engine.units import Duration

NO_LIMIT = Duration(float("inf"))

ENGINE_HINTS: dict[str, Any] = {
    "workers": int,
    "timeout": Duration,
    "on_error": typing.Literal["defer", "skip", "reject", "quarantine"],
    "when": str,
}
ENGINE_KEYS = ("use", *ENGINE_HINTS)
"""Keys of any stage, which the engine acts on."""


def read_stages(document: Document, lanes: Iterable[Lane]) -> dict[str, Stage]:
    tables = document.table("stage")
    used = dict.fromkeys(name for lane in lanes for name in lane.stages if name != QUEUE)
    if QUEUE in tables:
        document.problem(f"stage.{QUEUE}", "`queue` is the engine's own; its settings are in [queue]")
    for name in tables:
        if name not in used and name != QUEUE and not document.has_problem("lane"):  # else it may stand in that lane
            document.problem(f"stage.{name}", f"no lane has a stage of this name{nearest(name, used)}")
    found = {}
    for name in used:
        table = document.table(name, tables, f"stage.{name}")
        spec = _loaded(document, name, table.get("use", ""), lanes)
        if spec:
            found[name] = _stage(document, f"stage.{name}", spec, table)
    return found


def _loaded(document: Document, name: str, use: object, lanes: Iterable[Lane]) -> Spec | None:
    place = f"stage.{name}.use"
    if not isinstance(use, str):
        document.problem(place, 'write a path, "filters/name.py", or "package.module:name"')
        return None
    try:
        return load_stage(name, use, document.folder, document.source)
    except StageError as error:
        if use:
            document.problem(place, str(error))
            return None
        text = str(error)
        if text == f"there is no module stages.{name}":
            known = {*own_stages(), *document.table("stage"), QUEUE} - {name}
            hint = f', or say where it is: [stage.{name}] use = "filters/{name}.py"'
            text = f"no stage is named {name}{nearest(name, known)}{hint}"
        lane = next(lane.name for lane in lanes if name in lane.stages)
        document.problem(f"lane.{lane}.stages", text)
        return None


def own_stages() -> set[str]:
    """The names of the stages that come with Postroad; none of them is imported."""
    found = importlib.util.find_spec("stages")
    folders = (found.submodule_search_locations if found else None) or ()
    return {
        path.stem
        for folder in folders
        for path in Path(folder).iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }


def _stage(document: Document, place: str, spec: Spec, table: Mapping[str, Any]) -> Stage:
    settings = _settings(document, place, spec, table)
    engine = _for_the_engine(document, place, spec, table)
    home = spec.home or (spec.name if engine.get("workers", 0) else MAIL)
    stage = Stage(spec, settings, place=home, **engine)
    _let_it_check(document, place, stage)
    return stage


def _settings(document: Document, place: str, spec: Spec, table: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in table.items() if key not in ENGINE_KEYS}
    hints = {key: kind for key, kind in spec.settings.items() if key not in spec.tables.values()}
    for key in own.keys() - hints.keys():
        document.problem(f"{place}.{key}", f"unknown setting{nearest(key, [*hints, *ENGINE_KEYS])}")
    settings = document.values(place, {key: own[key] for key in own if key in hints}, hints)
    settings = {key: _located(value, document.folder) for key, value in settings.items()}
    tables = {setting: top for top, setting in spec.tables.items()}
    for setting, top in tables.items():
        if top in document.tables:
            settings |= _from_tables(document, top, setting, spec.settings[setting])
    for missing in sorted(spec.required - own.keys()):
        if missing not in tables:
            document.problem(f"{place}.{missing}", "is required")
        elif (top := tables[missing]) not in document.tables:
            document.problem(top, f"is required by the stage {spec.name}: write at least one [[{top}]]")
    return settings


def _located(value: Any, folder: Path) -> Any:
    """A setting, with the paths in it from the folder of the file on."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        paths = {name: folder / path for name, path in fields.items() if isinstance(path, Path)}
        return msgspec.structs.replace(value, **paths) if paths else value
    return value


def _from_tables(document: Document, top: str, setting: str, kind: Any) -> dict[str, Any]:
    """A setting whose value is the tables `[[top]]`."""
    try:
        return {setting: convert(document.tables[top], kind)}
    except ValueError as error:
        match = re.search(r" at \[(\d+)\](.*)$", str(error))
        index = match[1] if match else "0"
        text = str(error)[: match.start() if match else None]
        document.problem(f"{top}.{index}{match[2] if match else ''}", text)
        return {}


def _for_the_engine(document: Document, place: str, spec: Spec, table: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine itself is to do about the stage: arguments of Stage."""
    engine = document.values(place, {key: table[key] for key in ENGINE_HINTS if key in table}, ENGINE_HINTS)
    if "when" in engine:
        try:
            engine["when"] = parse_condition(engine["when"])
        except ValueError as error:
            document.problem(f"{place}.when", str(error))
    if spec.effect:
        engine.setdefault("timeout", NO_LIMIT)  # it may wait long for its turn, and times its own steps
    workers = engine.get("workers", 0)
    if workers < 0:
        document.problem(f"{place}.workers", "must not be negative")
    elif workers and spec.home:
        document.problem(f"{place}.workers", f"{spec.name} runs where the {spec.home} are, in one process")
    return engine


def _let_it_check(document: Document, place: str, stage: Stage) -> None:
    """Let the stage look at its settings itself."""
    spec = stage.spec
    check: Callable[..., Iterable[str]] | None = getattr(spec.target, "check", None)
    if check is not None and spec.required <= stage.settings.keys():
        for text in check(**stage.settings):
            document.problem(next(iter(spec.tables), "") or place, text)
