"""Deliver: mail is taken in, made durable, and put into the mailboxes of 100 users."""

from pathlib import Path
from typing import Any

from bench import Failed
from bench.load import send
from bench.measure import Run
from bench.workloads.base import Work, holds, started
from bench.workloads.plain import MOST_NUMBERED, Plain


async def into_mailboxes(name: str, work: Work, count: int, *, letter: Path | None = None, **more: Any) -> Run:
    """Until the last message is in a mailbox. ``letter`` as in ``send``, and more as in ``Task``."""
    async with started(work, name, **more) as (running, used):
        if running.delivered is None:
            raise Failed(f"{work.server.name} does not say how many messages it has delivered")
        sent = await send(
            work.cell, count, running.port, running.delivered, letter=letter, numbered=True, limit=work.limit
        )
        run = Run(count, sent.arrived, figures={"taken in, messages/s": count / sent.accepted}, **used())
        await holds(running, 0)
    return run


async def measure(work: Work, count: int) -> Run:
    return await into_mailboxes("deliver", work, count)


WORKLOAD = Plain(
    "deliver",
    "smtp-source → server → mailboxes of 100 users: until the last message is in one",
    3,
    measure,
    most=MOST_NUMBERED,
)
