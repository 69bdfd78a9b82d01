"""Structured events: each one JSON object on a line of its own, handed to every output of the log."""

import logging
import re
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from engine.observe.outputs import Output, StandardError
from engine.observe.veil import Veil

_encoder = msgspec.json.Encoder(enc_hook=str)
_C1 = re.compile(rb"\xc2([\x80-\x9f])")  # which JSON lets stand, and terminals obey


class Events:
    """Writes events of one process. ``process`` stands in every line.

    A line is written at once, unless it comes from the thread of an event loop that has promised to ``flush`` once a
    turn (``gathering``). The order of lines is the order of the calls, whatever threads they come from.
    """

    def __init__(self) -> None:
        self.process = ""
        self._outputs: dict[Output, int] = {StandardError(): 0}  # and how many lines each could not take
        self._veil: Veil | None = None
        self._lines: list[bytes] = []
        self._writing = threading.Lock()
        self._gathering = 0  # the thread that flushes by itself
        self.instead: Callable[[str, dict[str, Any]], None] | None = None  # who hears of them, in place of the log

    def __call__(self, event: str, **values: Any) -> None:
        """Write one event. A value of None is left out."""
        if self.instead is not None:
            self.instead(event, values)
            return
        line = {"time": int(time.time() * 1000) / 1000, "event": event, "process": self.process}
        for key, value in values.items():
            if value is not None:
                line[key] = value
        self._lines.append(encoded(line) + b"\n")
        if threading.get_ident() != self._gathering:
            self.flush()

    def relay(self, lines: Sequence[bytes]) -> None:
        """Write events that another process has encoded, with their time; at once."""
        self._lines += lines
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

    def to(self, outputs: Sequence[Output], veil: Veil | None = None) -> None:
        """From now on write there, with addresses under ``veil``; what was written to before is closed."""
        self.flush()
        with self._writing:
            before, self._outputs, self._veil = self._outputs, dict.fromkeys(outputs, 0), veil
        for output in before:
            output.close()

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._lines:
            return
        with self._writing:
            lines = self._lines[:]
            del self._lines[: len(lines)]  # others may have put more behind them meanwhile
            if self._veil is not None:
                lines = list(map(self._veil.over, lines))
            lost = sum([self._write(output, lines) for output in self._outputs])
        if lost:
            event("log-lines-lost", lines=lost)

    def _write(self, output: Output, lines: Sequence[bytes]) -> int:
        """To one output. Nobody may read it any more: mail goes on. How many were lost before it took these."""
        try:
            output.write(lines)
        except OSError:
            self._outputs[output] += len(lines)
            return 0
        lost, self._outputs[output] = self._outputs[output], 0
        return lost


def encoded(value: Any) -> bytes:
    """An event as it is written, without the line feed."""
    octets = _encoder.encode(value)
    return _C1.sub(lambda found: b"\\u00%02x" % found[1][0], octets) if octets.find(b"\xc2") >= 0 else octets


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
