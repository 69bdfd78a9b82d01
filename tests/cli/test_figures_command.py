"""`postroad figures`: what people and programs see of the server over time."""

import json
import time

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.figures import shape
from engine.figures.store import FigureStore
from tests.figures.figure_samples import filled
from tests.support.server import BASE, toml


@pytest.fixture
def figures(tmp_path):
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(BASE))

    def run(*arguments):
        return CliRunner().invoke(main, ["--config", str(config), "figures", *arguments])

    return run


@pytest.fixture
def full(tmp_path, figures):
    (tmp_path / "var").mkdir()
    with FigureStore.open(tmp_path / "var") as store:
        filled(store, time.time(), 2)
    return figures


def test_each_line_in_one(full):
    result = full()
    assert result.exit_code == 0, result.output
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert ["taken", "inbound", "messages"] in [row[:3] for row in rows]
    assert {row[0] for row in rows} >= {"taken", "delay", "queue", "logins"}
    (delay,) = [row for row in rows if row[:2] == ["delay", "p99"]]
    assert delay[5] == ""  # there is no sum of it
    assert set(delay[6]) <= set(" ▁▂▃▄▅▆▇█")


def test_one_chart_step_by_step(full):
    result = full("--chart", "taken", "--span", "week", "--csv")
    head, *lines = result.stdout.splitlines()
    assert head == "time,inbound,submission"
    assert 168 <= len(lines) <= 170
    assert full("--chart", "taken", "--span", "week").stdout.count("\n") == len(lines)


def test_a_domain_and_tls_for_programs(full):
    told = json.loads(full("--domain", "example.org", "--json").stdout)
    assert [one["name"] for one in told["charts"]] == ["received", "sent"]
    told = json.loads(full("--tls", "--span", "month", "--json").stdout)
    assert told["span"] == "month"
    assert [one["name"] for one in told["charts"]] == ["tls-sent", "tls-sent-policies"]


def test_what_cannot_be_shown(figures, full):
    assert "there is no chart nothing; there are taken, handed-on" in full("--chart", "nothing").stderr
    assert full("--csv").exit_code == 2


def test_before_anything_was_measured(figures):
    result = figures()
    assert result.exit_code == 1
    assert "nothing was measured yet" in result.stderr


@pytest.mark.parametrize(
    ("values", "drawn"), [([], ""), ([0, 4, None, 8], " ▄ █"), ([None, 0], "  "), ([1], "█"), ([1000, 1], "█▁")]
)
def test_shapes(values, drawn):
    assert shape(values) == drawn


def test_a_long_shape_is_as_wide_as_there_is_room():
    assert len(shape(range(1000), 48)) <= 48
