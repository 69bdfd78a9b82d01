"""Tests that are collected once and run for each mutant, those that pass its lines, the quickest first."""

import contextlib
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import hypothesis
import pytest
import pytest_trio  # noqa: F401 - what most tests need is there before the fork
import trustme  # noqa: F401
import zmq  # noqa: F401

from tests.mutation.changes import Mutant
from tests.mutation.trials import in_a_fork, outcomes, silence

ROOT = Path(__file__).parents[2]
UNMET = "no test"
Outcomes = list[tuple[Mutant, str]]


class Collected:
    """A plugin that leaves it to ``work`` to run what was collected."""

    def __init__(self, work: Callable[[Sequence[pytest.Item]], None]) -> None:
        self._work = work
        self._failed = False

    def pytest_collection(self) -> None:
        """No shrinking, and nothing that one run leaves for the next."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        parent = hypothesis.settings.get_profile("postroad")
        hypothesis.settings.register_profile("mutants", parent, database=None, derandomize=True, phases=phases)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed:
            self._work(session.items)
        return True

    def passes(self, items: Sequence[pytest.Item]) -> bool:
        """Whether they pass; the first that does not is the last that runs."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return False
        return True


@contextlib.contextmanager
def _own_folder(folder: str) -> Iterator[None]:
    """The files of this process's tests lie in a folder that goes with it: pytest makes it at the first of them."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = own
        yield


def _collect(tests: Sequence[str], plugin: Collected) -> None:
    pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *tests], plugins=[plugin])


# -- mutants of functions: their code is put into the modules that the tests have imported


def inside(path: Path, mutants: Sequence[Mutant], tests: Sequence[str], jobs: int, folder: str) -> Outcomes:
    """What becomes of mutants that are in functions."""
    found: Outcomes = []

    def work(items: Sequence[pytest.Item]) -> None:
        with _own_folder(folder):
            met, seconds = in_a_fork(lambda: _observed(plugin, path, items))

        def chosen(mutant: Mutant) -> list[int]:
            return sorted({test for line in mutant.lines for test in met.get(line, ())}, key=seconds.__getitem__)

        def passes(mutant: Mutant) -> bool:
            _put(path, mutant.applied(path.read_bytes()))
            with _own_folder(folder):
                return plugin.passes([items[index] for index in chosen(mutant)])

        def allowed(mutant: Mutant) -> float:
            return sum(seconds[index] for index in chosen(mutant))

        found.extend(outcomes([mutant for mutant in mutants if chosen(mutant)], jobs, passes, allowed))
        found.extend((mutant, UNMET) for mutant in mutants if not chosen(mutant))

    plugin = Collected(work)
    silence()
    _collect(tests, plugin)
    return found


def _observed(plugin: Collected, path: Path, items: Sequence[pytest.Item]) -> tuple[dict[int, set[int]], list[float]]:
    """Which tests pass each line of the module, and the seconds that each test takes. ValueError if one fails."""
    met: dict[int, set[int]] = {}
    seconds: list[float] = []

    def trace(frame: FrameType, kind: str, _: object) -> Any:
        if frame.f_code.co_filename != str(path):
            return None
        if kind == "line":
            met.setdefault(frame.f_lineno, set()).add(len(seconds))
        return trace

    threading.settrace(trace)
    for item in items:
        started = time.monotonic()
        sys.settrace(trace)
        passed = plugin.passes([item])
        sys.settrace(None)
        if not passed:
            raise ValueError(f"{item.nodeid} fails without a mutant")
        seconds.append(time.monotonic() - started)
    return met, seconds


def _put(path: Path, source: bytes) -> None:
    """Give the functions of the imported module the code of this source."""
    old, new = functions(path, path.read_bytes()), functions(path, source)
    for function in [one for one in gc.get_objects() if isinstance(one, FunctionType)]:
        code = function.__code__
        key = (code.co_qualname, code.co_firstlineno)
        if code.co_filename == str(path) and old.get(key) != new.get(key):
            function.__code__ = new[key]


def functions(path: Path, source: bytes) -> dict[tuple[str, int], CodeType]:
    """The code of the outermost functions by their name and first line."""
    found = {}
    blocks = [compile(source, str(path), "exec", dont_inherit=True)]
    while blocks:
        for code in [one for one in blocks.pop().co_consts if isinstance(one, CodeType)]:
            if code.co_flags & 0x2:  # CO_NEWLOCALS: not the body of a class
                found[code.co_qualname, code.co_firstlineno] = code
            else:
                blocks.append(code)
    return found


def lines_of_functions(path: Path) -> set[int]:
    """Lines that are run after the import: no tables, defaults or decorators."""
    lines: set[int] = set()
    codes = list(functions(path, path.read_bytes()).values())
    while codes:
        code = codes.pop()
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
        lines |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return lines


# -- mutants of what runs at import: the module is imported with them, by all tests anew


class _Mutated(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    def __init__(self, path: Path, source: bytes) -> None:
        super().__init__(".".join(path.relative_to(ROOT).with_suffix("").parts), str(path))
        self._source = source

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None
        )

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


def outside(path: Path, mutants: Sequence[Mutant], tests: Sequence[str], jobs: int, folder: str) -> Outcomes:
    """What becomes of mutants that are in no function."""

    def passes(mutant: Mutant) -> bool:
        found: list[bool] = []
        sys.meta_path.insert(0, _Mutated(path, mutant.applied(path.read_bytes())))
        plugin = Collected(lambda items: found.append(plugin.passes(items)))
        with _own_folder(folder):
            _collect(tests, plugin)
        return found == [True]

    return outcomes(mutants, jobs, passes, lambda _: 20.0)
