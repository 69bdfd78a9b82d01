"""Each script of the table, and what it wants done."""

import pytest

from engine.sieve import compile_script, dumps, loads
from tests.sieve.cases import CASES
from tests.sieve.trying import Case, outcome, short


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wanted(case: Case) -> None:
    assert short(outcome(case.script, case.letter, **case.world)) == case.wanted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_script_can_be_kept(case: Case) -> None:
    script = compile_script(case.script.encode())
    assert loads(dumps(script)) == script


def test_names_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
