"""Figures as people read them: rates, times, shares; short, so that columns stay narrow."""

import math
from collections.abc import Callable

from engine.drawing.pipeline import Notes
from engine.watching.readings import LinkReading, Reading, StageReading

NOTHING = "–"

_VERDICTS = 3
"""Verdicts of a stage that are named in a picture."""

_STEPS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "m"))


def rate(value: float) -> str:
    """ "1,204/s"; "3.4/s" where that says more."""
    return f"{value:,.0f}/s" if value >= 10 or value == 0 else f"{value:.1f}/s"


def time_taken(seconds: float | None) -> str:
    """ "0.12 ms", "48 ms", "1.2 s", "3.5 m"."""
    if seconds is None:
        return NOTHING
    if math.isinf(seconds):
        return "∞"
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 10 or milliseconds == 0 else f"{milliseconds:.2g} ms"
    for step, unit in _STEPS:
        if seconds >= 2 * step:
            return f"{seconds / step:.0f} {unit}" if seconds >= 10 * step else f"{seconds / step:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def both_times(stage: StageReading) -> str:
    """ "1.2 ms, 48 ms": half of the messages took at most the first, almost all at most the second."""
    if stage.half is None:
        return ""
    return f"{time_taken(stage.half)}, {time_taken(stage.almost_all)}"


def share(value: float) -> str:
    """ "88 %"; what is there at all is never told as nought, nor what lacks as the whole."""
    if 0 < value < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < value < 1 else f"{value * 100:.0f} %"


def shares(stage: StageReading, most: int = _VERDICTS, say: Callable[[str], str] = str) -> tuple[str, ...]:
    return tuple(f"{say(verdict)} {share(part)}" for verdict, part in stage.shares[:most])


def notes_of(reading: Reading, say: Callable[[str], str] = str, *, full: bool = False) -> Notes:
    """What is written into the picture of the pipeline. ``say`` gives a text of ours in the reader's language.

    ``full``: at links the lag and what is refused behind them as well.
    """
    queue = [f"{count:,} {say(state)}" for state, count in reading.queued.items() if count]
    if reading.oldest:
        queue.append(say("oldest %(time)s") % {"time": time_taken(reading.oldest)})
    return Notes(
        links={link.name: _link(link, say, full=full) for link in reading.links},
        stages={
            stage.name: tuple(filter(None, (*shares(stage, say=say), both_times(stage)))) for stage in reading.stages
        },
        queue=tuple(queue),
    )


def _link(link: LinkReading, say: Callable[[str], str], *, full: bool) -> tuple[str, ...]:
    below = [say("%(num)s wait") % {"num": f"{link.depth:,}"}] if link.depth else []
    if full and link.depth:
        below.append(time_taken(link.lag))
    if full and link.refused:
        below.append(say("refused %(rate)s") % {"rate": rate(link.refused)})
    return tuple(filter(None, (rate(link.rate), ", ".join(below))))
