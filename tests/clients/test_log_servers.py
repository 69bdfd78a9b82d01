"""Our events in a real syslog server, by its socket and by UDP."""

import json
from pathlib import Path

import pytest

from tests.support.programs import needs
from tests.support.rsyslog import rsyslog
from tests.support.server import Postroad, free_port, until, whole_lines

BOB = "bob@example.org"


@needs("rsyslogd")
@pytest.mark.parametrize("way", ["socket", "udp"])
def test_rsyslog_understands_us(tmp_path: Path, way: str) -> None:
    folder, port = tmp_path / "rsyslog", free_port()
    with rsyslog(folder, port):
        place = str(folder / "log") if way == "socket" else f"udp:127.0.0.1:{port}"
        with Postroad(tmp_path / "server", {"log": {"syslog": place}}) as server:
            server.account(BOB)
            server.send(b"Subject: hello\r\n\r\ntext\r\n", BOB, sender="ann@example.net")
            server.wait_for("delivered")

            def told() -> list[str]:
                return [one for one in whole_lines(folder / "messages") if '"event":"delivered"' in one]

            (line,) = until(told, "the event")
            head, _, event = line.partition("{")
            assert head.split() == ["mail.info", "postroad"]
            assert json.loads("{" + event)["to"] == BOB
