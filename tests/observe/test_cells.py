"""Cells of files for spreadsheets: what strangers wrote is text there, and comes back as it was."""

import csv

from hypothesis import example, given
from hypothesis import strategies as st

from engine.observe.visible import in_cell, out_of_cell
from engine.web.admin.imports import Imports

FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@given(st.text(st.sampled_from("'=+-@\t\rab"), max_size=6))
@example("''=1")
def test_no_cell_is_a_formula_and_each_comes_back(text: str) -> None:
    assert not in_cell(text).startswith(FORMULAS)
    assert out_of_cell(in_cell(text)) == text


def test_what_an_import_has_made_is_none_either(tmp_path) -> None:
    made = Imports(tmp_path).keep(7, "address\n")
    assert made.begin(1, ("address", "link"))
    made.add([("=cmd|x@example.org", "https://mx.example.org/invitation?token=1")])
    rows = list(csv.reader(made.result().decode().splitlines()))
    assert rows[1] == ["'=cmd|x@example.org", "https://mx.example.org/invitation?token=1"]
