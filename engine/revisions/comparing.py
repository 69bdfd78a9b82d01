"""What one configuration changed in another: in words, and line by line."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from engine.lanes import QUEUE
from engine.revisions.archive import Kept

PIPELINE = "pipeline.toml"

_MANY = 4
"""Changes that are told in one line; of more, the number."""


class Change(NamedTuple):
    """One thing that is not as it was."""

    what: str  # "stage", "lane", "listener", "table", "file"
    name: str
    how: str  # "added", "removed", or what has changed

    def __str__(self) -> str:
        return f"{self.what} {self.name} {self.how}" if self.how in ("added", "removed") else (
            f"{self.what} {self.name}: {self.how}"
        )  # fmt: skip


def changes(old: Kept, new: Kept) -> list[Change]:
    """What ``new`` changed: stages, lanes, listeners, other tables, and the files that it names."""
    before, after = _tables(old.text), _tables(new.text)
    if before is None or after is None:
        found = [Change("file", PIPELINE, "changed")] if old.text != new.text else []
    else:
        found = [*_lanes(before, after), *_stages(before, after), *_listeners(before, after), *_others(before, after)]
    found += _compared("file", old.files, new.files, lambda *_: "changed")
    if not found and old.text != new.text:
        found.append(Change("file", PIPELINE, "comments or layout"))
    return found


def in_a_line(found: Iterable[Change]) -> str:
    """The first of the changes, and how many more there are."""
    texts = [str(one) for one in found]
    if len(texts) > _MANY:
        texts[_MANY - 1 :] = [f"{len(texts) - _MANY + 1} more"]
    return "; ".join(texts) or "nothing"


def unified(old: Kept, new: Kept) -> list[str]:
    """The lines that differ, of pipeline.toml and of every file that either names, as `diff -u` shows them."""
    names = sorted({*old.files, *new.files})
    pairs = [(PIPELINE, old.text, new.text), *((name, old.files.get(name), new.files.get(name)) for name in names)]
    return [line for name, before, after in pairs for line in _of_file(name, before, after, old.number, new.number)]


def _of_file(name: str, before: str | None, after: str | None, old: int, new: int) -> Iterator[str]:
    left = f"{name} (revision {old})" if before is not None else "/dev/null"
    right = f"{name} (revision {new})" if after is not None else "/dev/null"
    lines = difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), left, right, lineterm="")
    yield from lines


def _tables(text: str) -> dict[str, Any] | None:
    """None for what is no TOML, as a text may be that was refused."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _named(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = tables.get(name, {})
    return found if isinstance(found, dict) else {}


def _compared(what: str, old: Mapping[str, Any], new: Mapping[str, Any], how: Any) -> list[Change]:
    """What came, went, and changed; ``how`` says in what way."""
    found = [Change(what, name, "removed") for name in old if name not in new]
    found += [Change(what, name, "added") for name in new if name not in old]
    found += [Change(what, name, how(old[name], new[name])) for name in new if name in old and old[name] != new[name]]
    return found


def _lanes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return _compared("lane", _named(before, "lane"), _named(after, "lane"), _how_a_lane)


def _how_a_lane(old: Any, new: Any) -> str:
    was, now = _stages_in(old), _stages_in(new)
    said = [f"+ {name}" for name in now if name not in was] + [f"- {name}" for name in was if name not in now]
    if not said and was != now:
        said = ["order"]
    if isinstance(old, dict) and isinstance(new, dict):
        said += [key for key in sorted({*old, *new} - {"stages"}) if old.get(key) != new.get(key)]
    return ", ".join(said) or "changed"


def _stages_in(lane: Any) -> list[str]:
    stages = lane.get("stages", []) if isinstance(lane, dict) else []
    return [name for name in stages if isinstance(name, str)] if isinstance(stages, list) else []


def _stages(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Stages by what stands in lanes, and by their settings: one that stands in no lane does not run."""
    was, now = _running(before), _running(after)
    return _compared("stage", was, now, _how_a_table)


def _running(tables: Mapping[str, Any]) -> dict[str, Any]:
    settings = _named(tables, "stage")
    names = [name for lane in _named(tables, "lane").values() for name in _stages_in(lane) if name != QUEUE]
    return {name: settings.get(name, {}) for name in dict.fromkeys((*names, *settings))}


def _how_a_table(old: Any, new: Any) -> str:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return "changed"
    return ", ".join(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))


def _listeners(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return _compared("listener", _named(before, "listen"), _named(after, "listen"), lambda _, new: _shown(new))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "changed"


def _others(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    said = {"lane", "stage", "listen"}
    old = {name: value for name, value in before.items() if name not in said}
    new = {name: value for name, value in after.items() if name not in said}
    return _compared("table", old, new, _how_a_table)
