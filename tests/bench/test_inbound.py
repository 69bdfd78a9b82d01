"""Inbound mail: each server checks it as it says, against the same DNS."""

import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bench import outside
from bench.servers import all_servers
from bench.servers.base import HOST, SOURCE, Running, Task
from tests.support.programs import needs

SERVERS = {server.key: server for server in all_servers()}
FORGED = f"From: {outside.SENDER}\r\nSubject: Hello\r\n\r\nIt is really me.\r\n".encode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def submit(running: Running, content: bytes, sender: str = outside.SENDER) -> None:
    with smtplib.SMTP(HOST, running.port, local_hostname=f"client.{SOURCE}") as client:
        client.sendmail(sender, ["17@bench.test"], content)


def test_a_letter_has_the_size_that_is_asked_for() -> None:
    for size in (4096, 65536):
        letter = outside.letter(size)
        assert len(letter) == size
        assert letter.startswith(b"DKIM-Signature: ")


@needs("unbound", "opendkim", "opendmarc", "postfix")
@pytest.mark.parametrize("key", ["postroad", "postfix-tuned"])
async def test_what_is_proved_is_delivered_and_what_is_forged_is_refused(key: str, folder: Path) -> None:
    if missing := SERVERS[key].missing() or outside.missing():
        pytest.skip(missing)
    with trio.fail_after(120):
        async with outside.resolver(folder) as dns, SERVERS[key].start(Task("inbound", folder, dns=dns)) as running:
            with pytest.raises(smtplib.SMTPDataError) as refused:
                await trio.to_thread.run_sync(submit, running, FORGED, "someone@elsewhere.test")
            assert 500 <= refused.value.smtp_code < 600
            assert b"dmarc" in refused.value.smtp_error.lower()
            with pytest.raises(smtplib.SMTPDataError):
                await trio.to_thread.run_sync(submit, running, FORGED.replace(b"Hello", b""))
            await trio.to_thread.run_sync(submit, running, outside.letter(4096), "someone@elsewhere.test")  # by DKIM
            await trio.to_thread.run_sync(submit, running, FORGED)  # by SPF
            assert running.delivered is not None
            while running.delivered() < 2:
                await trio.sleep(0.02)
