"""The turns of the event loop, as far as events take part in them: written once a turn, and at its end."""

import trio

from engine.observe.events import event


class WrittenOnceATurn(trio.abc.Instrument):
    """Makes a run of trio write its events once a turn: on a busy server that is one system call for many lines."""

    def before_run(self) -> None:
        event.gather()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's interface
        event.flush()

    def after_run(self) -> None:
        event.gather_no_more()
