"""Load under TLS: the sink takes nothing in the clear, and sees what is signed; and small runs of each server."""

import smtplib
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bench import Failed, encrypted
from bench.disks import Disk
from bench.measure import Cell
from bench.servers import all_servers
from bench.workloads import relay_signed, relay_tls
from bench.workloads.base import Choice, Work
from tests.support.programs import needs

SERVERS = {server.key: server for server in all_servers()}


@pytest.fixture
def keys(tmp_path: Path) -> encrypted.Keys:
    return encrypted.Keys.made(tmp_path)


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        Path(name).chmod(0o755)
        yield Disk("plain", Path(name), "for a test")


def test_cells() -> None:
    assert relay_tls.WORKLOAD.cells(Choice()) == [Cell(4096), Cell(65536)]
    assert relay_signed.WORKLOAD.cells(Choice(full=True)) == [Cell(100_000, 20), Cell(100_000, 100)]


async def test_messages_come_under_tls_in_the_size_asked_for(keys: encrypted.Keys) -> None:
    run = await encrypted.ceiling(keys, Cell(300_000, 3), 20)
    assert (run.messages, run.seconds > 0) == (20, True)
    assert len(encrypted._content(5000)) == 5000 + len(".\r\n")


async def test_the_sink_takes_nothing_in_the_clear_and_sees_what_is_signed(keys: encrypted.Keys) -> None:
    def talk(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                client.sendmail("a@source.example", ["u@bench.test"], b"Subject: plain\r\n\r\n")
            client.starttls(context=ssl._create_unverified_context())
            for head in (b"DKIM-Signature: v=1\r\nSubject: one\r\n", b"Subject: two\r\n"):
                letter = head + b"\r\nDKIM-Signature:\r\n" + 9000 * b"x\r\n"
                client.sendmail("a@source.example", ["u@bench.test"], letter)

    async with encrypted.sink(keys) as (port, arrived):
        await trio.to_thread.run_sync(talk, port)
        with trio.fail_after(60):
            while arrived() != (2, 1):  # the second one names it in its text
                await trio.sleep(0.01)


async def test_a_server_without_tls_is_a_failure() -> None:
    with pytest.raises(Failed, match="the source under TLS failed"):
        await encrypted.send(Cell(100, 1), 1, 1)


@needs("postfix", "opendkim")
@pytest.mark.parametrize("key", ["postroad", "postfix", "postfix-tuned"])
@pytest.mark.parametrize("workload", [relay_tls, relay_signed], ids=["encrypted", "signed"])
async def test_every_message_goes_through_under_tls(key: str, workload: object, disk: Disk) -> None:
    if (missing := SERVERS[key].missing()) is not None:
        pytest.skip(missing)
    run = await workload.measure(Work(SERVERS[key], Cell(20_000, 5), disk, 300), 30)  # type: ignore[attr-defined]
    assert run.messages == 30
    assert run.figures["messages a CPU second"] > 0
    assert not any(disk.folder.iterdir())
