"""docs/security.md says something of every listener, and names no setting that is none."""

import dataclasses
import re
import tomllib

import pytest
from doc_pages import ROOT

from engine.config import DIRECTORIES, LISTENERS, OPTIONAL, SECTIONS

PAGE = (ROOT / "docs" / "security.md").read_text()
TABLES = {**SECTIONS, **OPTIONAL, **DIRECTORIES}


@pytest.mark.parametrize("listener", LISTENERS)
def test_every_listener_is_spoken_of(listener: str) -> None:
    assert f"`{listener}`" in PAGE


def test_settings_with_their_table_are_there() -> None:
    found = re.findall(r"`\[(\w+)\] (\w+)`", PAGE)
    assert len(found) > 5
    for table, key in found:
        assert key in {one.name for one in dataclasses.fields(TABLES[table])}, f"[{table}] {key}"


def test_the_example_relays_for_this_machine_alone() -> None:
    """As the page says: whoever puts a proxy before it must take that out."""
    example = tomllib.loads((ROOT / "pipeline.toml").read_text())
    assert example["stage"]["accept"]["relay_networks"] == ["127.0.0.0/8", "::1/128"]
