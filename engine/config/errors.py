"""Mistakes in `pipeline.toml`, and in what it names: where each is, and what was meant."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, what it is, and what to do."""

    line: int  # 0: the file as a whole
    place: str  # "[stage.accept] max_size"
    text: str
    path: Path | None = None  # of another file, that it names


class ConfigError(Exception):
    """`pipeline.toml` cannot be used. ``problems`` holds every mistake that was found."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.path not in (None, path), problem.line)))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(
            f"{problem.path or self.path}{f':{problem.line}' if problem.line else ''}: "
            f"{f'{problem.place}: ' if problem.place else ''}{problem.text}"
            for problem in self.problems
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion for a mistyped name: "; did you mean …?", or the names there are."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(choices)}" if choices else ""
