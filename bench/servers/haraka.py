"""Haraka from npm: as it comes, which is one process, and as a cluster with a worker for each core.

Set for a private instance: the address it listens on, and a plugin in place of the example's, which takes all mail in
as mail to be relayed, has no name looked up for the client, and names the next server. TLS to the next server is off,
and that server may be on this machine. It has no delivery to a mailbox of its own.

Before its 250 it has synced the queue file under a name for the time being and renamed it; it does not sync the folder.
Should the power go before the file system has written the new name, the file is there under the old one.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.packages import HOW, PEERS
from bench.servers.base import HOST, Running, Task, answering, free_port, program, said, written
from bench.usage import opened

_HOME = PEERS / "haraka" / "node_modules" / "Haraka"

_NODE = 20
"""The oldest Node.js that Haraka names (package.json)."""

_PLUGIN = """\
exports.hook_lookup_rdns = (next) => next(OK, 'localhost')
exports.hook_connect = (next, connection) => { connection.relaying = true; next() }
exports.hook_rcpt = (next) => next(OK)
exports.hook_get_mx = (next) => next(OK, [{ priority: 0, exchange: '127.0.0.1', port: %d }])
"""


@dataclass(frozen=True, slots=True)
class Haraka:
    """A private instance of Haraka."""

    name: str
    key: str
    cluster: bool
    durability: str = "content synced before 250, its name in the queue not"
    workloads: frozenset[str] = frozenset({"accept", "relay"})

    def missing(self) -> str | None:
        node = program("node")
        if node is None:
            return f"node not found: apt install nodejs npm ({_NODE} or later), then {HOW}"
        if int(said(node, "--version").lstrip("v").split(".")[0]) < _NODE:
            return f"Haraka needs Node.js {_NODE} or later, and {node} is {said(node, '--version')}"
        return None if _HOME.is_dir() else f"Haraka not found: {HOW}"

    def version(self) -> str:
        package = json.loads((_HOME / "package.json").read_text())
        return f"Haraka {package['version']} on Node.js {said(program('node') or 'node', '--version').lstrip('v')}"

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        port = free_port()
        self._configured(task, port)
        log = task.folder / "haraka.log"
        async with opened(self.key, task.environment) as group:
            with log.open("wb") as writing:
                command = [program("node") or "node", str(_HOME / "bin" / "haraka"), "-c", str(task.folder)]
                await group.open(command, stdout=writing, stderr=writing)
            await answering(port, self.name, log=log)
            yield Running(port, group, queued=partial(_queued, task.folder / "queue"))

    def _configured(self, task: Task, port: int) -> None:
        config = task.folder / "config"
        shutil.copytree(_HOME / "config", config)
        (task.folder / "queue").mkdir()
        written(task.folder / "plugins" / "bench.js", _PLUGIN % (task.next_hop or 9))
        written(config / "plugins", "bench\n")
        written(config / "me", f"mx.{task.domain}\n")
        written(config / "smtp.ini", f"listen={HOST}:{port}\n{'nodes=cpus' if self.cluster else ''}\n")
        hold = "true" if task.workload == "accept" else "false"
        written(config / "outbound.ini", f"enable_tls=false\nlocal_mx_ok=true\ndisabled={hold}\n")


def _queued(queue: Path) -> int:
    """A file for each message, beside those that are still being written."""
    return sum(not name.startswith("__tmp__") for name in os.listdir(queue))


SERVERS = (
    Haraka("Haraka", "haraka", cluster=False),
    Haraka("Haraka, a worker for each core", "haraka-cluster", cluster=True),
)
