"""Postroad, under the repository's pipeline.toml: other ports and folders, and what the workload itself says."""

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lmdb
import trio

from bench import Failed
from bench.servers.base import HOST, SELECTOR, SOURCE, Running, Task, numbered, program, said, written
from bench.usage import opened
from engine.directory import Embedded
from engine.net.zone import Zone, serve_zone

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent  # of the repository, or where packages are installed
FILES = PACKAGE / "files" if (PACKAGE / "files").is_dir() else ROOT
"""Where pipeline.toml and filters/ are: an installed copy has them beside the benchmarks."""

COMPILED = ROOT / "build" / "compiled"
"""Where `make bench-compiled` unpacks a compiled build of this source."""


@dataclass(frozen=True, slots=True)
class Postroad:
    """An instance under the shipped configuration. ``changes`` go on top of what the workload changes."""

    name: str = "Postroad"
    key: str = "postroad"
    durability: str = "synced before 250"
    workloads: frozenset[str] = frozenset(
        {
            "accept",
            "relay",
            "relay-tls",
            "relay-signed",
            "relay-history",
            "relay-tap",
            "queue",
            "deliver",
            "inbound",
            "scanned",
            "backlog",
            "fairness",
            "read",
            "mailbox",
        }
    )
    changes: Mapping[str, Any] = field(default_factory=dict)  # place in pipeline.toml → value: {"queue.in_flight": 0}
    zones: tuple[Zone, ...] = ()  # the DNS that it sees; empty: the domain of the task, at its next hop
    root: Path = ROOT  # of its packages

    def missing(self) -> str | None:
        if self.root == ROOT or _same(ROOT / "engine", self.root / "engine"):
            return None
        return "no compiled build of this source: make bench-compiled"

    def version(self) -> str:
        commit = ""
        if FILES == ROOT and program("git"):
            commit = said("git", "-C", str(ROOT), "describe", "--always", "--dirty")
        return f"Postroad {version('postroad')}{f' ({commit})' if commit else ''}"

    @asynccontextmanager
    async def start(self, task: Task) -> AsyncIterator[Running]:
        async with AsyncExitStack() as stack:
            changes = _of_workload(task)
            if task.next_hop is not None or self.zones:
                nursery = await stack.enter_async_context(trio.open_nursery())
                stack.callback(nursery.cancel_scope.cancel)
                changes["dns.servers"] = [await nursery.start(serve_zone, *(self.zones or (zone(task.domain),)))]
            if task.local:
                _users(task)
            if task.signed and task.keys is not None:
                signing = task.folder / "var" / "dkim" / SOURCE / "signing" / f"{SELECTOR}.pem"
                written(signing, task.keys.dkim.read_text()).chmod(0o600)
            config = written(task.folder / "pipeline.toml", pipeline({**changes, **self.changes}))
            if not (task.folder / "filters").exists():
                shutil.copytree(FILES / "filters", task.folder / "filters")
            group = await stack.enter_async_context(opened(self.key, task.environment))
            log = task.folder / "log"
            begun = trio.current_time()
            with log.open("ab") as writing:
                process = await group.open(
                    [sys.executable, "-m", "engine", "run", "--config", str(config)],
                    cwd=self.root, stdout=subprocess.PIPE, stderr=writing,
                )  # fmt: skip
            ports = await _ready(process, log)
            ready = trio.current_time() - begun
            delivered = stack.enter_context(_delivered(task.folder)) if task.local else None
            queued = stack.enter_context(_queued(task.folder))
            yield Running(
                ports["smtp"], group, delivered, queued, ports.get("pop3"), ports.get("imap"), ports.get("lmtp"), ready,
                ports.get("web"),
            )  # fmt: skip
            await _stopped(process)
        bugs = [line for line in log.read_text().splitlines() if '"event":"bug"' in line]
        if bugs:
            raise Failed(f"{len(bugs)} bugs in the log, the first, by its end: {bugs[0][-1500:]}")


def _same(source: Path, build: Path) -> bool:
    """Whether a build has the same source, and more."""
    ours = {path.relative_to(source): path.read_bytes() for path in source.rglob("*.py")}
    theirs = {path.relative_to(build): path.read_bytes() for path in build.rglob("*.py")}
    return ours == theirs and any(build.rglob("*.so"))


# -- configuration


def pipeline(changes: Mapping[str, Any]) -> str:
    """The text of the shipped pipeline.toml with these changes, like {"queue.in_flight": 0}; None takes one out."""
    config = tomllib.loads((FILES / "pipeline.toml").read_text())
    for place, value in changes.items():
        *tables, key = place.split(".")
        table = config
        for name in tables:
            table = table.setdefault(name, {})
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return "".join(_toml(config, ""))


def _toml(table: Mapping[str, Any], name: str) -> Iterator[str]:
    """A table as text. Numbers, texts and lists of them are written in JSON as they are in TOML."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    repeated = {
        key: value for key, value in table.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    for key, value in table.items():
        if key not in inner and key not in repeated:
            yield f"{key} = {json.dumps(value)}\n"
    for key, value in inner.items():
        yield f"\n[{name}{key}]\n"
        yield from _toml(value, f"{name}{key}.")
    for key, tables in repeated.items():
        for one in tables:
            yield f"\n[[{name}{key}]]\n"
            yield from _toml(one, f"{name}{key}.")


def _of_workload(task: Task) -> dict[str, Any]:
    """Ports, the folder, and what the workload itself says about the configuration."""
    shipped = tomllib.loads((FILES / "pipeline.toml").read_text())
    changes: dict[str, Any] = {f"listen.{name}": f"{HOST}:0" for name in shipped["listen"]}
    changes["server.data"] = str(task.folder / "var")
    if task.workload == "accept":
        changes["queue.in_flight"] = 0  # all mail stays
    if task.next_hop is not None:
        changes |= {"stage.resolve.port": task.next_hop, "stage.relay.allow_networks": [f"{HOST}/32"]}
    if task.keys is not None:
        changes["tls"] = {"certificate": str(task.keys.certificate), "key": str(task.keys.key)}
        changes["stage.relay.tls"] = "require"
    if task.local or task.workload in ("read", "mailbox"):
        changes["domains.local"] = [task.domain]
    if task.workload == "mailbox":  # mail is handed in by LMTP, as it is to the others
        changes |= {
            "listen.lmtp": f"{HOST}:0",
            "lane.handed_in": {"listen": ["lmtp"], "stages": ["lmtp_accept", "queue", "route"]},
            "stage.lmtp_accept": {"use": "stages.accept", "protocol": "lmtp"},
        }
    if task.dns is not None:  # the lane as shipped, with what waits there in comments, and none but their scanners
        scan = ["scan"] if task.scanners else []
        changes |= {
            "lane.inbound.stages": ["accept", "authenticate", *scan, "needs_subject", "tag_external", "queue", "route"],
            "stage.authenticate.dmarc": "apply",
            "dns.servers": [f"{task.dns}:53"],
            "stage.scan": None,
            "stage.needs_subject.use": "filters/needs_subject.py",
            "stage.accept.relay_networks": [],  # mail from loopback counts as mail from outside
        }
    if task.scanners is not None:
        changes["stage.scan"] = {
            "rspamd": {"url": f"http://{HOST}:{task.scanners.rspamd}"},
            "clamav": {"socket": str(task.scanners.clamd)},
        }
    return changes


def zone(domain: str) -> Zone:
    """The DNS of a domain whose mail host is here."""
    return Zone(domain, {"@": {"MX": "10 mx"}, "mx": {"A": HOST}})


# -- users


def _users(task: Task) -> None:
    """An account for each user, and an alias for each number."""
    written(task.folder / "var" / "directory" / "data.mdb", "").write_bytes(_directory(task.domain, task.users))


@functools.cache
def _directory(domain: str, users: int) -> bytes:
    """The store of such a directory, made once. In memory where that can be: each of its changes is synced alone."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        path = Path(name) / "directory"
        with Embedded.open(path, [domain]) as directory:
            for number in range(users):
                directory.add_account(f"u{number:02d}@{domain}")
            for local, mailbox in numbered(users):
                directory.add_alias(f"{local}@{domain}", [f"{mailbox}@{domain}"])
        return (path / "data.mdb").read_bytes()


# -- what its stores hold: figures of their roots, read without touching what they hold


@contextmanager
def _delivered(folder: Path) -> Iterator[Callable[[], int]]:
    with _entries(folder / "var" / "mailbox", b"message") as count:
        yield count


@contextmanager
def _queued(folder: Path) -> Iterator[Callable[[], int]]:
    with ExitStack() as stack:
        shards = sorted(path.parent for path in (folder / "var" / "queue").glob("*/data.mdb"))
        counts = [stack.enter_context(_entries(shard, b"envelopes")) for shard in shards]
        yield lambda: sum(count() for count in counts)


@contextmanager
def _entries(store: Path, name: bytes) -> Iterator[Callable[[], int]]:
    """How many entries a database has now."""
    size = 2**40  # of address space: a map smaller than the store is an error
    with lmdb.open(str(store), map_size=size, readonly=True, create=False, max_dbs=64) as environment:
        database = environment.open_db(name, create=False)

        def count() -> int:
            with environment.begin(database) as transaction:
                return int(transaction.stat(database)["entries"])

        yield count


# -- the process


async def _ready(process: trio.Process, log: Path) -> Mapping[str, int]:
    """The port of each listener, once it listens."""
    announced = b""
    assert process.stdout is not None
    with trio.move_on_after(120):  # a large queue is read first
        while b"\n" not in announced and (octets := await process.stdout.receive_some()):
            announced += octets
    if not announced.startswith(b"ready "):
        raise Failed(f"Postroad does not start: {log.read_text(errors='replace').strip()[-1000:]}")
    return {name: int(port) for name, port in re.findall(r" (\w+)=\S+:(\d+)", announced.decode())}


async def _stopped(process: trio.Process) -> None:
    """Asked to stop, and a second time: then it no longer waits for what is under way."""
    for patience in (2, 20):
        process.terminate()
        with trio.move_on_after(patience):
            await process.wait()
            return


SERVERS = (
    Postroad(),
    Postroad(
        name="Postroad, compiled",
        key="postroad@compiled",
        workloads=frozenset({"accept", "relay", "deliver", "inbound"}),
        root=COMPILED,
    ),
)
