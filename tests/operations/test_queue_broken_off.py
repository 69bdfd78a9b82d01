"""An operator who breaks an order off: each message is done or as it was, and it is said how many are done."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from engine.operations.orders import TOGETHER
from tests.support.queued import fill
from tests.support.server import ROOT, Postroad, until

MESSAGES = 20_000


def test_an_order_that_is_broken_off(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    fill(tmp_path / "var", MESSAGES)
    before = _count(server, "held")
    command = [sys.executable, "-m", "engine", "--config", str(server.config), "queue", "hold", "--all", "--yes"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as popen:
        until(lambda: _count(server, "held") > before or popen.poll() is not None, "some to be held")
        popen.send_signal(signal.SIGINT)
        popen.wait()
    said = log.read_text().splitlines()[-1]
    held = _count(server, "held") - before
    if popen.returncode:  # else it was done sooner
        found = re.fullmatch(
            r"postroad: broken off: ([\d,]+) of [\d,]+ messages held"
            r"(?:, and up to ([\d,]+) more, which were not answered for)?; the others are as they were",
            said,
        )
        assert found, said
        done, perhaps = (int((number or "0").replace(",", "")) for number in found.groups())
        assert done <= held <= done + perhaps <= done + TOGETHER
    assert _count(server, "waiting") + _count(server, "held") + _count(server, "quarantined") == MESSAGES
    assert "no contradiction" in server.command("queue", "verify").stdout


def _count(server: Postroad, state: str) -> int:
    done = server.command("queue", "list", "--count", "--json", f"state == '{state}'")
    assert done.returncode == 0, done.stderr
    found: int = json.loads(done.stdout)["messages"]
    return found
