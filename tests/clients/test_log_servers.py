"""Our events in a real syslog server, by its socket and by UDP."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.programs import needs
from tests.support.server import Postroad, until

BOB = "bob@example.org"

CONFIGURATION = """
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
input(type="imuxsock" Socket="{folder}/log")
input(type="imudp" address="127.0.0.1" port="{port}")
template(name="whole" type="list") {{
  property(name="syslogfacility-text") constant(value=".") property(name="syslogseverity-text")
  constant(value=" ") property(name="programname") constant(value=" ") property(name="msg") constant(value="\\n")
}}
action(type="omfile" file="{folder}/messages" template="whole")
"""


@contextmanager
def rsyslog(folder: Path, port: int) -> Iterator[None]:
    """One of our own, on a socket and a port of its own."""
    folder.mkdir()
    (folder / "rsyslog.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    command = ["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    process = subprocess.Popen(command)
    try:
        until((folder / "log").exists, "rsyslog's socket")
        yield
    finally:
        process.terminate()
        process.wait(30)


@needs("rsyslogd")
@pytest.mark.parametrize("way", ["socket", "udp"])
def test_rsyslog_understands_us(tmp_path: Path, way: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "rsyslog"
    with rsyslog(folder, port):
        place = str(folder / "log") if way == "socket" else f"udp:127.0.0.1:{port}"
        with Postroad(tmp_path / "server", {"log": {"syslog": place}}) as server:
            server.account(BOB)
            server.send(b"Subject: hello\r\n\r\ntext\r\n", BOB, sender="ann@example.net")
            server.wait_for("delivered")
            messages = folder / "messages"
            until(lambda: messages.exists() and '"event":"delivered"' in messages.read_text(), "the event")
            (line,) = [one for one in messages.read_text().splitlines() if '"event":"delivered"' in one]
            head, _, event = line.partition("{")
            assert head.split() == ["mail.info", "postroad"]
            assert json.loads("{" + event)["to"] == BOB
