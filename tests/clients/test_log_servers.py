"""Our events in a real syslog server, by its socket and by UDP."""

import json
import socket
from pathlib import Path

import pytest

from tests.support.programs import needs
from tests.support.rsyslog import rsyslog
from tests.support.server import Postroad, until

BOB = "bob@example.org"


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
