"""Reports between Postroad and Postfix, Exim and OpenSMTPD: each reads, and passes on, what the other writes."""

import os
import smtplib
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from bench.servers import all_servers
from bench.servers.base import Server, Task
from engine import MessageId, Recipient
from engine.delivery_status import Notice, read
from engine.queue.bounce import Failure, bounce
from engine.verdict import Defer, Delivered, Reject
from engine.wording import Languages
from engine.wording.choice import READS
from tests.support.dsn_grammar import strict
from tests.support.messages import message
from tests.support.programs import marks
from tests.support.remote import Remote, serving
from tests.support.server import PATIENCE

SERVERS = {server.key: server for server in all_servers()}
PEERS = [
    pytest.param("postfix", marks=marks("postfix")),
    pytest.param("exim", marks=pytest.mark.peer),
    pytest.param("opensmtpd", marks=pytest.mark.peer),
]
NEWS = "news@example.org"
LETTER = b"From: news@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: news\r\n\r\nnews\r\n"
REFUSAL = "550 5.1.1 <nobody@far.test>: no such user here"


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="postroad-peer-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def present(key: str) -> Server:
    missing = SERVERS[key].missing()
    if missing is not None and os.environ.get("POSTROAD_NO_SKIPS"):
        pytest.fail(f"{missing}; and here no test may be skipped")
    if missing is not None:
        pytest.skip(missing)
    return SERVERS[key]


@asynccontextmanager
async def between(key: str, folder: Path, remote: Remote) -> AsyncIterator[int]:
    """The peer, which hands everything to ``remote``; gives its port."""
    server = present(key)
    with trio.fail_after(300):
        async with serving(remote), server.start(Task("relay", folder, next_hop=remote.port)) as running:
            yield running.port


async def sent(port: int, sender: str, to: list[str], content: bytes, asked: str = "") -> None:
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo()
            offers = client.has_extn("dsn")
            options = ["ENVID=QQ314"] if offers else []
            client.sendmail(sender, to, content, options, [f"NOTIFY={asked}"] if asked and offers else [])

    await trio.to_thread.run_sync(send)


async def arrived(remote: Remote, sender: str = "") -> bytes:
    """The first message from that sender."""
    while True:
        for received in remote.received:
            if received.sender == sender:
                return received.content
        await trio.sleep(0.05)


def found(content: bytes) -> Notice:
    notice = read(content)
    assert notice is not None, content.decode("utf-8", "replace")
    return notice


@pytest.mark.parametrize("key", PEERS)
async def test_what_a_peer_bounces_is_read(key: str, folder: Path) -> None:
    remote = Remote(script={"RCPT nobody@far.test": REFUSAL}, extensions=("8BITMIME",))
    async with between(key, folder, remote) as port:
        await sent(port, NEWS, ["nobody@far.test", "bob@far.test"], LETTER)
        content = await arrived(remote)
    notice = found(content)
    (status,) = notice.recipients
    assert (status.recipient, status.action) == ("nobody@far.test", "failed")
    assert status.status in ("5.1.1", "5.0.0")
    assert "no such user here" in status.diagnostic
    assert notice.message_id == "<1@example.org>"


@pytest.mark.parametrize("key", [PEERS[0], PEERS[2]])  # Exim offers DSN only where it is set
async def test_what_a_peer_tells_of_success_is_read(key: str, folder: Path) -> None:
    remote = Remote(extensions=("8BITMIME",))
    async with between(key, folder, remote) as port:
        await sent(port, NEWS, ["bob@far.test"], LETTER, "SUCCESS,FAILURE")
        content = await arrived(remote)
    notice = found(content)
    (status,) = notice.recipients
    assert status.recipient == "bob@far.test"
    assert status.action in ("relayed", "delivered")
    assert status.status[0] == "2"
    assert notice.envelope_id in ("QQ314", "")


VERDICTS = {
    "failed": Reject("The next server refused it", "5.1.1", reply="550 5.1.1 no such user", remote="mx.far.test"),
    "delayed": Defer("No server answers", "4.4.1", expires=2e9),
    "expanded": Delivered(tell="expanded"),
}


@pytest.mark.parametrize("key", PEERS)
@pytest.mark.parametrize("language", ["en", "ja"])
async def test_ours_comes_through_a_peer_as_it_was(key: str, folder: Path, language: str) -> None:
    """From the null sender, to whoever is behind the peer: still by the grammar, and with all that it said."""
    about = message(content=f"{READS[0]}: {language}\r\n".encode() + LETTER)
    failures = [Failure(Recipient(f"{name}@far.test"), verdict) for name, verdict in VERDICTS.items()]
    ours = bounce(MessageId.new(), "mx.example.org", about, failures, 1_796_000_000.0)
    remote = Remote(extensions=("8BITMIME",))
    async with between(key, folder, remote) as port:
        await sent(port, "", ["a@sender.test"], ours)
        content = await arrived(remote)
    before, after = strict(ours), strict(content)
    assert (after.message, after.recipients, after.text) == (before.message, before.recipients, before.text)
    assert Languages().words(language).subject["failed"] == after.letter["Subject"]
    assert [status.action for status in found(content).recipients] == ["failed", "delayed", "expanded"]
