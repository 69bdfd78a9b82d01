"""What a person sees meanwhile: a bar with the time that is left on a terminal, elsewhere a line for each run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bench.measure import Run, Trial


class Screen(Protocol):
    """Where it is shown."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def expect(self, turns: int) -> None:
        """So many turns are to come in all, as far as can be told."""

    def turn(self, number: int, trial: Trial) -> None: ...

    def ran(self, number: int, trial: Trial, run: Run) -> None: ...

    def failed(self, number: int, trial: Trial, reason: str) -> None: ...


class Lines:
    """For a log: each run as it ends."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def expect(self, turns: int) -> None:
        pass

    def turn(self, number: int, trial: Trial) -> None:
        pass

    def ran(self, number: int, trial: Trial, run: Run) -> None:
        self.say(f"{_when(number)}: {_outcome(trial, run)}")

    def failed(self, number: int, trial: Trial, reason: str) -> None:
        self.say(f"{_when(number)}: {trial.name}: failed: {reason}")


class Bars:
    """For a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def expect(self, turns: int) -> None:
        self._progress.update(self._task, total=turns)

    def turn(self, number: int, trial: Trial) -> None:
        self._progress.update(self._task, description=f"{_when(number)}: {trial.name}")

    def ran(self, number: int, trial: Trial, run: Run) -> None:
        self._progress.advance(self._task)
        if number:
            self.say(f"  {_when(number)}: {_outcome(trial, run)}")

    def failed(self, number: int, trial: Trial, reason: str) -> None:
        self._progress.advance(self._task)
        self.say(f"  {_when(number)}: {trial.name}: failed: {reason}")


@contextmanager
def screen() -> Iterator[Screen]:
    """What fits standard error."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress, progress.add_task("starting", total=None))


def _when(number: int) -> str:
    return f"round {number}" if number else "trying"


def _outcome(trial: Trial, run: Run) -> str:
    return f"{trial.name}: {run.rate:,.0f} messages/s ({run.messages:,} in {run.seconds:.1f} s)"
