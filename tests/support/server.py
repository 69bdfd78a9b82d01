"""A running server for tests: the real command with its real processes, in a folder of its own, on free ports."""

import contextlib
import copy
import json
import os
import poplib
import random
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bench.servers.base
from engine.directory import Embedded

ROOT = Path(__file__).parents[2]

PATIENCE = 120.0
"""Seconds after which a test stops waiting. Far more than anything takes, so that a busy machine fails no test."""

PASSWORD = "correct horse battery"

poplib._MAXLINE = 2**25  # type: ignore[attr-defined]  # messages of these tests have lines that poplib would refuse

Event = dict[str, Any]
Settings = Mapping[str, Any]

BASE: Settings = {
    "server": {"hostname": "mx.example.org", "workers": 2},
    "domains": {"local": ["example.org"]},
    "listen": {"smtp": "127.0.0.1:0", "pop3": "127.0.0.1:0"},
    "mailboxes": {"readers": 2},
    "lane": {
        "inbound": {"stages": ["accept", "queue", "route"]},
        "local": {"stages": ["enqueue"]},
        "remote": {"stages": ["resolve", "relay"]},
    },
    "route": [{"to": "local", "lane": "local"}, {"to": "*", "lane": "remote"}],
    "stage": {
        "accept": {"relay_networks": ["127.0.0.0/8"]},
        "relay": {"allow_networks": ["127.0.0.0/8"], "retry": ["1s"]},
    },
}
"""Two mail workers and two that serve readers, one local domain, and loopback clients that may relay."""


def merged(base: Settings, changes: Settings) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, table by table. A change to None takes the key away."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def toml(settings: Settings, place: str = "") -> str:
    """The settings as text. JSON writes strings, numbers and lists of them just as TOML does."""
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping) and not _tables(value)}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    for key, value in settings.items():
        name = f"{place}.{key}" if place else key
        if isinstance(value, Mapping):
            text += f"\n[{name}]\n{toml(value, name)}"
        elif _tables(value):
            text += "".join(f"\n[[{name}]]\n{toml(table, name)}" for table in value)
    return text


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until ``holds()`` gives something true, and return that. AssertionError with ``what`` otherwise."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")


class Postroad:
    """One server. ``settings`` are laid over BASE. Use it as a context manager: then nothing of it is left running."""

    def __init__(self, folder: Path, settings: Settings | None = None, **files: str) -> None:
        """``files``: operators' filters, name → source, put into ``filters/``."""
        self.folder = folder
        self.config = folder / "pipeline.toml"
        self.settings = merged(BASE, settings or {})
        self.events: list[Event] = []
        self.noise: list[str] = []  # lines on standard error that are no events
        self.ports: dict[str, int] = {}
        self.environment: dict[str, str] = {}  # beside our own, for the next start and for commands
        self.starter: tuple[str, ...] = ()  # a command that runs what stands behind it, as the same process
        self.passed: tuple[int, ...] = ()  # descriptors that the next start inherits
        self._heard = threading.Condition()
        self._popen: subprocess.Popen[str]
        (folder / "filters").mkdir(parents=True, exist_ok=True)
        for name, source in files.items():
            self.filter(name, source)
        self.write(toml(self.settings))

    # -- configuration

    def write(self, text: str) -> None:
        self.config.write_text(text)

    def change(self, changes: Settings) -> None:
        """Edit pipeline.toml. Nothing is in force before a start or a reload."""
        self.settings = merged(self.settings, changes)
        self.write(toml(self.settings))

    def filter(self, name: str, source: str) -> None:
        (self.folder / "filters" / f"{name}.py").write_text(source)

    def command(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command of `postroad` on this server's configuration."""
        return subprocess.run(
            [sys.executable, "-m", "engine", "--config", str(self.config), *arguments],
            input=stdin, capture_output=True, text=True, cwd=self.folder, env=_environment() | self.environment,
            timeout=300, check=False,
        )  # fmt: skip

    def account(self, *addresses: str) -> Self:
        """Add accounts, all with PASSWORD, in the way of `postroad account add`."""
        with Embedded.open(self.folder / "var" / "directory", self.settings["domains"]["local"]) as directory:
            for address in addresses:
                directory.add_account(address, PASSWORD)
        return self

    def reload(self) -> "subprocess.CompletedProcess[str]":
        return self.command("reload", "--timeout", "240")

    def queued(self) -> int:
        """How many messages are in its queue."""
        return int(json.loads(self.command("queue", "verify", "--json").stdout)["messages"])

    # -- life

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.running:
            self.kill()

    def start(self) -> Self:
        """Start, and wait for the ``ready`` line."""
        self.launch()
        return self.await_ready()

    def await_ready(self) -> Self:
        """Wait for the ``ready`` line of a server that was launched."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()  # ends in time: the process prints it or ends
        assert line.startswith("ready "), f"did not start: {line} {self.noise} {self.events}"
        for name, port in re.findall(r"(\w+)=\S+:(\d+)", line):
            self.ports[name] = int(port)
        return self

    def launch(self) -> "subprocess.Popen[str]":
        """Start, and do not wait."""
        self._popen = subprocess.Popen(
            [*self.starter, sys.executable, "-m", "engine", "--config", str(self.config), "run"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace",
            cwd=self.folder, env=_environment() | self.environment, pass_fds=self.passed,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._popen,), daemon=True).start()
        return self._popen

    @property
    def running(self) -> bool:
        return hasattr(self, "_popen") and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._popen.pid

    def workers(self) -> dict[str, int]:
        """The workers that live now: name → process id."""
        alive = set(_children(self.pid))
        with self._heard:
            started = [event for event in self.events if event["event"] == "worker-started"]
        return {event["worker"]: event["pid"] for event in started if event["pid"] in alive}

    def worker(self, name: str) -> int:
        """The pid of that one, which may just be starting again."""
        return until(lambda: self.workers().get(name), f"a worker {name}")  # type: ignore[no-any-return]

    def stop(self) -> int:
        """SIGTERM, as an operator would; the exit code."""
        self._popen.send_signal(signal.SIGTERM)
        return self._popen.wait(PATIENCE)

    def kill(self) -> None:
        """SIGKILL for every process at once, as near as can be."""
        pids = [self.pid, *_children(self.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        for pid in pids:
            until(lambda pid=pid: not alive(pid), f"the end of process {pid}")

    def anonymous_memory(self) -> int:
        """Octets of memory of all processes that no file backs.

        What the kernel keeps of files (the memory map of LMDB, the page cache) it can take back at any moment, so it
        is no memory that the server holds. Pss counts a page that processes share once in all.
        """
        return sum(map(anonymous_memory, (self.pid, *_children(self.pid))))

    # -- events

    def wait_for(self, event: str, seconds: float = PATIENCE, **fields: Any) -> Event:
        """The first event of that name with those fields, which may have come already."""
        end = time.monotonic() + seconds
        with self._heard:
            while not (found := self._found(event, fields)):
                left = end - time.monotonic()
                if left <= 0:
                    lines = "\n".join(map(str, self.events[-15:] + self.noise[-15:]))
                    raise AssertionError(f"no event {event} {fields} within {seconds:g} s; the last ones:\n{lines}")
                self._heard.wait(left)
            return found[0]

    def all(self, event: str, **fields: Any) -> list[Event]:
        """The events of that name with those fields that have come so far."""
        with self._heard:
            return self._found(event, fields)

    def forget(self) -> list[Event]:
        """Forget all events but the workers' starts; those that are forgotten."""
        with self._heard:
            known = self.events[:]
            self.events[:] = [event for event in known if event["event"] == "worker-started"]
        return [event for event in known if event["event"] != "worker-started"]

    def _found(self, event: str, fields: Mapping[str, Any]) -> list[Event]:
        return [e for e in self.events if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

    def _listen(self, popen: "subprocess.Popen[str]") -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            with self._heard:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.noise.append(line)
                self._heard.notify_all()

    # -- as clients see it

    def smtp(self, port: str = "smtp") -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.ports[port], local_hostname="client.example.net", timeout=PATIENCE)

    def logged_in(self, user: str, listener: str = "submissions") -> smtplib.SMTP:
        """A connection to ``submission`` or ``submissions`` of an account that has PASSWORD."""
        if listener == "submissions":
            port = self.ports[listener]
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, timeout=PATIENCE, context=blind())
        else:
            client = self.smtp(listener)
            client.starttls(context=blind())
        client.login(user, PASSWORD)
        return client

    def send(self, content: bytes, *recipients: str, sender: str = "ann@example.net") -> None:
        with self.smtp() as client:
            client.sendmail(sender, recipients, content)

    def dialogue(self, source: str = "127.0.0.1") -> "Dialogue":
        """An open connection to the SMTP port, past the greeting."""
        return Dialogue(self.ports["smtp"], source)

    def mailbox(self, address: str, *, lines: int | None = None) -> list[bytes]:
        """All messages of the account as they are stored, or so many lines of their bodies, read by POP3."""
        client = poplib.POP3("127.0.0.1", self.ports["pop3"], timeout=PATIENCE)
        with contextlib.closing(client):
            client.utf8()
            client.user(address)
            client.pass_(PASSWORD)
            count, _ = client.stat()
            read = client.retr if lines is None else (lambda number: client.top(number, lines))
            found = [b"\r\n".join(read(number)[1]) + b"\r\n" for number in range(1, count + 1)]
            client.quit()
            return found

    def mail_for(self, address: str, count: int = 1) -> list[bytes]:
        """The messages of the account, as soon as there are ``count``."""
        found: list[bytes] = until(
            lambda: (mail := self.mailbox(address)) and len(mail) >= count and mail, f"{count} messages for {address}"
        )
        assert len(found) == count
        return found


class Dialogue:
    """A client that says exactly what the test tells it to."""

    def __init__(self, port: int, source: str = "127.0.0.1", greeting: str = "220") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self._file = self.socket.makefile("rb")
        self.expect(greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> str:
        """The next reply, its lines joined by a line feed; "" when the server has closed the connection."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            try:
                line = self._file.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                break
            lines.append(line.decode().rstrip("\r\n"))
        return "\n".join(lines)

    def expect(self, beginning: str) -> str:
        reply = self.reply()
        assert reply.startswith(beginning), f"expected {beginning}, got {reply!r}"
        return reply

    def ask(self, command: str | bytes, beginning: str = "") -> str:
        """Send a line, and check how the reply begins."""
        self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return self.expect(beginning)

    def start(self, *recipients: str, sender: str = "ann@example.net") -> Self:
        """Say all up to the content."""
        self.ask("EHLO client.example.net", "250")
        self.ask(f"MAIL FROM:<{sender}>", "250")
        for recipient in recipients:
            self.ask(f"RCPT TO:<{recipient}>", "250")
        return self

    def content(self, octets: bytes, beginning: str = "250") -> str:
        """DATA and the content, which must end in CRLF."""
        self.ask("DATA", "354")
        self.send(octets.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return self.expect(beginning)

    def ended(self) -> bool:
        """Whether the server closes the connection without another word."""
        return self.reply() == ""

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def blind() -> ssl.SSLContext:
    """Believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def anonymous_memory(pid: int) -> int:
    """Octets of memory of a process that no file backs; 0 when it is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that is written all the while: the last one may not be whole yet."""
    return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


def body(message: bytes) -> bytes:
    """What stands behind the header section."""
    return message.partition(b"\r\n\r\n")[2]


def letter(subject: str, text: str = "Hello.", author: str = "Ann <ann@example.net>") -> bytes:
    return f"From: {author}\r\nTo: somebody\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


@contextlib.contextmanager
def program(
    command: Sequence[str],
    port: int,
    *,
    user: str | None = None,
    end: int = signal.SIGTERM,
    address: str = "127.0.0.1",
) -> Iterator["subprocess.Popen[bytes]"]:
    """A foreign server that runs meanwhile, from the moment at which it answers on its port; ``end`` ends it.

    What it says goes into a file: a pipe that nobody reads is full once, and then it stands still."""
    with tempfile.TemporaryFile() as said:
        popen = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, user=user, start_new_session=True)
        try:
            until(lambda: popen.poll() is not None or _answers(port, address), f"{command[0]} to listen")
            words = os.pread(said.fileno(), 9999, 0).decode(errors="replace")
            assert popen.poll() is None, f"{command[0]} ended with {popen.returncode}: {words}"
            yield popen
        finally:
            popen.send_signal(end)
            try:
                popen.wait(PATIENCE)
            finally:  # whatever would outlive it keeps its port
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)
                popen.wait()
            until(lambda: not _answers(port, address), f"what {command[0]} has started to be gone")


def free_port() -> int:
    """A port of loopback that is free and stays so: no connection is given it, and no other test beside this one."""
    return bench.servers.base.free_port()


def port_offset() -> int:
    """What to add to the ports of mail so that all of them are free, in the way of ``free_port``."""
    while True:
        offset = random.randrange(20_000, 25_000)
        if all(bench.servers.base.claim(port + offset) for port in (25, 80, 465, 587, 993, 4190)):
            return offset


def refuses(port: int) -> bool:
    """Whether nobody listens on the loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _answers(port: int, address: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
