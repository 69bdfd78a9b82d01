"""The pipeline as characters: golden files, and what holds of every drawing."""

from pathlib import Path

import pytest

from engine.config import parse
from engine.drawing.pipeline import NO_NOTES, Branch, as_data, drawn
from engine.drawing.text import WIDTH, as_text
from tests.drawing.pipelines import EVERY, ROOT, WIDE, noted, shipped

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("figures", ["plain", "noted"])
def test_golden(name: str, figures: str) -> None:
    """POSTROAD_GOLDEN=1 python -m tests.drawing.test_drawn_text writes them anew."""
    pipeline = EVERY[name]()
    text = as_text(pipeline, noted(pipeline) if figures == "noted" else NO_NOTES)
    assert text == (GOLDEN / f"{name}.{figures}.txt").read_text()


@pytest.mark.parametrize("name", EVERY)
def test_it_keeps_to_the_width_and_in_ascii_to_ascii(name: str) -> None:
    pipeline = EVERY[name]()
    for notes in (NO_NOTES, noted(pipeline)):
        text = as_text(pipeline, notes)
        if pipeline is not WIDE:  # whose boxes are wider by themselves
            assert max(map(len, text.splitlines())) <= WIDTH
        plain = as_text(pipeline, notes, ascii_only=True)
        assert plain.isascii()
        assert [len(line) for line in plain.splitlines()] == [len(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", EVERY)
def test_every_stage_and_lane_is_there_and_every_lane_once_with_its_stages(name: str) -> None:
    pipeline = EVERY[name]()
    text = as_text(pipeline)
    for lane in pipeline.lanes:
        assert f"lane {lane.name}" in text
        for leg in (*lane.before, *lane.after):
            for stage in leg.stages:
                assert stage.name in text
    boxes = sum(bool(lane.source) + len(lane.before) + bool(lane.queue) + len(lane.after) for lane in pipeline.lanes)
    assert sum(text.count(corner) for corner in "┌┏╔") == boxes


def test_every_arrow_leads_to_a_box_or_a_name() -> None:
    for name in EVERY:
        for line in as_text(EVERY[name]()).splitlines():
            for place, character in enumerate(line):
                if character == "▶":
                    assert line[place + 1] in "│┃║ ", line
                    assert line[place - 1] == "─", line


def test_where_lanes_are_picked_is_found_in_the_settings() -> None:
    lane = shipped().lane("inbound")
    assert lane is not None
    assert lane.branches == (Branch("local", ("to local",)), Branch("remote", ("to *",)))
    assert [leg.link for leg in lane.before] == ["inbound/authenticate+scan+tag_external"]
    assert lane.queue == "inbound/queue"


def test_rules_are_told_in_the_words_of_the_file(tmp_path: Path) -> None:
    text = (ROOT / "pipeline.toml").read_text().replace("filters/", f"{ROOT}/filters/")
    rule = '[[route]]\nto = "partner.example"\nfrom = "<>"\nlane = "remote"\n\n[[route]]\nto = "*"'
    config = parse(text.replace('[[route]]\nto = "*"', rule), tmp_path / "pipeline.toml")
    lane = drawn(config).lane("inbound")
    assert lane is not None
    assert lane.branches[1] == Branch("remote", ("to partner.example, from <>", "to *"))


@pytest.mark.parametrize("address", ["*:2525", "[::1]:2525", "127.0.0.1:2525"])
def test_addresses_are_told_as_they_are_written(tmp_path: Path, address: str) -> None:
    text = (ROOT / "pipeline.toml").read_text().replace("filters/", f"{ROOT}/filters/")
    pipeline = drawn(parse(text.replace("127.0.0.1:2525", address), tmp_path / "pipeline.toml"))
    assert as_text(pipeline).startswith(f"lane inbound: smtp {address}\n")


def test_settings_of_the_engine_are_drawn(tmp_path: Path) -> None:
    text = (ROOT / "pipeline.toml").read_text().replace("filters/", f"{ROOT}/filters/")
    text = text.replace("[stage.tag_external]", '[stage.tag_external]\nworkers = 2\nwhen = "size < 5"')
    pipeline = drawn(parse(text, tmp_path / "pipeline.toml"))
    assert pipeline.links[:2] == ("inbound/authenticate+scan", "inbound/tag_external")
    shown = as_text(pipeline)
    assert "│ 2 workers    │" in shown
    assert "│ if size < 5  │" in shown
    (stage,) = as_data(pipeline)[0]["before"][1]["stages"]
    assert (stage["stage"], stage["effect"], stage["place"]) == ("tag_external", False, "tag_external")
    assert (stage["workers"], stage["when"]) == (2, "size < 5")


def test_the_page_shows_what_the_command_draws() -> None:
    drawing, _, _ = as_text(shipped()).partition("\n\n")
    assert f"```\n{drawing}\n```" in (ROOT / "docs" / "operating.md").read_text()


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, make in EVERY.items():
        pipeline = make()
        for figures, notes in (("plain", NO_NOTES), ("noted", noted(pipeline))):
            (GOLDEN / f"{name}.{figures}.txt").write_text(as_text(pipeline, notes))


if __name__ == "__main__":
    write()
