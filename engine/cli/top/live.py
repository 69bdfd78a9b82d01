"""The live view: a thread asks the server, keys change what is looked at."""

import os
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from engine.cli.top.drawing import screen
from engine.cli.top.frame import Frame, frame_of
from engine.cli.top.panes import PANES
from engine.cli.top.snapshot import Snapshot, take
from engine.cli.top.terminal import Keys, keys_of
from engine.cli.top.view import View, keys_in, pressed
from engine.config import ConfigError, load
from engine.drawing.pipeline import Pipeline, drawn
from engine.runtime.state import State

_LOOK = 0.5
"""Seconds after which the size of the screen is looked at, whatever else there is."""

_SIZES = ("COLUMNS", "LINES")
"""What the environment says of the size of the terminal is so only until that changes."""

_TREND = 60
"""Frames whose rate is remembered."""


class Sampler:
    """Takes snapshots in a thread of its own, so that a worker that does not answer keeps no key waiting."""

    def __init__(self, state: State, config: Path, pipeline: Pipeline, interval: float) -> None:
        self.interval = interval
        self.pipeline = pipeline
        self.trend: deque[float] = deque(maxlen=_TREND)
        self.frame: Frame | None = None
        self.failed: BaseException | None = None
        self._state = state
        self._config = config
        self._revision = 0
        self._hurried = threading.Event()
        self._over = False

    def run(self, keys: Keys) -> None:
        try:
            before = take(self._state)
            while not self._over:
                self._hurried.wait(self.interval if self.frame else min(self.interval, _LOOK))
                self._hurried.clear()
                now = take(self._state)
                self._follow(now)
                self.frame = frame_of(before, now, self.pipeline)
                self.trend.append(self.frame.reading.arriving)
                before = now
                keys.wake()
        except BaseException as error:
            self.failed = error
            with suppress(OSError):
                keys.wake()

    def hurry(self, interval: float) -> None:
        """From now on with this interval."""
        if interval != self.interval:
            self.interval = interval
            self._hurried.set()

    def end(self) -> None:
        self._over = True
        self._hurried.set()

    def _follow(self, now: Snapshot) -> None:
        """Another revision may have other lanes."""
        revision = now.running.revision if now.running else 0
        if revision and self._revision and revision != self._revision:
            with suppress(ConfigError):  # it is being edited once more
                self.pipeline = drawn(load(self._config))
        self._revision = revision or self._revision


def watch(state: State, config: Path, pipeline: Pipeline, interval: float, version: str) -> None:
    """Show what happens until somebody presses q."""
    sampler = Sampler(state, config, pipeline, interval)
    environ = {name: value for name, value in os.environ.items() if name not in _SIZES}
    console = Console(highlight=False, _environ=environ)
    with suppress(KeyboardInterrupt), keys_of(sys.stdin.fileno()) as keys:
        thread = threading.Thread(target=sampler.run, args=(keys,), daemon=True)
        thread.start()
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                _show(live, sampler, keys, View(interval=interval), version)
        finally:
            sampler.end()
            thread.join(5)
    if sampler.failed is not None:
        raise sampler.failed


def _show(live: Live, sampler: Sampler, keys: Keys, view: View, version: str) -> None:
    frame: Frame | None = None
    drawn_as: object = None
    while not view.ended and sampler.failed is None:
        if not view.paused or frame is None:
            frame = sampler.frame
        height = live.console.size.height
        now = (frame, view, live.console.size)
        if frame is not None and now != drawn_as:
            live.update(screen(frame, view, version, height, tuple(sampler.trend)), refresh=True)
            drawn_as = now
        for key in keys_in(keys.wait(_LOOK)):
            view = pressed(view, key, len(PANES[view.focus].rows(frame)) if frame is not None else 0)
        sampler.hurry(view.interval)
