"""docs/api.md has every operation and every scope, as the rows have them."""

import importlib.util

from doc_pages import ROOT, sections

from engine.web.api.rows import PARTS, ROWS


def test_the_tables_are_those_of_the_rows() -> None:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text()
    assert tool.renewed(page) == page, "python docs/make_api.py"
    assert sections(tool.PAGE)["Operations"].count("| `") >= len(ROWS)


def test_every_part_is_told_of_and_has_rows() -> None:
    assert {row.part for row in ROWS} == set(PARTS)
