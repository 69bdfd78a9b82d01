"""Where a worker hangs: it writes that down when it is asked by a signal, however busy its interpreter is."""

import faulthandler
import re
import signal
from pathlib import Path

ASK = signal.SIGUSR2

SECONDS = 0.2
"""That a worker gets to write; one that is stopped, or waits for a disk, writes nothing."""

_CALLS = 5
"""Of the innermost calls that are shown: the filter is mostly among them."""

_frame = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.M)


def tell_when_asked(folder: Path, worker: str) -> None:
    """From now on ASK makes this process write where it is."""
    faulthandler.register(ASK, _file(folder, worker).open("w"), all_threads=False)


def where(folder: Path, worker: str) -> str:
    """ "FILE:LINE in FUNCTION < …", the innermost call first; empty when the worker has written nothing."""
    try:
        written = _file(folder, worker).read_text(errors="replace")
    except OSError:
        return ""
    return " < ".join(f"{file}:{line} in {function}" for file, line, function in _frame.findall(written)[:_CALLS])


def _file(folder: Path, worker: str) -> Path:
    return folder / f"{worker}.calls"
