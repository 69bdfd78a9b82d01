"""Structured events on standard error: one JSON object a line, or a readable line on a terminal."""

import contextlib
import logging
import os
import sys
import time
import traceback
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode
_FD = 2
_SHOW = ("event", "process", "id")


class Events:
    """Writes events of one process. ``process`` stands in every line."""

    def __init__(self) -> None:
        self.process = ""
        self._pretty = sys.stderr.isatty()

    def __call__(self, event: str, **values: Any) -> None:
        """Write one event. A value of None is left out."""
        line = {"time": round(time.time(), 3), "event": event, "process": self.process}
        line.update((key, value) for key, value in values.items() if value is not None)
        _write(_readable(line) if self._pretty else _encode(line) + b"\n")

    def bug(self, where: str, error: BaseException, **values: Any) -> None:
        """Write what nobody foresaw, with its traceback."""
        text = "".join(traceback.format_exception(error)).strip()
        self("bug", where=where, error=f"{type(error).__name__}: {error}", traceback=text, **values)


def _write(line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads our log any more: mail goes on
        os.write(_FD, line)


def _readable(line: dict[str, Any]) -> bytes:
    clock = time.strftime("%H:%M:%S", time.localtime(line["time"]))
    rest = " ".join(f"{key}={_short(value)}" for key, value in line.items() if key not in ("time", *_SHOW))
    head = " ".join(str(line[key]) for key in ("process", "event", "id") if line.get(key))
    return f"{clock} {head}  {rest}\n".encode(errors="replace")


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else repr(value)
    return _encode(value).decode()


class LogHandler(logging.Handler):
    """Turns what libraries and our own lower modules log into events."""

    def emit(self, record: logging.LogRecord) -> None:
        failed = record.exc_info[1] if record.exc_info else None
        if failed is not None:
            event.bug(record.getMessage(), failed)
        else:
            event("log", logger=record.name, level=record.levelname.lower(), text=record.getMessage())


def capture_logging() -> None:
    """From now on `logging` ends in events: ours from INFO, those of libraries from WARNING."""
    logging.basicConfig(handlers=[LogHandler()], level=logging.WARNING, force=True)
    for name in ("postroad", "engine", "stages"):
        logging.getLogger(name).setLevel(logging.INFO)


event = Events()
"""This process's events: ``event("delivered", id=…)``."""
