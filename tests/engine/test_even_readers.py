"""Connections of a running server, shared among its readers."""

import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support.server import PATIENCE, Postroad, until


def _connections(pid: int, port: int) -> int:
    """How many the process has open that came to the port."""
    found = set[str]()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return sum(f"socket:[{row[9]}]" in found for row in own)


def test_a_few_connections_do_not_all_come_to_one_process(tmp_path: Path) -> None:
    settings = {"listen": {"imap": "127.0.0.1:0"}, "mailboxes": {"readers": 2}}
    with Postroad(tmp_path, settings) as server, ExitStack() as stack:
        port = server.ports["imap"]
        for _ in range(6):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            assert client.recv(1000).startswith(b"* OK"), "it is counted before it is said"
        readers = [pid for name, pid in server.workers().items() if name.startswith("readers-")]
        # Who has handed one over may not have closed it yet.
        until(lambda: [_connections(pid, port) for pid in readers] == [3, 3], "an even share")
