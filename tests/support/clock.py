"""A clock for the processes of a server that can be set: libfaketime stands between them and the machine's."""

import os
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).parents[2]

_SITE = '''"""libfaketime fails clock_nanosleep(2) up to a moment (EINVAL), which is how Python sleeps."""

import select
import time

time.sleep = lambda seconds: select.select((), (), (), seconds)
'''


class Clock:
    """Shows the machine's time until it is set. ``environment`` is for the processes that are to see it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._site = file.with_name("clock-site")
        self._site.mkdir(exist_ok=True)
        (self._site / "sitecustomize.py").write_text(_SITE)
        self.set("+0")

    def set(self, ahead: str) -> None:
        """Show a time that lies so far ahead of the machine's: "+2d", "-1d", "+0"."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead}\n")
        new.rename(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), "")
        return {
            "LD_PRELOAD": os.fspath(library),
            "PYTHONPATH": f"{self._site}{os.pathsep}{_ROOT}",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
