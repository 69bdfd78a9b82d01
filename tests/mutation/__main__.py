"""Mutation testing: `make mutants`, or `python -m tests.mutation engine/queue/lines.py`.

What is printed at the end of a module are the mutants that its tests let pass: `[-old-] [+new+]` in their lines. Which
modules, and which tests belong to each, stands in `[tool.mutants]` of pyproject.toml.
"""

import argparse
import os
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.changes import mutants
from tests.mutation.running import ROOT, UNMET, inside, lines_of_functions, outside
from tests.mutation.trials import in_a_fork


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths as in pyproject.toml; none: all that stand there")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (default: 2)")
    parser.add_argument("--again", type=Path, help="only the mutants that the output of an earlier run names")
    arguments = parser.parse_args()
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    named = arguments.again.read_text() if arguments.again else None
    os.nice(19)
    left = [report(module, known[module], arguments.jobs, named) for module in arguments.modules or known]
    sys.exit(any(left))


def report(module: str, tests: Sequence[str], jobs: int, named: str | None) -> int:
    """Try all mutants of a module, and print those that are left: how many."""
    path, started = ROOT / module, time.monotonic()
    chosen = [
        mutant for mutant in mutants(path.read_bytes()) if named is None or mutant.shown.partition(": ")[2] in named
    ]
    within = lines_of_functions(path)
    functions = [mutant for mutant in chosen if within.intersection(mutant.lines)]
    others = [mutant for mutant in chosen if not within.intersection(mutant.lines)]
    with tempfile.TemporaryDirectory() as folder:
        found = in_a_fork(lambda: inside(path, functions, tests, jobs, folder)) if functions else []
        found += outside(path, others, tests, jobs, folder)
    counts = Counter(word for _, word in found)
    left = sorted((mutant.start, mutant.shown, word) for mutant, word in found if word in ("survived", UNMET))
    for _, shown, word in left:
        print(f"{module}:{shown}{'  (no test comes here)' if word == UNMET else ''}")
    print(
        f"{module}: {len(found)} mutants, {counts['killed']} killed, {counts['timeout']} out of time, {len(left)} left;"
        f" {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return len(left)


if __name__ == "__main__":
    main()
