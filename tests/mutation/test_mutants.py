"""The mutants of a source: what is changed, what is left alone, and that lines stay where they are."""

import pytest

from tests.mutation.changes import mutants

CHANGES = [
    ("a < b <= c", {"a <= b <= c", "a < b < c"}),
    ("a = not b", {"a = None", "a = (b)"}),
    ("x = a and (b) or c", {"x = None", "x = a or (b) or c", "x = a and (b) and c"}),
    ("if a: b()", {"if (not (a)): b()", "if a: pass"}),
    ("def f(): return -1", {"def f(): return None", "def f(): return -2"}),
    ("f(1, k=True)", {"pass", "f(2, k=True)", "f(1, k=False)", "f(1, )"}),
    ("a.n = b'x'", {"pass", "a.n = b'xX'"}),
    ("a.n += 1", {"pass", "a.n -= 1", "a.n += 2"}),
    ("s.rpartition('@')", {"pass", "s.partition('@')", "s.rpartition('@X')"}),
    ("raise E", {"pass"}),
    ("event('x', n=1)\nraise ValueError(f'{n + 1}')", {"event('x', n=1)\npass"}),
    ("import a\n'text'\nn: int", set()),
]


@pytest.mark.parametrize(("source", "changed"), CHANGES)
def test_the_mutants_of_a_source(source: str, changed: set[str]) -> None:
    assert {mutant.applied(source.encode()).decode() for mutant in mutants(source.encode())} == changed


@pytest.mark.parametrize(
    "changed",
    ["[a-z]*{{0}}x{1,2}$', re.A", "[a-z]+{{0}}x{2,2}$', re.A", "[a-z]+{{0}}x{1,3}$', re.A", "[a-z]+{{0}}x{1,2}', re.A"],
)
def test_the_counts_and_anchors_of_a_pattern_are_changed(changed: str) -> None:
    source = "re.compile(rf'é[a-z]+{{0}}x{1,2}$', re.A)".encode()
    assert f"re.compile(rf'é{changed})" in {mutant.applied(source).decode() for mutant in mutants(source)}


def test_lines_stay_where_they_are() -> None:
    source = b"f(\n    1,\n    2,\n)\nif a < 3:\n    g()\n"
    for mutant in mutants(source):
        assert mutant.applied(source).count(b"\n") == source.count(b"\n")
