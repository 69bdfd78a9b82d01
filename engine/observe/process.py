"""What the kernel says of this process: processor time, memory, open files (proc(5))."""

import os
import time
from collections.abc import Iterator

from engine.observe.measures import Counter, Gauge, Labels

_CPU = Counter("postroad_process_cpu_seconds_total", "Processor time that the process has used.")
_MEMORY = Gauge("postroad_process_resident_bytes", "Its memory, with what it has mapped of its stores.")
_FILES = Gauge("postroad_process_open_files", "File descriptors that it has open.")
_MOST_FILES = Gauge("postroad_process_open_files_limit", "How many it may have open.")
_STARTED = Gauge("postroad_process_start_time_seconds", "Unix time of its start.")

_PAGE = os.sysconf("SC_PAGE_SIZE")


def measure() -> None:
    """Tell it from now on. The start is now."""
    _STARTED.of().value = time.time()
    _CPU.reads(lambda: [((), time.process_time())])
    _MEMORY.reads(_memory)
    _FILES.reads(lambda: [((), len(os.listdir("/proc/self/fd")) - 1)])  # one of them is the listing's own
    _MOST_FILES.reads(lambda: [((), os.sysconf("SC_OPEN_MAX"))])


def _memory() -> Iterator[tuple[Labels, float]]:
    with open("/proc/self/statm") as file:
        yield (), int(file.read().split()[1]) * _PAGE
