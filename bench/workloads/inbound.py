"""Inbound: what a server does with mail from outside: two filters of the operator, the queue, the mailbox."""

from bench.measure import Run
from bench.workloads.base import Work
from bench.workloads.deliver import into_mailboxes
from bench.workloads.plain import MOST_NUMBERED, Plain


async def measure(work: Work, count: int) -> Run:
    return await into_mailboxes("inbound", work, count)


WORKLOAD = Plain(
    "inbound",
    "smtp-source → two filters → queue → mailboxes of 100 users: until the last message is in one",
    4,
    measure,
    most=MOST_NUMBERED,
)
