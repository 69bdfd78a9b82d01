"""Which messages in the queue a command means: ids, and a condition."""

import time
from collections.abc import Iterable, Sequence

import click

from engine.queue.search import STATES, Selection


def selected(which: Sequence[str], states: Iterable[str] = STATES) -> Selection:
    """What was asked for on the command line. One that cannot be read ends the command with exit code 2."""
    try:
        return Selection.told(which, time.time(), states)
    except ValueError as error:
        lone = len(which) == 1 and which[0].isalnum()
        said = f"{which[0]!r} is no message id; `postroad queue list` shows them. Nor a condition: " if lone else ""
        raise click.UsageError(f"{said}{error}") from None
