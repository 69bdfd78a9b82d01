"""The two servers of the demo: a.example, where the messages start, and b.example, with the DNS zone of both."""

import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from engine.cli.demo.ways import Journal
from engine.directory import Embedded
from engine.net.zone import Zone, serve_zone

HOST = "127.0.0.1"

ZONE = {
    "a": {"MX": "10 mx.a"},
    "mx.a": {"A": HOST},
    "b": {"MX": "10 mx.b"},
    "mx.b": {"A": HOST},
}
"""Both domains, below "example"."""

PIPELINE = """\
[server]
hostname = "mx.{domain}"
workers = 1

[domains]
local = ["{domain}"]

[listen]
smtp = "{host}:0"
pop3 = "{host}:0"

[dns]
servers = ["{dns}"]

[lane.inbound]
stages = ["accept", "tag_external", "queue", "route"]

[lane.local]
stages = ["enqueue"]

[lane.remote]
stages = ["resolve", "relay"]

[[route]]
to = "local"
lane = "local"

[[route]]
to = "*"
lane = "remote"

[stage.accept]
relay_networks = [{trusted}]

[stage.tag_external]
use = "tag_external.py"

[stage.resolve]
port = {port}

[stage.relay]
allow_networks = ["{host}/32"]
"""

FILTER = '''\
"""Mark mail that comes from outside."""

from engine import Message, Verdict


async def tag_external(message: Message) -> Verdict:
    return message if message.session.trusted else message.with_header("X-External", "yes")
'''


class NotStarted(Exception):
    """A server that did not come up; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Site:
    """One running server."""

    domain: str
    dns: str  # address of the DNS server that it asks
    smtp: int
    pop3: int
    people: Mapping[str, str]  # address → password


@asynccontextmanager
async def two_sites(folder: Path, journal: Journal, busy: Callable[[str], None]) -> AsyncIterator[tuple[Site, Site]]:
    """Both servers, for as long as the body runs; their events go to the journal. NotStarted."""
    async with trio.open_nursery() as nursery:
        dns = await nursery.start(serve_zone, Zone("example", ZONE))
        try:
            busy("Starting b.example")
            there = await _start(nursery, journal, _Plan(folder / "b.example", ("bert",), dns))
            busy("Starting a.example")
            plan = _Plan(folder / "a.example", ("anna", "carl"), dns, next_port=there.smtp, trusted=f'"{HOST}/32"')
            yield await _start(nursery, journal, plan), there
        finally:
            nursery.cancel_scope.cancel()  # ends the servers


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a server is made from. Its folder is named after its domain."""

    folder: Path
    names: tuple[str, ...]
    dns: str
    next_port: int = 25  # where other servers listen
    trusted: str = ""  # networks that may send to any domain: b.example takes mail for itself only


async def _start(nursery: trio.Nursery, journal: Journal, plan: _Plan) -> Site:
    folder, domain = plan.folder, plan.folder.name
    folder.mkdir()
    config = folder / "pipeline.toml"
    config.write_text(
        PIPELINE.format(domain=domain, host=HOST, dns=plan.dns, port=plan.next_port, trusted=plan.trusted)
    )
    (folder / "tag_external.py").write_text(FILTER)
    people = {f"{name}@{domain}": secrets.token_urlsafe(12) for name in plan.names}
    await trio.to_thread.run_sync(_add_accounts, folder / "var", domain, people)
    ports = await nursery.start(_serve, config, domain, journal)
    return Site(domain, plan.dns, ports["smtp"], ports["pop3"], people)


def _add_accounts(data: Path, domain: str, people: Mapping[str, str]) -> None:
    data.mkdir(mode=0o700)
    with Embedded.open(data / "directory", [domain]) as directory:
        for address, password in people.items():
            directory.add_account(address, password)


async def _serve(config: Path, domain: str, journal: Journal, *, task_status: trio.TaskStatus[dict[str, int]]) -> None:
    """The command `postroad run`, until cancelled."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "engine", "run", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is ours: we end it
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, process.stderr, domain, journal)
            ready = await _first_line(process.stdout)
            found = {name: int(port) for name, port in re.findall(r"(\w+)=\S+?:(\d+)\b", ready)}
            if not ready.startswith("ready ") or found.keys() < {"smtp", "pop3"}:
                await trio.sleep(0.2)  # for its last words
                raise NotStarted(f"{domain} does not start: {journal.last or ready or 'it says nothing'}")
            task_status.started(found)
            await process.wait()
            raise NotStarted(f"{domain} has stopped: {journal.last}")
    finally:
        await _stop(process)


async def _first_line(stream: trio.abc.ReceiveStream) -> str:
    said = b""
    with trio.move_on_after(20):
        while b"\n" not in said and (octets := await stream.receive_some()):
            said += octets
    return said.decode(errors="replace")


async def _listen(stream: trio.abc.ReceiveStream, domain: str, journal: Journal) -> None:
    unfinished = b""
    async for octets in stream:
        *lines, unfinished = (unfinished + octets).split(b"\n")
        for line in lines:
            journal.note(domain, line)


async def _stop(process: trio.Process) -> None:
    """Let it finish what it has; it hurries when told again."""
    with trio.CancelScope(shield=True):
        for end in (process.terminate, process.terminate, process.kill):
            end()
            with trio.move_on_after(5):
                await process.wait()
                return
