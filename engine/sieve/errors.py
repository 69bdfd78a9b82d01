"""What is wrong with a script, and what stops the run of one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong with a script. Line and column count from 1; a column is a character."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class ScriptError(Exception):
    """A script that cannot be used, with all that is known to be wrong with it."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class RunError(Exception):
    """Stops a run, which ends in an implicit keep then (RFC 5228 2.10.6)."""
