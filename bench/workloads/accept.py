"""Accept: mail is taken in and made durable, while none is handed on."""

from bench.load import send
from bench.measure import Run
from bench.workloads.base import Work, holds, started
from bench.workloads.plain import Plain


async def measure(work: Work, count: int) -> Run:
    """Until the last 250."""
    async with started(work, "accept") as (running, used):
        sent = await send(work.cell, count, running.port, limit=work.limit)
        run = Run(count, sent.accepted, **used())
        await holds(running, count)
    return run


WORKLOAD = Plain("accept", "smtp-source → the queue, where the messages stay: until the last 250", 1, measure)
