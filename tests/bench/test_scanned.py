"""Scanned mail: with each server, the same two daemons stop spam and viruses."""

import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bench import outside, scanners
from bench.measure import Cell
from bench.servers import all_servers
from bench.servers.base import HOST, SOURCE, Running, Task
from bench.workloads.scanned import alone
from tests.support.programs import needs

SERVERS = {server.key: server for server in all_servers()}

HEAD = f"From: {outside.SENDER}\r\nSubject: Hello\r\nMessage-ID: <2@{SOURCE}>\r\n\r\n"
SPAM = HEAD + "-".join(("XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE", "STANDARD", "ANTI", "UBE", "TEST", "EMAIL*C.34X")) + "\r\n"
VIRUS = (
    HEAD + "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "-".join(("EICAR", "STANDARD", "ANTIVIRUS", "TEST", "FILE!$H+H*")) + "\r\n"
)

PROGRAMS = ("unbound", "opendkim", "opendmarc", "postfix", "rspamd", "clamd", "clamav-milter")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def submit(running: Running, content: str) -> None:
    with smtplib.SMTP(HOST, running.port, local_hostname=f"client.{SOURCE}") as client:
        client.sendmail(outside.SENDER, ["17@bench.test"], content)


@needs(*PROGRAMS)
@pytest.mark.parametrize("key", ["postroad", "postfix-tuned"])
async def test_spam_and_viruses_are_refused(key: str, folder: Path) -> None:
    if missing := SERVERS[key].missing() or outside.missing() or scanners.missing():
        pytest.skip(missing)
    with trio.fail_after(300):
        async with (
            outside.resolver(folder) as dns,
            scanners.scanners(folder, dns) as asked,
            SERVERS[key].start(Task("scanned", folder, dns=dns, scanners=asked)) as running,
        ):
            for content in (SPAM, VIRUS):
                with pytest.raises(smtplib.SMTPDataError) as refused:
                    await trio.to_thread.run_sync(submit, running, content)
                assert 500 <= refused.value.smtp_code < 600
            await trio.to_thread.run_sync(submit, running, outside.letter(4096).decode())
            assert running.delivered is not None
            while running.delivered() < 1:
                await trio.sleep(0.02)


@needs(*PROGRAMS)
async def test_the_two_are_asked_without_a_server() -> None:
    if missing := outside.missing():
        pytest.skip(missing)
    with trio.fail_after(300):
        run = await alone(Cell(), 3)
    assert run.messages == 3
    assert run.figures["scanners, CPU s for 1,000"] > 0
