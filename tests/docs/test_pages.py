"""What the pages name is there: files, names in files, links."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from doc_pages import PAGES, ROOT, prose, rows, sections

from tests.crash import test_commands, test_points
from tests.crash.points import Point

NAMED = re.compile(r"`((?:engine|stages|filters|tests|bench|docs|man)/[\w/.-]+)(?::([\w.]+))?`")


@cache
def names(path: Path) -> frozenset[str]:
    """Everything that a file defines: functions, classes, and their members as `Class.member`."""

    def walk(body: list[ast.stmt], prefix: str) -> list[str]:
        found = []
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    found += walk(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                found += [prefix + target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.append(prefix + node.target.id)
        return found

    return frozenset(walk(ast.parse(path.read_text()).body, ""))


def named(page: Path) -> list[tuple[str, str]]:
    return [(path, name or "") for path, name in NAMED.findall(page.read_text())]


MADE_LATER = "bench/.peers"
"""By `make bench-peers`, where somebody wants to measure."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_names_are_there(page: Path) -> None:
    for path, name in named(page):
        if path.startswith(("tests/", MADE_LATER)):
            continue
        assert (ROOT / path).exists(), f"{page.name}: there is no {path}"
        if name:
            assert name in names(ROOT / path), f"{page.name}: {path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(page)):
        assert (page.parent / target).exists(), f"{page.name}: no {target}"


def anchors(page: Path) -> set[str]:
    """Where links into the page may lead: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", prose(page)):
        assert anchor in anchors(page.parent / target if target else page), f"{page.name}: no {target}#{anchor}"


def test_every_page_is_in_the_index() -> None:
    index = sections(ROOT / "README.md")["Pages"]
    for page in ROOT.glob("docs/*.md"):
        assert f"](docs/{page.name})" in index, page.name


def test_the_tests_that_show_a_state_are_there() -> None:
    shown = [
        (ROOT / path, name) for path, name in named(ROOT / "docs" / "queue-states.md") if path.startswith("tests/")
    ]
    assert shown
    for path, name in shown:
        assert path.exists(), path
        assert not name or name in names(path), f"{path.name} has no {name}"


def test_a_test_kills_in_every_stored_state() -> None:
    """Each row of the page names tests or points at which a process is killed, and each point is in one of its rows."""
    page = ROOT / "docs" / "queue-states.md"
    points = {name for module in (test_points, test_commands) for name in _points(vars(module).values())}
    states = [cells for cells in rows(page.read_text()) if len(cells) == 5 and cells[0].startswith("**")]
    assert len(states) > 15
    for state, *_, last in states:
        killed = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", last)
        assert killed or "tests/" in last, state
        assert {*killed} <= points, state
    assert {point for point in points if f"*{point}*" not in page.read_text().replace("\n", " ")} == set()


def _points(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            yield from (name for name, point in value.items() if isinstance(point, Point))


def test_the_journey_passes_through_most_of_the_engine() -> None:
    paths = {path for path, _ in named(ROOT / "docs" / "journey.md")}
    assert len(paths) > 30
    assert sum(bool(name) for _, name in named(ROOT / "docs" / "journey.md")) > 40


def test_every_stored_state_is_on_the_page() -> None:
    page = (ROOT / "docs" / "queue-states.md").read_text()
    store = ast.parse((ROOT / "engine" / "queue" / "store.py").read_text())
    states = [
        constant.value
        for node in store.body
        if isinstance(node, ast.Assign) and "WAITING" in ast.unparse(node)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    ]
    assert states == ["waiting", "quarantined", "held"]
    for state in states:
        assert f"`{state}`" in page
    databases = re.findall(r'_database\(b"(\w+)"', (ROOT / "engine" / "queue" / "store.py").read_text())
    assert databases
    for name in databases:
        assert re.search(rf"^ +{name} ", page, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_speak_of_the_project_itself(page: Path) -> None:
    text = page.read_text()
    for pattern in (r"/(?:home|root|work)/", r"\bpypi\.", r"\bTODO\b", r"\bFIXME\b"):
        assert not re.search(pattern, text), f"{page.name}: {pattern}"
