"""What in `pipeline.toml` is no mistake, but hardly meant: told as warnings, each with its line and what to do."""

import ast
import inspect
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.config.document import Document
from engine.config.errors import Problem, nearest
from engine.config.listeners import IMPLICIT_TLS
from engine.config.tables import NOWHERE, Config, Stage
from engine.lanes import QUEUE, Lane

ALWAYS_THERE: Final = ("quarantine.", "content.", "sieve.")
"""Facts that the engine leaves itself."""

_OF_THE_ENVELOPE: Final = ("session.", "sender.")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.[^\W\d]\w*|\[\d+\])+")
_OWN = "stages."
_FACT = re.compile(r"[a-z_]\w*(\.[\w\[\]]+)+")
_WITH = {"with_fact", "with_facts"}


def advice(config: Config) -> list[Problem]:
    """Every warning, in the order of lines."""
    document = Document(config.text, config.path, config.files)
    for look in (_lanes, _journals, _effects, _conditions, _settings, _files, _listeners, _pages):
        look(document, config)
    return sorted(document.problems, key=lambda problem: problem.line)


def noted(config: Config, found: Iterable[tuple[str, str]]) -> list[Problem]:
    """The same of what others have found: dotted keys, and what there is to say."""
    document = Document(config.text, config.path, config.files)
    for key, text in found:
        document.problem(key, text)
    return document.problems


# -- lanes


def _lanes(document: Document, config: Config) -> None:
    reached = _reached(config)
    for lane in config.lanes:
        course = config.courses[lane.name]
        if lane.name in reached:
            continue
        if course.source:
            names = ", ".join(course.listen) or "none"
            text = f"no mail comes in here: none of its listeners ({names}) is in [listen]"
        else:
            text = "nothing leads here: no rule and no stage that is reached picks this lane; remove it, or add a rule"
        document.problem(f"lane.{lane.name}", text)


def _journals(document: Document, config: Config) -> None:
    """Lanes by which mail comes in past the stage that marks what is copied."""
    marking = {name for name, stage in config.stages.items() if "journal" in stage.spec.acts_on}
    for lane in config.lanes if config.journals else ():
        if config.courses[lane.name].source and lane.name in _reached(config) and not marking & set(lane.stages):
            text = f"mail that comes in here is not journaled: put {min(marking)} before `queue`, if it is to be"
            document.problem(f"lane.{lane.name}.stages", text)


def _reached(config: Config) -> set[str]:
    """Lanes that mail may go down."""
    waiting = [
        course.lane for course in config.courses.values() if course.source and set(course.listen) & config.listen.keys()
    ]
    waiting += [table.lane for table in (config.reports, config.quarantine) if table is not None]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached and name in config.courses:
            reached.add(name)
            waiting += _picked_in(config, name)
    return reached


def _picked_in(config: Config, lane: str) -> set[str]:
    """Lanes that the stages of a lane may pick."""
    course = config.courses[lane]
    names = [name for leg in (*course.before, *course.after) for name in leg.stages]
    return {found for name in names for found in _picked(config, config.stages[name])}


def _picked(config: Config, stage: Stage) -> set[str]:
    """By its settings, or by a name in the code of a stage that is not ours."""
    found = {
        rule.lane
        for setting in stage.spec.tables.values()
        for rule in stage.settings.get(setting, ())
        if hasattr(rule, "lane")
    }
    own = {name: value for name, value in stage.settings.items() if name not in stage.spec.tables.values()}
    found |= {text for text in _texts(own) if text in config.courses}
    if not _is_ours(stage):
        found |= {text for text in _constants(_source(config, stage)) if text in config.courses}
    return found


def _effects(document: Document, config: Config) -> None:
    """An effect is the end of the way, and behind `queue` each lane needs one, or a stage that picks another lane."""
    for lane in config.lanes:
        place = f"lane.{lane.name}.stages"
        ends = [index for index, name in enumerate(lane.stages) if name != QUEUE and config.stages[name].spec.effect]
        if ends and ends[0] < len(lane.stages) - 1:
            effect, behind = lane.stages[ends[0]], ", ".join(lane.stages[ends[0] + 1 :])
            document.problem(place, f"{behind} stands behind {effect}, where the way ends: nothing comes to it")
        elif not ends and not _leads_on(config, lane):
            document.problem(place, "the lane ends without an effect or a stage that picks another: mail stays here")


def _leads_on(config: Config, lane: Lane) -> bool:
    course = config.courses[lane.name]
    stages = [config.stages[name] for leg in course.after for name in leg.stages]
    return any(_picked(config, stage) or not _is_ours(stage) for stage in stages)


# -- conditions


def _conditions(document: Document, config: Config) -> None:
    """A fact that nobody leaves before it is asked for."""
    before = _lanes_before(config)
    for lane in config.lanes:
        found: list[str] = [name for other in before[lane.name] for name in _stages_of(config, other)]
        for name in lane.stages:
            if name == QUEUE:
                continue
            stage = config.stages[name]
            if stage.when is not None:
                _ask(document, config, stage, found)
            found.append(name)


def _stages_of(config: Config, lane: str) -> list[str]:
    """The stages of a lane, without `queue`."""
    return [name for one in config.lanes if one.name == lane for name in one.stages if name != QUEUE]


def _lanes_before(config: Config) -> Mapping[str, set[str]]:
    """For each lane those that mail may have gone down before."""
    before: dict[str, set[str]] = {lane.name: set() for lane in config.lanes}
    for first in before:
        waiting, seen = sorted(_picked_in(config, first)), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen and name in before:
                seen.add(name)
                before[name].add(first)
                waiting += _picked_in(config, name)
    return before


def _ask(document: Document, config: Config, stage: Stage, before: list[str]) -> None:
    assert stage.when is not None
    left = [_leaves(config, config.stages[name]) for name in before]
    if None in left:  # one does not say what it leaves
        return
    known = {fact for facts in left if facts is not None for fact in facts} | set(ALWAYS_THERE)
    for fact in facts_in(stage.when.text):
        if _is_among(fact, known):
            continue
        later = [
            name
            for name, other in config.stages.items()
            if name not in before and other is not stage and _is_among(fact, _leaves(config, other) or ())
        ]
        if later:
            text = f"{fact} is not there yet: {later[0]} leaves it, which comes later; put it before {stage.spec.name}"
        else:
            every = {fact for other in config.stages.values() for fact in _leaves(config, other) or ()}
            text = f"no stage leaves the fact {fact}{nearest(fact, {one for one in every if not one.endswith('.')})}"
        document.problem(f"stage.{stage.spec.name}.when", text)


def facts_in(condition: str) -> list[str]:
    """The facts that a condition asks for, each once; what the envelope says is none."""
    names = _NAME.findall(_TEXT.sub("", condition))
    return [name for name in dict.fromkeys(names) if not name.startswith(_OF_THE_ENVELOPE)]


def _is_among(fact: str, known: "set[str] | tuple[str, ...]") -> bool:
    group = re.split(r"[.\[]", fact)[0]
    return fact in known or any(one.endswith(".") and (fact.startswith(one) or one == f"{group}.") for one in known)


def _leaves(config: Config, stage: Stage) -> tuple[str, ...] | None:
    """The facts that a stage may leave; None where neither it nor its code says so."""
    if stage.spec.leaves is not None:
        return stage.spec.leaves
    if _is_ours(stage):
        return ()
    source = _source(config, stage)
    return tuple(text for text in _constants(source) if _FACT.fullmatch(text)) if _is_plain(source) else None


def _is_ours(stage: Stage) -> bool:
    return str(getattr(stage.spec.target, "__module__", "")).startswith(_OWN)


def _source(config: Config, stage: Stage) -> str:
    """The code of a stage; empty where it cannot be read."""
    path, _, _ = stage.spec.use.partition(":")
    try:
        if path.endswith(".py"):
            return (config.path.parent / path).read_text()
        return inspect.getsource(inspect.getmodule(stage.spec.target) or stage.spec.target)
    except (OSError, TypeError, UnicodeDecodeError):
        return ""


def _constants(source: str) -> set[str]:
    """The texts in it."""
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return set()
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _is_plain(source: str) -> bool:
    """Whether every name of a fact that it leaves stands in it."""
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError):
        return False
    made = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in _WITH]
    return bool(source) and all(call.args and _names_are_written(call.args[0]) for call in made)


def _names_are_written(node: ast.expr) -> bool:
    names = node.keys if isinstance(node, ast.Dict) else [node]
    return all(isinstance(name, ast.Constant) for name in names)


# -- settings, files, listeners


def _settings(document: Document, config: Config) -> None:
    """What stages have to say about their own settings."""
    for stage in config.stages.values():
        advise: Callable[..., Iterator[tuple[str, str]]] | None = getattr(stage.spec.target, "advise", None)
        if advise is None or not stage.spec.required <= stage.settings.keys():
            continue
        tables = {setting: top for top, setting in stage.spec.tables.items()}
        for key, text in advise(**stage.settings):
            setting, dot, rest = key.partition(".")
            place = f"{tables[setting]}{dot}{rest}" if setting in tables else f"stage.{stage.spec.name}.{key}"
            document.problem(place, text)


def _files(document: Document, config: Config) -> None:
    """Files that are named, but are not there, or have nothing in them."""
    places: list[tuple[str, Any]] = [(f"stage.{name}", stage.settings) for name, stage in config.stages.items()]
    for name in ("tls", "mailboxes", "sieve", "oidc", "srs", "batv", "verp", "quarantine", "bounces", "shaping"):
        places.append((name, getattr(config, name)))
    for place, holder in places:
        for key, path in _paths(holder):
            if not path.exists():
                document.problem(f"{place}.{key}", f"there is no {path}")
            elif path.is_file() and not path.stat().st_size:
                document.problem(f"{place}.{key}", f"{path} is empty")


def _paths(holder: Any) -> Iterator[tuple[str, Path]]:
    for key, value in _items(holder):
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and path != NOWHERE:
                yield key, path


def _items(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, Mapping):
        yield from holder.items()
    elif isinstance(holder, msgspec.Struct):
        yield from ((name, getattr(holder, name)) for name in holder.__struct_fields__)
    elif is_dataclass(holder):
        yield from ((field.name, getattr(holder, field.name)) for field in fields(holder))


def _texts(holder: Any) -> Iterator[str]:
    """The texts in settings, however deep."""
    if isinstance(holder, str):
        yield holder
    elif isinstance(holder, tuple | list):
        for value in holder:
            yield from _texts(value)
    else:
        for _, value in _items(holder):
            yield from _texts(value)


_CLEAR: Final = ("smtp", "submission", "pop3", "imap", "managesieve")
"""Listeners that speak in the clear where there is no certificate."""


def _listeners(document: Document, config: Config) -> None:
    for name, (host, port) in config.listen.items():
        if config.tls is None and name in _CLEAR and name not in config.sockets and _is_public(host):
            what = "mail comes in unencrypted" if name == "smtp" else "nobody can log in safely"
            document.problem(
                f"listen.{name}", f"is public, but there is no certificate, so {what}: write [tls] or [acme]"
            )
        wide = next((other for other, place in config.listen.items() if _covers(place, (host, port))), "")
        if wide and name not in config.sockets:
            document.problem(f"listen.{name}", f"{wide} has this port too, on all other addresses")
        if name in IMPLICIT_TLS and port in (25, 587, 110, 143):
            document.problem(
                f"listen.{name}", f"speaks TLS from the first octet, which no client expects on port {port}"
            )


def _pages(document: Document, config: Config) -> None:
    if config.web.edit_code:
        text = "whoever gets hold of an owner's session can do on this machine what the server's user can"
        document.problem("web.edit_code", text)


def _is_public(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host != "localhost"


def _covers(wide: tuple[str, int], one: tuple[str, int]) -> bool:
    return wide != one and wide[1] == one[1] != 0 and wide[0] in ("*", "", "0.0.0.0", "::") and one[0] != wide[0]
