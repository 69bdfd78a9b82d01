"""Every target against its corpus, and against what hypothesis makes of its parts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.parts import PARTS
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))

LIMIT = 100_000
"""Octets of the whole corpus."""


def test_there_is_a_corpus_for_every_target_and_it_is_small() -> None:
    assert {path.parent.name for path in FILES} == PARTS.keys() == TARGETS.keys()
    assert sum(path.stat().st_size for path in FILES) < LIMIT


@pytest.mark.parametrize("name", TARGETS)
def test_the_files_of_the_corpus(name: str, subtests: pytest.Subtests) -> None:
    for path in FILES:
        if path.parent.name == name:
            with subtests.test(path.name):
                TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_parts_in_any_order(name: str, data: st.DataObject) -> None:
    parts = st.lists(st.sampled_from(PARTS[name]) | st.binary(max_size=8), max_size=30).map(b"".join)
    TARGETS[name](data.draw(st.binary(min_size=4, max_size=5)) + data.draw(parts))
