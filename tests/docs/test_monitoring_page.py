"""docs/monitoring.md, the dashboard and the alert rules name what the code measures, and Prometheus takes them."""

import importlib
import importlib.util
import json
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest
from doc_pages import ROOT, sections

import engine
import stages
from engine.observe.measures import measures
from tests.support.programs import needs, run

MONITORING = ROOT / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text()
NAME = re.compile(r"\bpostroad_\w+")


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def declared() -> dict[str, str]:
    """Name → kind of all families that any part of the server declares."""
    for package in (engine, stages):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name not in ("engine.__main__", "engine.directory.postgresql_connection"):
                importlib.import_module(found.name)
    return {name: kind for name, (kind, _) in measures.families().items() if name.startswith("postroad_")}


def base(name: str, kinds: dict[str, str]) -> str:
    """The family of a sample's name."""
    whole = re.sub(r"_(bucket|sum|count)$", "", name)
    return whole if kinds.get(whole) == "histogram" else name


def test_the_page_has_every_measure_and_no_other() -> None:
    tool = module(ROOT / "docs" / "make_measures.py")
    page = tool.PAGE.read_text()
    assert tool.renewed(page) == page, "python docs/make_measures.py"
    found = {name: kind for name, kind, _, _ in tool.declared()}
    assert found == declared()
    assert len(found) > 40


def test_names_are_as_prometheus_wants_them() -> None:
    for name, kind in declared().items():
        assert (kind == "counter") == name.endswith("_total"), name


def test_the_dashboard_is_made_of_its_rows() -> None:
    tool = module(MONITORING / "make_dashboard.py")
    assert (MONITORING / "dashboard.json").read_text() == tool.text(), "python monitoring/make_dashboard.py"


def expressions() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_dashboard_shows_every_measure_and_no_other() -> None:
    kinds = {**declared(), "postroad_up": "gauge"}
    shown = {base(name, kinds) for expression in expressions() for name in NAME.findall(expression)}
    assert shown == kinds.keys()


def test_alerts_are_about_what_is_measured() -> None:
    kinds = {**declared(), "postroad_up": "gauge"}
    named = {base(name, kinds) for line in ALERTS.splitlines() for name in NAME.findall(line)}
    assert named
    assert named <= kinds.keys()


def test_runbooks_lead_to_pages_and_sections_that_are_there() -> None:
    led = re.findall(r"(docs/\w+\.md)(?:, \\\"([^\"]+)\\\")?", ALERTS)
    assert len(led) > 3
    for page, heading in led:
        assert (ROOT / page).exists()
        assert not heading or heading in sections(ROOT / page), heading


def test_every_alert_has_a_runbook_and_is_tried() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    tried = re.findall(r'expr: ALERTS\{alertname="(\w+)"', (MONITORING / "alerts_test.yml").read_text())
    assert len(alerts) > 15
    assert sorted(alerts) == sorted(tried)
    assert ALERTS.count("runbook:") == ALERTS.count("summary:") == len(alerts)


@needs("promtool")
@pytest.mark.parametrize(
    "command", ["check rules alerts.yml", "test rules alerts_test.yml", "check config prometheus.yml"]
)
def test_prometheus_takes_the_rules(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MONITORING)
    run("promtool", *command.split())


@needs("promtool")
@pytest.mark.parametrize("number", range(len(expressions())))
def test_prometheus_takes_what_the_dashboard_asks(number: int, tmp_path: Path) -> None:
    expression = expressions()[number].replace("$__rate_interval", "5m").replace("$instance", ".*")
    rules = {"groups": [{"name": "dashboard", "rules": [{"record": "asked", "expr": expression}]}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    run("promtool", "check", "rules", str(tmp_path / "rules.json"))
