"""A clock for the processes of a server that can be set: libfaketime stands between them and the machine's."""

import os
from collections.abc import Mapping
from pathlib import Path


class Clock:
    """Shows the machine's time until it is set. ``environment`` is for the processes that are to see it."""

    def __init__(self, file: Path) -> None:
        self._file = file
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
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
