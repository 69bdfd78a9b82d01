"""Real servers take our mail and refuse it: Postfix, OpenSMTPD and Exim; and Postfix's sink, told to do wrong."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from bench.disks import Disk
from bench.servers import all_servers
from bench.servers.base import DOMAIN, Task
from engine.net.zone import Zone
from tests.support.background import dns
from tests.support.programs import needs, path_of
from tests.support.server import Postroad, free_port, letter, until

SERVERS = {server.key: server for server in all_servers()}

MESSAGES = 20

REFUSAL = {"postfix": "550 5.1.1", "opensmtpd": "524"}
"""How each refuses a recipient that it does not know. Exim, as it is set up here, takes the message first."""

ODD = "line\r\n.\r\n..\r\n" + 900 * "x" + "\r\n"


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="postroad-relay-") as name:
        Path(name).chmod(0o755)
        yield Disk("plain", Path(name), "for a test")


@contextmanager
def postroad(folder: Path, zone: Zone, port: int) -> Iterator[Postroad]:
    with dns(zone) as address:
        settings = {
            "server": {"workers": 1},
            "dns": {"servers": [address]},
            "stage": {"resolve": {"port": port}, "relay": {"retry": ["1s"], "workers": 1}},
        }
        with Postroad(folder, settings) as server:
            yield server


@pytest.mark.peer
@pytest.mark.parametrize("key", ["postfix", "opensmtpd", "exim"])
async def test_a_real_server_takes_our_mail(key: str, disk: Disk, tmp_path: Path) -> None:
    if (missing := SERVERS[key].missing()) is not None:
        pytest.fail(missing) if os.environ.get("POSTROAD_NO_SKIPS") else pytest.skip(missing)
    with trio.fail_after(300):
        async with SERVERS[key].start(Task("deliver", disk.folder, users=2)) as running:
            assert running.delivered is not None
            await trio.to_thread.run_sync(partial(_exchange, tmp_path, key, running.port))
            while running.delivered() < MESSAGES + 1:
                await trio.sleep(0.02)
            texts = [path.read_bytes().replace(b"\r\n", b"\n") for path in disk.folder.rglob("new/*")]
    assert len(texts) == MESSAGES + 1
    assert all(ODD.replace("\r\n", "\n").encode() in text for text in texts)


def _exchange(folder: Path, key: str, port: int) -> None:
    """Mail for people that the server knows, and for one that it does not know."""
    zone = Zone(DOMAIN, {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})
    with postroad(folder, zone, port) as server:
        with server.smtp() as client:
            for number in range(MESSAGES):
                client.sendmail("", [f"{number}@{DOMAIN}"], letter(f"number {number}", ODD))
        until(lambda: len(server.all("delivered")) == MESSAGES, f"{MESSAGES} deliveries")
        server.send(letter("half", ODD), f"nobody@{DOMAIN}", f"1@{DOMAIN}", sender="")
        assert server.wait_for("delivered", to=f"1@{DOMAIN}")
        if key in REFUSAL:
            assert server.wait_for("failed", to=f"nobody@{DOMAIN}")["reply"].startswith(REFUSAL[key])
        else:  # it looks the recipient up once it has taken the message
            assert server.wait_for("delivered", to=f"nobody@{DOMAIN}")
        assert server.all("deferred") == server.all("bug") == []


# -- smtp-sink

SINK = {
    "takes everything": ([], "delivered", ""),
    "refuses recipients": (["-f", "rcpt", "-B", "550 5.1.1 Nobody"], "failed", "5.1.1"),
    "refuses senders": (["-f", "mail"], "failed", "5.3.0"),
    "refuses DATA": (["-f", "data"], "failed", "5.3.0"),
    "refuses content": (["-f", "."], "failed", "5.3.0"),
    "refuses us": (["-f", "connect"], "deferred", "4.3.0"),
    "refuses EHLO": (["-f", "ehlo"], "delivered", ""),
    "puts recipients off": (["-r", "rcpt", "-b", "452 4.2.2 Full"], "deferred", "4.2.2"),
    "puts senders off": (["-r", "mail"], "deferred", "4.3.0"),
    "puts content off": (["-r", "."], "deferred", "4.3.0"),
    "hangs up at MAIL": (["-q", "mail"], "deferred", "4.4.2"),
    "hangs up at RCPT": (["-q", "rcpt"], "deferred", "4.4.2"),
    "hangs up at DATA": (["-q", "data"], "deferred", "4.4.2"),
    "hangs up at the end": (["-q", "."], "deferred", "4.4.2"),
    "hangs up at once": (["-q", "connect"], "deferred", "4.4.2"),
    "says 421 to MAIL": (["-Q", "mail"], "deferred", "4.0.0"),
    "says 421 at the end": (["-Q", "."], "deferred", "4.0.0"),
    "breaks off in the content": (["-A", "0"], "failed", "5.0.0"),
    "knows HELO alone": (["-e"], "delivered", ""),
    "does not pipeline": (["-p"], "delivered", ""),
    "has no 8BITMIME": (["-8"], "delivered", ""),
}
"""Options of smtp-sink(1), the event that comes of them, and its code."""


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    """A server whose mail goes to sinks, each at an address of its own and with a domain of its own."""
    port, zone = free_port(), Zone("sink.test")
    with ExitStack() as stack:
        for number, (options, _, _) in enumerate(SINK.values(), 1):
            address = f"127.0.9.{number}"
            zone.set(f"d{number}", "MX", f"10 m{number}")
            zone.set(f"m{number}", "A", address)
            stack.enter_context(_listening(address, port, options))
        yield stack.enter_context(postroad(tmp_path_factory.mktemp("sink"), zone, port))


@contextmanager
def _listening(address: str, port: int, options: Sequence[str]) -> Iterator[None]:
    """A sink, from the moment at which it can be connected to."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [path_of("smtp-sink"), "-4", *user, *options, f"inet:{address}:{port}", "100"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: process.poll() is not None or _connects(address, port), f"smtp-sink {options} to listen")
            yield
        finally:
            process.terminate()


def _connects(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


@needs("smtp-sink")
@pytest.mark.parametrize("name", SINK)
def test_a_sink_that(sink: Postroad, name: str) -> None:
    _, event, code = SINK[name]
    recipient = f"bob@d{[*SINK].index(name) + 1}.sink.test"
    sink.send(letter(name), recipient, sender="")
    assert sink.wait_for(event, to=recipient).get("code", "") == code
