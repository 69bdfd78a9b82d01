"""Structured events on standard error: one JSON object a line, or a readable line on a terminal."""

import contextlib
import logging
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(enc_hook=str)
_C1 = re.compile(rb"\xc2([\x80-\x9f])")  # which JSON lets stand, and terminals obey
_FD = 2
_SHOW = ("event", "process", "id")


class Events:
    """Writes events of one process. ``process`` stands in every line.

    A line is written at once, unless it comes from the thread of an event loop that has promised to ``flush`` once a
    turn (``gathering``). The order of lines is the order of the calls, whatever threads they come from.
    """

    def __init__(self) -> None:
        self.process = ""
        self._pretty = sys.stderr.isatty()
        self._lines: list[bytes] = []
        self._writing = threading.Lock()
        self._gathering = 0  # the thread that flushes by itself
        self.instead: Callable[[str, dict[str, Any]], None] | None = None  # who hears of them, in place of the log

    def __call__(self, event: str, **values: Any) -> None:
        """Write one event. A value of None is left out."""
        if self.instead is not None:
            self.instead(event, values)
            return
        line = {"time": round(time.time(), 3), "event": event, "process": self.process}
        for key, value in values.items():
            if value is not None:
                line[key] = value
        self._lines.append(_readable(line) if self._pretty else _encode(line) + b"\n")
        if threading.get_ident() != self._gathering:
            self.flush()

    def bug(self, where: str, error: BaseException, **values: Any) -> None:
        """Write what nobody foresaw, with its traceback; at once, for nobody knows what comes next."""
        text = "".join(traceback.format_exception(error)).strip()
        self("bug", where=where, error=f"{type(error).__name__}: {error}", traceback=text, **values)
        self.flush()

    def gather(self) -> None:
        """From now on this thread flushes once a turn of its loop."""
        self._gathering = threading.get_ident()

    def gather_no_more(self) -> None:
        """Write what has gathered, and from now on each line at once."""
        self._gathering = 0
        self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._lines:
            return
        with self._writing:
            lines = self._lines[:]
            del self._lines[: len(lines)]  # others may have put more behind them meanwhile
            with contextlib.suppress(OSError):  # nobody reads our log any more: mail goes on
                for piece in _pieces(lines):
                    os.write(_FD, piece)


def _encode(value: Any) -> bytes:
    octets = _encoder.encode(value)
    return _C1.sub(lambda found: b"\\u00%02x" % found[1][0], octets) if b"\xc2" in octets else octets


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined as far as a pipe takes them in one piece: other processes write to it too (pipe(7), PIPE_BUF)."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


def _readable(line: dict[str, Any]) -> bytes:
    clock = time.strftime("%H:%M:%S", time.localtime(line["time"]))
    rest = " ".join(f"{key}={_short(value)}" for key, value in line.items() if key not in ("time", *_SHOW))
    head = " ".join(str(line[key]) for key in ("process", "event", "id") if line.get(key))
    return f"{clock} {head}  {rest}\n".encode(errors="replace")


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value if value and " " not in value and value.isprintable() else repr(value)
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
