"""What every micro-benchmark is given, and what is said of the machine that it ran on."""

import os
import platform
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.loop import Loop, held
from bench.micro.measure import Measure


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop[None]]:
    """An event loop for work that needs nothing opened before."""
    with held(_nothing()) as opened:
        yield opened


@pytest.fixture
def measure(benchmark: BenchmarkFixture) -> Measure:
    return Measure(benchmark)


def pytest_benchmark_generate_machine_info() -> dict[str, object]:
    folder = Path(tempfile.gettempdir())
    return {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "folder": str(folder),
        "file_system": _file_system(folder),
    }


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _file_system(folder: Path) -> str:
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")  # proc_pid_mountinfo(5)
        if left.split()[2] == number:
            return right.split()[0]
    return "an unknown file system"
