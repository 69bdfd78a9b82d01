"""Milters to ask: real ones in a folder of their own, and one over libmilter that does what a script says."""

import contextlib
import functools
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import path_of, run
from tests.support.server import until

_SOURCE = Path(__file__).with_name("scripted_milter.c")


class Running:
    """A milter that runs, at ``connect``; ``log`` is what it writes."""

    def __init__(self, command: list[str], socket: Path, log: Path) -> None:
        self.connect = f"unix:{socket}"
        self.log = log
        self._command = command
        self._socket = socket
        self.start()

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        with self.log.with_suffix(".noise").open("a") as noise:
            self._popen = subprocess.Popen(self._command, stdout=noise, stderr=noise)
        until(lambda: self._popen.poll() is not None or _listens(self._socket), f"{self._command[0]} to listen")
        assert self._popen.poll() is None, self.log.with_suffix(".noise").read_text()

    def send(self, number: int) -> None:
        self._popen.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        self._popen.wait()

    def said(self) -> list[str]:
        """The lines that it has written."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def _listens(path: Path) -> bool:
    """Whether somebody accepts connections there; to connect would show in what the milter writes."""
    accepting = "00010000"
    lines = map(str.split, Path("/proc/net/unix").read_text().splitlines())
    return any(line[3] == accepting and line[-1] == str(path) for line in lines)


@contextlib.contextmanager
def running(command: list[str], socket: Path, log: Path, *, end: int = signal.SIGKILL) -> Iterator[Running]:
    """``end``: the signal that ends it; SIGTERM for one that has children."""
    milter = Running(command, socket, log)
    try:
        yield milter
    finally:
        milter.end(end)


@functools.cache
def _scripted() -> str:
    path = Path(tempfile.mkdtemp(prefix="milter")) / "scripted"
    run("cc", "-O2", "-Wall", "-Werror", "-o", str(path), str(_SOURCE), "-lmilter", "-lpthread")
    return str(path)


@contextlib.contextmanager
def scripted(folder: Path, script: str = "", *, log: bool = True) -> Iterator[Running]:
    """See scripted_milter.c."""
    socket, written = folder / "scripted.sock", folder / "scripted.log"
    (folder / "script").write_text(script)
    command = [_scripted(), f"unix:{socket}", str(folder / "script"), str(written if log else "/dev/null")]
    with running(command, socket, written) as milter:
        yield milter


@contextlib.contextmanager
def opendkim(folder: Path, **settings: object) -> Iterator[Running]:
    """opendkim with these settings beside those that every test needs."""
    socket = folder / "opendkim.sock"
    usual = {"Socket": f"local:{socket}", "Background": "no", "Syslog": "no", "UMask": "000", "RequireSafeKeys": "no"}
    conf = folder / "opendkim.conf"
    conf.write_text("".join(f"{name} {value}\n" for name, value in {**usual, **settings}.items()))
    with running([path_of("opendkim"), "-f", "-x", str(conf)], socket, folder / "opendkim.log") as milter:
        yield milter


_RSPAMD = """\
options {{
  pidfile = "{folder}/rspamd.pid"; tempdir = "{folder}"; hs_cache_dir = "{folder}"; filters = "";
  url_tld = "{folder}/domains";  # the whole list takes a minute to compile
  control_socket = "{folder}/control.sock mode=0600";
  dns {{ nameserver = "127.0.0.1:9"; timeout = 10ms; retransmits = 1; }}
  local_addrs = [];
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
lua = "{folder}/rules.lua";
worker "rspamd_proxy" {{
  bind_socket = "{folder}/rspamd.sock mode=0666"; milter = yes; timeout = 30s; count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""


@contextlib.contextmanager
def rspamd(folder: Path) -> Iterator[Running]:
    """rspamd's proxy as a milter, which scans by itself, without rules but the one for GTUBE."""
    (folder / "domains").write_text("com\ntest\n")
    (folder / "rules.lua").write_text("")
    conf = folder / "rspamd.conf"
    conf.write_text(_RSPAMD.format(folder=folder))
    command = [path_of("rspamd"), "--no-fork", "--insecure", "--config", str(conf)]
    with running(command, folder / "rspamd.sock", folder / "rspamd.log", end=signal.SIGTERM) as milter:
        yield milter


@contextlib.contextmanager
def clamav(folder: Path, virus: bytes) -> Iterator[Running]:
    """clamav-milter with a clamd that knows one virus, which has these octets; infected mail is refused."""
    (folder / "signatures").mkdir()
    (folder / "signatures" / "test.ndb").write_text(f"Test.Virus:0:*:{virus.hex()}\n")
    clamd, conf = folder / "clamd.conf", folder / "clamav-milter.conf"
    clamd.write_text(
        f"LocalSocket {folder}/clamd.sock\nDatabaseDirectory {folder}/signatures\nTemporaryDirectory {folder}\n"
        f"LogFile {folder}/clamd.log\nForeground yes\nMaxThreads 4\n"
    )
    conf.write_text(
        f"MilterSocket {folder}/clamav-milter.sock\nClamdSocket unix:{folder}/clamd.sock\nForeground yes\n"
        f"LogFile {folder}/clamav-milter.log\nOnInfected Reject\nRejectMsg Infected by %v\nAddHeader Replace\n"
        f"TemporaryDirectory {folder}\n"
    )
    scanner = [path_of("clamd"), "-c", str(clamd)]
    command = [path_of("clamav-milter"), "-c", str(conf)]
    with (
        running(scanner, folder / "clamd.sock", folder / "clamd.log"),
        running(command, folder / "clamav-milter.sock", folder / "clamav-milter.log") as milter,
    ):
        yield milter


@contextlib.contextmanager
def opendmarc(folder: Path) -> Iterator[Running]:
    socket = folder / "opendmarc.sock"
    conf = folder / "opendmarc.conf"
    conf.write_text(
        f"Socket local:{socket}\nBackground false\nSyslog false\nUMask 000\nAuthservID mx.example.org\n"
        "SPFIgnoreResults true\nSPFSelfValidate false\n"
    )
    with running([path_of("opendmarc"), "-f", "-c", str(conf)], socket, folder / "opendmarc.log") as milter:
        yield milter


@contextlib.contextmanager
def spamassassin(folder: Path) -> Iterator[Running]:
    """spamass-milter with a spamd that asks nobody; it changes no body, and refuses what has 15 points."""
    spamd = ["spamd", "--local", "--nouser-config", f"--socketpath={folder}/spamd.sock", "--max-children=1"]
    milter_socket = folder / "spamass-milter.sock"
    command = [
        path_of("spamass-milter"),
        "-m",
        "-r",
        "15",
        "-p",
        str(milter_socket),
        "--",
        "-U",
        f"{folder}/spamd.sock",
    ]
    with (
        running([path_of(spamd[0]), *spamd[1:]], folder / "spamd.sock", folder / "spamd.log", end=signal.SIGTERM),
        running(command, milter_socket, folder / "spamass-milter.log") as milter,
    ):
        yield milter
