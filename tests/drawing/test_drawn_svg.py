"""The pipeline as SVG: well-formed, complete, and nothing on top of anything else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

import pytest

from engine.drawing.pipeline import NO_NOTES, DrawnLane, DrawnLeg, DrawnStage, Notes, Pipeline
from engine.drawing.svg import as_svg
from tests.drawing.pipelines import EVERY, ROOT, noted, shipped

SPACE = "{http://www.w3.org/2000/svg}"
WIDTHS = {"name": 8.0, "ok": 8.0, "head": 7.5, "note": 6.3}
"""Pixels of a character of each kind of text, as browsers draw most letters."""


@dataclass(frozen=True)
class Area:
    what: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Area") -> bool:
        return (
            self.left < other.right - 1 and other.left < self.right - 1
            and self.top < other.bottom - 1 and other.top < self.bottom - 1
        )  # fmt: skip

    def crosses(self, other: "Area") -> bool:
        """Of a line, which is as thin as can be."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: "Area") -> bool:
        return (
            self.left <= other.left + 1 and other.right - 1 <= self.right
            and self.top <= other.top + 1 and other.bottom - 1 <= self.bottom
        )  # fmt: skip


def root(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def boxes(svg: ElementTree.Element) -> list[Area]:
    found = []
    for rect in svg.iter(f"{SPACE}rect"):
        if rect.get("class") in ("stage", "effect"):
            x, y, width, height = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
            found.append(Area("box", x, y, x + width, y + height))
    for path in svg.iter(f"{SPACE}path"):
        if path.get("class") == "store":
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d", ""))]
            x, y, height, width = numbers[0], numbers[1], numbers[2], numbers[8]
            found.append(Area("store", x, y, x + width, y + height))
    return found


def texts(svg: ElementTree.Element) -> list[Area]:
    found = []
    for text in svg.iter(f"{SPACE}text"):
        said = text.text or ""
        width = len(said) * WIDTHS[text.get("class", "")]
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        left = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor", "middle")]
        found.append(Area(said, left, y - 10, left + width, y + 3))
    return found


def lines(svg: ElementTree.Element) -> Iterator[Area]:
    """The straight pieces of all ways, without their ends, which touch what they lead to."""
    for path in svg.iter(f"{SPACE}path"):
        if path.get("class") in ("way", "way again", "good"):
            steps = re.findall(r"([MHV])(-?\d+)(?: (-?\d+))?", path.get("d", ""))
            x, y = float(steps[0][1]), float(steps[0][2])
            for kind, to, _ in steps[1:]:
                nx, ny = (float(to), y) if kind == "H" else (x, float(to))
                yield Area(path.get("d", ""), min(x, nx) + 3, min(y, ny) + 3, max(x, nx) - 3, max(y, ny) - 3)
                x, y = nx, ny


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("figures", ["plain", "noted"])
def test_nothing_overlaps_and_all_is_within_the_picture(name: str, figures: str) -> None:
    pipeline = EVERY[name]()
    svg = root(as_svg(pipeline, noted(pipeline) if figures == "noted" else NO_NOTES))
    width, height = (float(number) for number in svg.get("viewBox", "").split()[2:])
    page = Area("page", 0, 0, width, height)
    for area in (*boxes(svg), *texts(svg)):
        assert page.holds(area), area
    for one, other in combinations(boxes(svg), 2):
        assert not one.overlaps(other), (one, other)
    for one, other in combinations(texts(svg), 2):
        assert not one.overlaps(other), (one, other)
    for text in texts(svg):
        assert all(box.holds(text) for box in boxes(svg) if box.overlaps(text)), text
    for line in lines(svg):
        for box in boxes(svg):
            assert not line.crosses(box), (line, box)


@pytest.mark.parametrize("name", EVERY)
def test_every_stage_is_in_the_picture_and_in_its_words(name: str) -> None:
    pipeline = EVERY[name]()
    text = as_svg(pipeline)
    shown = {area.what for area in texts(root(text))}
    described = root(text).findtext(f"{SPACE}desc") or ""
    for lane in pipeline.lanes:
        assert f"Lane {lane.name}: " in described
        for leg in (*lane.before, *lane.after):
            for stage in leg.stages:
                assert stage.name in shown
                assert stage.name in described


def test_what_stands_behind_queue_alike_is_drawn_once_with_the_rates_of_both_lanes() -> None:
    pipeline = EVERY["large"]()
    svg = root(as_svg(pipeline, noted(pipeline)))
    said = [area.what for area in texts(svg)]
    assert said.count("route") == 1
    assert "inbound 204/s" in said
    assert "outbound 1,812/s" in said


def test_names_are_escaped() -> None:
    lane = DrawnLane("a<b", after=(DrawnLeg("a<b/c&d", (DrawnStage('c&"d'),)),))
    svg = root(as_svg(Pipeline((lane,)), Notes({"a<b/c&d": ("<1/s",)}), title="1 < 2"))
    assert {'c&"d', "lane a<b", "<1/s"} <= {area.what for area in texts(svg)}
    assert svg.findtext(f"{SPACE}title") == "1 < 2"


def test_the_picture_of_the_readme_is_that_of_the_file_that_comes_along() -> None:
    """`make pictures` draws it anew."""
    assert (ROOT / "docs" / "pipeline.svg").read_text() == as_svg(shipped())


@pytest.mark.parametrize("name", EVERY)
def test_every_link_can_be_reached_where_it_leads_somewhere(name: str) -> None:
    pipeline = EVERY[name]()
    svg = root(as_svg(pipeline, noted(pipeline), leads=lambda link: f"/link?name={link}"))
    anchors = list(svg.iter(f"{SPACE}a"))
    assert sorted(one.get("href", "") for one in anchors) == sorted(f"/link?name={link}" for link in pipeline.links)
    assert all((one.get("aria-label") or "").startswith(one.get("href", "").partition("=")[2]) for one in anchors)
    assert svg.get("role") == "group"
    assert root(as_svg(pipeline)).find(f"{SPACE}a") is None


def test_a_reader_of_another_language_reads_it_in_that() -> None:
    said = root(as_svg(EVERY["large"](), say=lambda text: f"«{text}»"))
    words = [area.what for area in texts(said)]
    assert "«On disk»" in words
    assert "«lane inbound»" in words
    assert "«next server»" in words
    assert "route" in words
