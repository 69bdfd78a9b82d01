"""How a benchmark times its work: a name for the reader, and how many operations one call does."""

from collections.abc import Callable
from typing import Any, TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

T = TypeVar("T")


class Measure:
    """Times one function, once for each benchmark."""

    def __init__(self, benchmark: BenchmarkFixture) -> None:
        self._benchmark = benchmark

    def __call__(self, what: str, function: Callable[..., T], *arguments: Any, operations: int = 1) -> T:
        """Call ``function`` in timed rounds, and once more for what it returns.

        ``what`` is the row in the table. One call does ``operations`` of it: the table shows the time of one.
        """
        self._benchmark.extra_info.update(what=what, operations=operations)
        result: T = self._benchmark(function, *arguments)
        return result
