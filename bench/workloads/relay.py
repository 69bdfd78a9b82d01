"""Relay: mail is taken in, made durable, and handed on to the next server."""

from bench.load import send, sink
from bench.measure import Run
from bench.workloads.base import Work, holds, started
from bench.workloads.plain import Plain


async def measure(work: Work, count: int) -> Run:
    """Until smtp-sink has taken the last message."""
    async with sink() as (port, arrived), started(work, "relay", next_hop=port) as (running, used):
        before = arrived()
        sent = await send(work.cell, count, running.port, lambda: arrived() - before, limit=work.limit)
        run = Run(count, sent.arrived, figures={"taken in, messages/s": count / sent.accepted}, **used())
        await holds(running, 0)
    return run


WORKLOAD = Plain("relay", "smtp-source → server → smtp-sink: until the last message has arrived", 2, measure)
