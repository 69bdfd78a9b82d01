"""Relay under TLS: as `relay`, and nothing in the clear on either side."""

from bench.measure import Run
from bench.workloads.base import Work
from bench.workloads.under_tls import UnderTls, through


async def measure(work: Work, count: int) -> Run:
    return await through(work, count, "relay-tls", signed=False)


WORKLOAD = UnderTls(
    "relay-tls", "a source → TLS → server → TLS → a sink: until the last message has arrived", 13, measure
)
