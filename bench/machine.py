"""What the figures were taken on: cores, kernel, the file system and whether it has a journal."""

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """Cores, memory, kernel and Python, in one line."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{cores} core{'s' * (cores != 1)} {names[0].strip() if names else platform.machine()}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def file_system(folder: Path) -> str:
    """Its type; of an ext4 also whether it has a journal, for without one it is another file system."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == number:
            kind, source = right.split()[:2]
            if kind in ("tmpfs", "ramfs"):
                return f"{kind}, which is memory: syncs cost nothing"
            journal = any(Path("/proc/fs/jbd2").glob(f"{Path(source).name}-*"))
            return f"{kind}{'' if kind != 'ext4' else ' with a journal' if journal else ' without a journal'}"
    return "an unknown file system"
