"""`[lane.NAME]`: the stages of a lane, and the order that they can stand in."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.tables import Stage
from engine.lanes import QUEUE, Lane


def read_lanes(document: Document) -> tuple[Lane, ...]:
    lanes = []
    for name, table in document.table("lane").items():
        if not isinstance(table, dict):
            document.problem(f"lane.{name}", f'must be a table, [lane.{name}], with stages = ["…"]')
            continue
        values = document.values(f"lane.{name}", table, {"stages": tuple[str, ...], "listen": tuple[str, ...]})
        if not values.get("stages"):
            if "stages" not in table or table["stages"] == []:
                document.problem(f"lane.{name}.stages", "a lane needs at least one stage")
            continue
        lanes.append(Lane(name, values["stages"], values.get("listen", ())))
    if document.tables.get("lane", {}) == {}:
        document.problem("lane", 'no lane; write at least [lane.inbound] stages = ["accept", "queue", "route"]')
    return tuple(lanes)


def check_lanes(document: Document, lanes: tuple[Lane, ...], stages: Mapping[str, Stage]) -> None:
    """See that each lane can be gone along, and that the lanes which stages pick exist."""
    listeners = document.table("listen")
    for number, lane in enumerate(lanes):
        _check_order(document, lane, lanes[:number], stages)
        _check_queue(document, lane, stages)
        for listener in lane.listen:
            if listener not in listeners:
                document.problem(
                    f"lane.{lane.name}.listen", f"[listen] has no {listener}{nearest(listener, listeners)}"
                )
    for stage in stages.values():
        _check_picked(document, stage, {lane.name for lane in lanes})


def _check_queue(document: Document, lane: Lane, stages: Mapping[str, Stage]) -> None:
    place = f"lane.{lane.name}.stages"
    first = stages.get(lane.stages[0])
    if first and first.spec.source and QUEUE not in lane.stages:
        document.problem(place, "mail comes in here but is never stored: put `queue` into the lane")
    if QUEUE in lane.stages and lane.stages.index(QUEUE) == len(lane.stages) - 1:
        document.problem(place, "nothing behind `queue` says where the mail goes; end with a stage such as `route`")


def _check_order(document: Document, lane: Lane, before: Iterable[Lane], stages: Mapping[str, Stage]) -> None:
    place = f"lane.{lane.name}.stages"
    behind_queue = False
    if lane.stages.count(QUEUE) > 1:
        document.problem(place, "a lane has one `queue`")
    for index, name in enumerate(lane.stages):
        if name == QUEUE:
            behind_queue = True
            continue
        if lane.stages.index(name) != index:
            document.problem(
                place, f"{name} stands twice in the lane; give the second one a name and a [stage.NAME] use"
            )
        if name not in stages:
            continue
        spec = stages[name].spec
        earlier = next((other.name for other in before if name in other.stages), "")
        if spec.source and earlier:
            document.problem(
                place, f"{name} lets mail into {earlier} already; give this one a name and a [stage.NAME] use"
            )
        if spec.source and index:
            document.problem(place, f"{name} lets mail in, so it must stand first")
        if spec.early and (behind_queue or QUEUE not in lane.stages):
            document.problem(place, f"{name} must stand before `queue`: behind it comes to nothing what it says")
        if spec.effect and QUEUE in lane.stages and not behind_queue:
            document.problem(place, f"{name} must stand behind `queue`: what it does must not be done twice")


def _check_picked(document: Document, stage: Stage, lanes: set[str]) -> None:
    for place, lane, _ in _rules(stage):
        if lane not in lanes:
            document.problem(f"{place}.lane", f"there is no lane {lane}{nearest(lane, lanes)}")


def picked_lanes(stage: Stage) -> Iterator[tuple[str, str]]:
    """Each lane that a stage may pick, and the rule by which it does, in words: "to local"."""
    for _, lane, rule in _rules(stage):
        yield lane, _in_words(rule)


def _rules(stage: Stage) -> Iterator[tuple[str, str, Any]]:
    """The rules of a stage that name a lane: where they stand, the lane, the rule."""
    for top, setting in stage.spec.tables.items():
        for index, rule in enumerate(stage.settings.get(setting, ())):
            if isinstance(lane := getattr(rule, "lane", None), str):
                yield f"{top}.{index}", lane, rule


def _in_words(rule: Any) -> str:
    """What is set in a rule beside its lane, as in the file."""
    if not isinstance(rule, msgspec.Struct):
        return ""
    fields = [field for field in msgspec.structs.fields(rule) if field.name != "lane"]
    values = {field.encode_name: (getattr(rule, field.name), field.default) for field in fields}
    return ", ".join(f"{name} {value}" for name, (value, default) in values.items() if value != default)
