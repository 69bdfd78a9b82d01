"""rspamd and ClamAV as the benchmarks start them: private instances that every server asks, each in its own way."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench import Failed, usage
from bench.servers.base import HOST, absent, free_port, program, written

_PATIENCE = 300.0
"""Seconds until they must listen: rspamd compiles its expressions first, if nobody has."""

# As Debian ships it, with the DNS of the benchmark, and the workers that are asked: by HTTP, and as a milter that scans
# by itself, which is how its manual has Postfix use it. A process for each core, whoever asks.
_RSPAMD = {
    "options.inc": 'dns {{ nameserver = ["{dns}"]; }}\nhs_cache_dir = "{compiled}";\n',
    "fuzzy_check.conf": "enabled = false;\n",  # asks servers in the network
    "logging.inc": 'level = "error";\n',
    "worker-normal.inc": 'bind_socket = "{host}:{http}";\ncount = 2;\n',
    "worker-controller.inc": 'bind_socket = "{host}:{controller}";\n',
    "worker-proxy.inc": 'bind_socket = "{host}:{milter}";\nmilter = yes;\ncount = 2;\n'
    'upstream "local" {{ default = yes; self_scan = yes; }}\n',
}  # fmt: skip

_CLAMD = """\
Foreground yes
LocalSocket {folder}/clamd
LocalSocketMode 666
DatabaseDirectory {folder}/signatures
MaxThreads 4
"""

_CLAMAV_MILTER = """\
Foreground yes
MilterSocket inet:{milter}@{host}
ClamdSocket unix:{folder}/clamd
OnInfected Reject
"""

_SIGNATURES = "Eicar-Test-Signature:0:*:" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE".hex() + "\n"
"""A database of one signature, for files of any kind: the real one cannot be had without a download."""


@dataclass(frozen=True, slots=True)
class Scanners:
    """Where they listen, on 127.0.0.1."""

    rspamd: int  # port of its HTTP
    rspamd_milter: int
    clamd: Path  # socket
    clamav_milter: int
    group: usage.Group

    def as_milters(self) -> tuple[str, ...]:
        """As Postfix names them."""
        return f"inet:{HOST}:{self.rspamd_milter}", f"inet:{HOST}:{self.clamav_milter}"


def missing() -> str | None:
    """What scanning cannot do without."""
    return (
        absent(("rspamd",), "rspamd")
        or absent(("clamd",), "clamav-daemon")
        or absent(("clamav-milter",), "clamav-milter")
    )


@asynccontextmanager
async def scanners(folder: Path, dns: str) -> AsyncIterator[Scanners]:
    """Both, and clamav-milter. ``dns``: address of the server that rspamd asks, port 53. Failed."""
    ports = {name: free_port() for name in ("http", "controller", "milter", "clamav")}
    log = folder / "scanners.log"
    async with usage.opened("scanners") as group:
        with log.open("wb") as writing:
            for command in (_rspamd(folder, dns, ports), *_clamav(folder, ports["clamav"])):
                await group.open(command, stdout=writing, stderr=writing)
        for port in (ports["http"], ports["milter"], ports["clamav"]):
            await _listening(port, log)
        yield Scanners(ports["http"], ports["milter"], folder / "clamd", ports["clamav"], group)


def _rspamd(folder: Path, dns: str, ports: dict[str, int]) -> list[str]:
    for name, text in _RSPAMD.items():
        written(folder / "rspamd" / "local.d" / name, text.format(host=HOST, dns=dns, compiled=_compiled(), **ports))
    shutil.chown(folder / "rspamd", "_rspamd", "_rspamd")
    places = {"LOCAL_CONFDIR": "rspamd", "DBDIR": "rspamd", "RUNDIR": "rspamd", "LOGDIR": "rspamd"}
    command = [program("rspamd") or "rspamd", "--no-fork", "--user", "_rspamd", "--group", "_rspamd"]
    return [*command, *(f"--var={name}={folder / place}" for name, place in places.items())]


@functools.cache
def _compiled() -> str:
    """A folder for compiled expressions, for all starts of this process: to compile them takes rspamd half a minute."""
    folder = tempfile.mkdtemp(prefix="rspamd-")
    shutil.chown(folder, "_rspamd", "_rspamd")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _clamav(folder: Path, port: int) -> list[list[str]]:
    written(folder / "signatures" / "test.ndb", _SIGNATURES)
    commands = []
    for name, text in (("clamd", _CLAMD), ("clamav-milter", _CLAMAV_MILTER)):
        config = written(folder / f"{name}.conf", text.format(folder=folder, host=HOST, milter=port))
        commands.append([program(name) or name, "--config-file", str(config)])
    return commands


async def _listening(port: int, log: Path) -> None:
    with trio.move_on_after(_PATIENCE):
        while True:
            try:
                await (await trio.open_tcp_stream(HOST, port)).aclose()
            except OSError:
                await trio.sleep(0.05)
            else:
                return
    raise Failed(f"a scanner does not listen on port {port}: {log.read_text(errors='replace').strip()[-500:]}")
