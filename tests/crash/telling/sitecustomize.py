"""Lets a process say, at SIGUSR1, what it holds inside; put on the path of a server under test, which does not know.

The answer is JSON, in the file of the process's number in the folder ``POSTROAD_TELL``.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def _tasks(task: Any) -> Iterator[Any]:
    yield task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tasks(child)


def _tell(*_: Any) -> None:
    import trio

    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:
        return  # it is about to start, or to end
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)  # what is free is no leak: it is given back before anyone looks
    told = {
        "tasks": Counter(task.name for task in _tasks(root)),
        "blocks": sys.getallocatedblocks(),
        "kinds": Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()),
    }
    path = Path(os.environ["POSTROAD_TELL"], str(os.getpid()))
    path.with_suffix(".new").write_text(json.dumps(told))
    path.with_suffix(".new").rename(path)


if os.environ.get("POSTROAD_TELL"):
    signal.signal(signal.SIGUSR1, _tell)
