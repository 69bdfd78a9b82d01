"""Inbound: what a server does with mail from outside: SPF, DKIM, DMARC, two filters, the queue, the mailbox."""

import tempfile
from pathlib import Path

from bench import Failed, outside
from bench.measure import Run
from bench.workloads.base import Work
from bench.workloads.deliver import into_mailboxes
from bench.workloads.plain import MOST_NUMBERED, Plain


async def measure(work: Work, count: int) -> Run:
    if gone := outside.missing():
        raise Failed(gone)
    with tempfile.TemporaryDirectory(prefix="outside-") as name:
        letter = Path(name, "letter")
        letter.write_bytes(outside.letter(work.cell.size).replace(b"\r\n", b"\n"))  # smtp-source adds the CRs
        async with outside.resolver(Path(name)) as dns:
            return await into_mailboxes("inbound", work, count, letter=letter, dns=dns)


WORKLOAD = Plain(
    "inbound",
    "smtp-source → SPF, DKIM, DMARC → two filters → queue → mailboxes of 100 users: until the last message is in one",
    4,
    measure,
    most=MOST_NUMBERED,
)
