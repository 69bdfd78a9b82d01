"""Relay signed: messages of 100 KB that come under TLS, are signed by DKIM, and go on under TLS."""

from bench.measure import Run
from bench.workloads.base import Work
from bench.workloads.under_tls import UnderTls, through


async def measure(work: Work, count: int) -> Run:
    return await through(work, count, "relay-signed", signed=True)


WORKLOAD = UnderTls(
    "relay-signed",
    "a source → TLS → server, which signs → TLS → a sink: until the last message has arrived",
    14,
    measure,
    sizes=(100_000,),
)
