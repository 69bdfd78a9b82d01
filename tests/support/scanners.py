"""rspamd and ClamAV's clamd, each private to a test, with rules and signatures of the test's own and no network."""

import base64
import contextlib
import io
import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.support.programs import path_of
from tests.support.server import Settings, free_port, program, until

# In two halves, so that no scanner finds them in this file.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""What every spam filter refuses (https://spamassassin.apache.org/gtube/)."""

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""What every virus scanner finds (https://www.eicar.org/)."""

VIRUS = "Test.Eicar.UNOFFICIAL"
"""The name under which clamd finds it here."""

STREAM_LIMIT = 1024 * 1024
"""Octets that clamd takes (StreamMaxLength)."""

_CLAMD = """\
LocalSocket {folder}/clamd.sock
TCPSocket {port}
TCPAddr 127.0.0.1
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}
LogFile {folder}/clamd.log
LogTime yes
Foreground yes
MaxThreads 4
StreamMaxLength {limit}
"""

_RSPAMD = """\
options {{
  pidfile = "{folder}/rspamd.pid";
  tempdir = "{folder}";
  hs_cache_dir = "{folder}";
  url_tld = "{folder}/domains";  # the whole list takes a minute to compile
  control_socket = "{folder}/control.sock mode=0600";
  filters = "";
  dns {{ nameserver = "127.0.0.1:9"; timeout = 10ms; retransmits = 1; }}
  local_addrs = [];
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
actions {{
  reject = 15; rewrite_subject = 10; add_header = 6; greylist = 4; subject = "[SPAM] %s";
  discard {{ flags = ["no_threshold"]; }}
  quarantine {{ flags = ["no_threshold"]; }}
}}
lua = "{folder}/rules.lua";
worker "normal" {{
  bind_socket = "127.0.0.1:{port}"; bind_socket = "{folder}/rspamd.sock mode=0666"; count = {workers};
}}
worker "controller" {{ bind_socket = "127.0.0.1:{controller}"; password = "{password}"; secure_ip = []; count = 1; }}
"""

PASSWORD = "of the controller"

# What the letter itself asks for, so that each test says what it wants to be found.
_RULES = """\
local ucl = require "ucl"

rspamd_config:register_symbol({
  name = "TEST_SCORE", type = "normal", score = 1.0, group = "test",
  callback = function(task)
    local score = task:get_header("X-Test-Score")
    if score then task:insert_result("TEST_SCORE", tonumber(score)) end
  end
})

rspamd_config:register_symbol({
  name = "TEST_WISH", type = "prefilter",
  callback = function(task)
    local action = task:get_header("X-Test-Action")
    if action then task:set_pre_result(action, task:get_header("X-Test-Text")) end
    local milter = task:get_header("X-Test-Milter")
    if milter then
      local parser = ucl.parser()
      parser:parse_string(milter)
      task:set_milter_reply(parser:get_object())
    end
  end
})

rspamd_config:register_symbol({
  name = "TEST_SEEN", type = "postfilter",
  callback = function(task)
    local ip, from, user, recipients = task:get_from_ip(), task:get_from("smtp"), task:get_user(), {}
    for _, one in ipairs(task:get_recipients("smtp") or {}) do table.insert(recipients, one.addr) end
    local said = {
      ip = ip and ip:is_valid() and ip:to_string() or "", helo = task:get_helo() or "", user = user or "",
      from = from and from[1] and from[1].addr or "", recipients = table.concat(recipients, " "),
      hostname = task:get_hostname() or "", queue_id = task:get_queue_id() or "",
      tls = task:get_request_header("TLS-Version") and tostring(task:get_request_header("TLS-Version")) or "",
      mta = task:get_request_header("MTA-Name") and tostring(task:get_request_header("MTA-Name")) or "",
      size = tostring(task:get_size())
    }
    if task:get_header("X-Test-Seen") then
      task:set_milter_reply({add_headers = {["X-Seen"] = ucl.to_format(said, "json-compact")}})
    end
  end
})
"""


class Daemon:
    """A server that can be killed, held up and started again. Use it as a context manager: then none is left."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.port = port
        self._command = command
        self._running = contextlib.ExitStack()
        self._popen: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._popen = self._running.enter_context(program(self._command, self.port))

    def stop(self) -> None:
        self._running.close()

    def kill(self) -> None:
        """All of it at once."""
        for pid in self._pids():
            _signal(pid, signal.SIGKILL)
        self.stop()

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """It takes connections meanwhile, and says nothing."""
        pids = self._pids()
        try:
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            until(lambda: all(map(_stands_still, pids)), f"{self._command[0]} to stand still")
            yield
        finally:
            for pid in reversed(pids):
                _signal(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        pid = self._popen.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [pid, *map(int, children.split())]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # a child that has just ended
        os.kill(pid, number)


def _stands_still(pid: int) -> bool:
    """Whether it is stopped, or has ended: of a child its parent, which is stopped, does not hear."""
    try:
        threads = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return not Path(f"/proc/{pid}").exists()
    return all(one.rpartition(")")[2].split()[0] in "TZX" for one in threads)


class Clamd(Daemon):
    """It knows one virus, EICAR."""

    def __init__(self, folder: Path) -> None:
        (folder / "signatures").mkdir(parents=True)
        name = VIRUS.removesuffix(".UNOFFICIAL")
        (folder / "signatures" / "test.ndb").write_text(f"{name}:0:*:{EICAR.hex()}\n")
        port = free_port()
        self.socket = folder / "clamd.sock"
        configuration = folder / "clamd.conf"
        configuration.write_text(_CLAMD.format(folder=folder, port=port, limit=STREAM_LIMIT))
        super().__init__([path_of("clamd"), "-c", str(configuration)], port)

    @property
    def settings(self) -> Settings:
        """The value of ``clamav``."""
        return {"socket": str(self.socket)}


class Rspamd(Daemon):
    """It does what the header of a letter asks for: `X-Test-Score`, `X-Test-Action` with `X-Test-Text`, and
    `X-Test-Milter`, in JSON. With `X-Test-Seen` it adds the field `X-Seen`, with what it knows of the session.
    """

    def __init__(self, folder: Path, workers: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "domains").write_text("com\nnet\norg\ntest\n")
        (folder / "rules.lua").write_text(_RULES)
        port = free_port()
        self.controller = free_port()
        self.socket = folder / "rspamd.sock"
        self.log = folder / "rspamd.log"
        configuration = folder / "rspamd.conf"
        configuration.write_text(
            _RSPAMD.format(folder=folder, port=port, controller=self.controller, workers=workers, password=PASSWORD)
        )
        super().__init__([path_of("rspamd"), "--no-fork", "--insecure", "--config", str(configuration)], port)

    @property
    def settings(self) -> Settings:
        """The value of ``rspamd``."""
        return {"url": f"http://127.0.0.1:{self.port}"}


def attached(content: bytes, name: str = "found.bin", subject: str = "See what I have found") -> bytes:
    """A letter with an attachment, in base64."""
    return b"\r\n".join(
        (
            f"From: ann@example.net\r\nTo: bob@example.org\r\nSubject: {subject}\r\nMIME-Version: 1.0".encode(),
            b'Content-Type: multipart/mixed; boundary="part"\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\nHello.',
            f"--part\r\nContent-Type: application/octet-stream; name={name}".encode(),
            f"Content-Disposition: attachment; filename={name}\r\nContent-Transfer-Encoding: base64\r\n".encode(),
            base64.encodebytes(content).replace(b"\n", b"\r\n") + b"--part--\r\n",
        )
    )


def zipped(content: bytes, name: str = "found.com") -> bytes:
    """A zip archive with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()
