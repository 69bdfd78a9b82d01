"""What the history costs: mail is relayed with it and without it, in turns."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from bench.measure import Trial
from bench.servers.postroad import Postroad
from bench.workloads.base import Work, trial
from bench.workloads.in_turns import InTurns
from bench.workloads.relay import measure


def _ways(server: Postroad, work: Work) -> Iterator[Trial]:
    """As it is shipped, and with `[history] level = "off"`."""
    yield trial(server, partial(measure, work))
    without = replace(server, changes={**server.changes, "history.level": "off"})
    run = partial(measure, replace(work, server=without))
    yield trial(without, run, key=f"{server.key}@no-history", name=f"{server.name}, no history")


WORKLOAD = InTurns(
    "relay-history",
    "smtp-source → server → smtp-sink, with the history and without it: until the last message has arrived",
    _ways,
)
