"""Telling a collector of the spans: gathered as things happen, and sent by a thread that mail never waits for."""

import threading
from collections.abc import Sequence
from typing import Protocol

from engine.config import Traces
from engine.history.entries import Entry
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.traces.spans import Span, spans

WAITING = 5000
"""Entries that wait for the thread at most. What comes then is not told: mail goes on."""

PAUSE = 1.0
"""Seconds for which entries gather, so that many go in one request."""

MOST = 200
"""Entries of one request: a thousand spans or so, some 300 KB."""

AGAIN = 5.0
"""Seconds after which it is tried again when the collector did not take what it was sent. That is lost."""

_WHOLE = 2**64

_SENT = Counter("postroad_trace_spans_total", "Spans that the collector of traces has taken.")
_LOST = Counter(
    "postroad_trace_lost_total",
    "What happened to sampled messages and was not told: `full`, the collector being too slow, or `refused` by it.",
    ("why",),
)


class Road(Protocol):
    """What leads to a collector."""

    def send(self, found: Sequence[Span]) -> None:
        """Blocks for as long as its settings allow. Raises what says, to an operator, why they were not taken."""
        ...

    def stop(self) -> None:
        """From another thread: be done soon."""
        ...


def sampled(identity: bytes, share: float) -> bool:
    """Whether a message is among so many per cent: by its random octets, so that all processes agree."""
    return int.from_bytes(identity[8:], "big") < _below(share)


def _below(share: float) -> int:
    return round(share * _WHOLE / 100)


class Export:
    """``export(entry)`` has an entry told, if its message is sampled: that never waits and never raises."""

    def __init__(self, settings: Traces, worker: str) -> None:
        self.settings = settings
        self._worker = worker
        self._sampled_below = _below(settings.share)
        self._waiting: list[Entry] = []
        self._rouse = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._road: Road | None = None
        self._failed = False

    def __call__(self, entry: Entry) -> None:
        if not entry.id or int.from_bytes(entry.id[8:], "big") >= self._sampled_below:  # as `sampled` has it
            return
        if len(self._waiting) >= WAITING:
            _LOST.of("full").value += 1
            return
        self._waiting.append(entry)
        if not self._rouse.is_set():
            self._rouse.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Nothing more comes: the thread sends what has gathered, and ends."""
        self._ending.set()
        self._rouse.set()

    def close(self, patience: float = 2.0) -> None:
        """Send what has gathered, for so many seconds at most."""
        self.end()
        if self._thread is not None:
            self._thread.join(patience)
            if self._thread.is_alive() and self._road is not None:
                self._road.stop()

    # By the thread

    def _run(self) -> None:
        while not self._ending.is_set():
            self._rouse.wait()
            self._ending.wait(AGAIN if self._failed else PAUSE)
            self._rouse.clear()
            self._send_all()

    def _send_all(self) -> None:
        """In pieces, up to one that is not taken; what waits behind that waits on."""
        while self._waiting:
            entries = self._waiting[:MOST]
            del self._waiting[: len(entries)]  # others may have put more behind them meanwhile
            try:
                if self._road is None:
                    self._road = _road(self.settings, self._worker)
                found = [span for entry in entries for span in spans(entry)]
                self._road.send(found)
            except Exception as error:  # whatever it is, mail goes on, and the next ones may be told
                _LOST.of("refused").value += len(entries)
                self._complain(str(error))
                self._rouse.set()
                return
            _SENT.of().value += len(found)
            self._praise()

    def _complain(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            event("traces-failed", endpoint=self.settings.endpoint, error=why)

    def _praise(self) -> None:
        if self._failed:
            self._failed = False
            event("traces-again", endpoint=self.settings.endpoint)


def _road(settings: Traces, worker: str) -> Road:
    from engine.traces.otlp import Otlp  # an extra, slow to import: by this thread alone

    return Otlp(settings, worker)
