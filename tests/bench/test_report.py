"""Records, tables, the page and the picture."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.measure import Cell, Run, Trial
from bench.report import Origin, Record, Setting
from bench.workloads.base import CEILING

ORIGIN = Origin("2026-01-31", "2 cores", "postroad bench accept")
FOUR = Cell(4096)
SVG = "{http://www.w3.org/2000/svg}"


def records(
    rates: dict[str, list[float | str]], workload: str = "accept", cell: Cell = FOUR, disk: str = "plain"
) -> list[Record]:
    """A record for each rate, or reason of a failure, by key and round."""
    setting = Setting(workload, disk, "ext4 with a journal", cell, ORIGIN)
    found = []
    for key, outcomes in rates.items():
        trial = Trial(key, key.capitalize(), f"{key} 1.0", "synced", _never)
        for number, rate in enumerate(outcomes, 1):
            outcome = (
                rate if isinstance(rate, str) else Run(1000, 1000 / rate, 2.5, 2**20 * 50, {"p99, ms": 1e5 / rate})
            )
            found.append(report.record(setting, trial, number, outcome))
    return found


async def _never(count: int) -> Run:
    raise AssertionError


FIVE = {CEILING: [1000.0, 1000.0], "postroad": [300.0, 330.0], "exim": [100.0, 100.0]}


def test_a_table() -> None:
    shown = report.table(records(FIVE))
    assert shown.title == "4 KiB, 100 sessions, connections reused, on plain: ext4 with a journal"
    rows = {row[0]: dict(zip(shown.columns, row, strict=True)) for row in shown.rows}
    assert list(rows) == ["Ceiling", "Postroad", "Exim"]
    assert rows["Exim"]["messages/s"] == "100"
    assert rows["Exim"]["Postroad ÷ it"] == "3.15 (3.00–3.30)"
    assert rows["Postroad"]["Postroad ÷ it"] == ""
    assert rows["Postroad"]["÷ ceiling"] == "0.315 (0.300–0.330)"
    assert rows["Postroad"]["CPU s for 1,000"] == "2.50"
    assert rows["Postroad"]["MiB (PSS)"] == "50"
    assert rows["Exim"]["p99, ms"] == "1,000"
    assert rows["Exim"]["durability"] == "synced"
    assert rows["Ceiling"]["CPU s for 1,000"] == ""


def test_ratios_of_speed_are_left_out_where_all_have_the_same() -> None:
    assert "Postroad ÷ it" not in report.table(records(FIVE, "latency")).columns


def test_a_server_that_never_came_to_its_end_says_why() -> None:
    shown = report.table(records({"postroad": [300.0, 300.0], "exim": ["no room", "no disk"]}))
    assert shown.rows[1][:3] == ["Exim", "failed: no disk", ""]
    assert {len(row) for row in shown.rows} == {len(shown.columns)}


def test_a_failed_run_does_not_count() -> None:
    shown = report.table(records({"postroad": [300.0, 300.0, 300.0], "exim": [100.0, "a fault", 150.0]}))
    assert shown.rows[1][1:3] == ["125 (100–150)", "2.50 (2.00–3.00)"]


def test_new_runs_take_the_place_of_old_ones_that_were_taken_together() -> None:
    old = records(FIVE) + records(FIVE, "relay") + records(FIVE, disk="tmpfs") + records(FIVE, cell=Cell(65536))
    new = records({"postroad": [500.0]})
    merged = report.merged(old, new)
    assert [one for one in merged if one.place == new[0].place] == new
    assert len(merged) == 3 * 6 + 1
    assert [one.workload for one in merged] == sorted(one.workload for one in merged)
    assert report.merged(merged, []) == merged


def test_runs_are_kept_and_come_back(tmp_path: Path) -> None:
    assert report.kept(tmp_path) == []
    written = records(FIVE | {"haraka": ["it did not start"]}) + records(FIVE, "relay", Cell(65536, 20, False, 7))
    report.write(tmp_path, written)
    assert report.kept(tmp_path) == written


def test_a_broken_line_is_no_record(tmp_path: Path) -> None:
    (tmp_path / report.RUNS).write_text("{}\n")
    with pytest.raises(ValueError, match="workload"):
        report.kept(tmp_path)


def test_the_page_says_all_that_belongs_to_the_figures(tmp_path: Path) -> None:
    report.write(tmp_path, records(FIVE, disk="journaled") + records(FIVE, "latency"))
    page = (tmp_path / report.PAGE).read_text()
    for text in ("- 2 cores\n  - 2026-01-31: `postroad bench accept`\n", "exim 1.0", "synced", "ext4 with a journal"):
        assert text in page
    assert "| accept | 4 KiB, 100 sessions, connections reused | journaled | 315 (300–330) | 0.32× | 3.15× |" in page
    assert "| latency |" not in page
    assert f"]({report.PICTURE})" in page


def test_the_page_says_on_which_machine_each_command_ran() -> None:
    elsewhere = Origin("2026-02-01", "64 cores", "postroad bench relay")
    other = [replace(one, origin=elsewhere) for one in records({"postroad": [300.0]}, "relay")]
    page = report.page(records(FIVE) + other, with_picture=False)
    here = "- 2 cores\n  - 2026-01-31: `postroad bench accept`\n"
    assert f"{here}- 64 cores\n  - 2026-02-01: `postroad bench relay`\n" in page


def test_postroad_itself_is_compared_in_its_table_and_is_no_other_server() -> None:
    found = records({"postroad": [300.0], "postroad@backlog": [150.0]}, "backlog")
    assert report.summary(found).columns == ["workload", "messages", "disk", "Postroad, messages/s"]
    rows = {row[0]: dict(zip(report.table(found).columns, row, strict=True)) for row in report.table(found).rows}
    assert rows["Postroad@backlog"]["Postroad ÷ it"] == "2.00"


def test_a_bar_in_a_text_does_not_break_the_table() -> None:
    assert report.markdown(report.Table("", ["a", "b"], [["x|y", "1"]])).splitlines()[-1] == "| x\\|y | 1 |"


def test_the_picture_has_a_bar_for_each_server_in_proportion(tmp_path: Path) -> None:
    report.write(tmp_path, records(FIVE) + records(FIVE, cell=Cell(65536)) + records(FIVE, "latency"))
    drawing = ElementTree.parse(tmp_path / report.PICTURE).getroot()
    bars = {}
    for rect in drawing.iter(f"{SVG}rect"):
        title = rect.find(f"{SVG}title")
        if title is not None:
            bars.setdefault(str(title.text).split(":")[0], []).append(float(rect.attrib["height"]))
    assert {name: len(heights) for name, heights in bars.items()} == {"Postroad": 3, "Exim": 3}
    assert bars["Postroad"][0] / bars["Exim"][0] == pytest.approx(3.15, rel=0.01)
    assert bars["Postroad"][2] < bars["Exim"][2]  # of a latency the longer bar is the worse
    places = [float(rect.attrib["y"]) for rect in drawing.iter(f"{SVG}rect") if "y" in rect.attrib]
    assert all(0 <= place <= float(drawing.attrib["height"]) for place in places)


def test_without_runs_there_is_no_picture(tmp_path: Path) -> None:
    report.write(tmp_path, records({"postroad": ["broken"]}))
    assert not (tmp_path / report.PICTURE).exists()
    assert "failed: broken" in (tmp_path / report.PAGE).read_text()
