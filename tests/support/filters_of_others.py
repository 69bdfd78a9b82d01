"""Milters, spamd, a server of MTA hooks, programs of a pool: private to a test, to be killed and held up."""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.programs import path_of
from tests.support.scanners import GTUBE, Clamd, Daemon
from tests.support.server import Postroad, Settings, free_port
from tests.support.snippets import python


class Milter(Daemon):
    """A milter at a port of this machine."""

    @property
    def settings(self) -> Settings:
        """Those of its stage."""
        return {"use": "stages.milter", "connect": f"127.0.0.1:{self.port}"}


class ClamavMilter(Milter):
    """clamav-milter, which marks by X-Virus-Scanned what it has seen."""

    def __init__(self, folder: Path, clamd: Clamd) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port, conf = free_port(), folder / "clamav-milter.conf"
        conf.write_text(
            f"MilterSocket inet:{port}@127.0.0.1\nClamdSocket unix:{clamd.socket}\nForeground yes\nOnInfected Reject\n"
            f"AddHeader Replace\nTemporaryDirectory {folder}\nLogFile {folder}/clamav-milter.log\n"
        )
        super().__init__([path_of("clamav-milter"), "-c", str(conf)], port)


class Opendkim(Milter):
    """opendkim, which says in Authentication-Results of `opendkim.test` what it has found."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port, conf = free_port(), folder / "opendkim.conf"
        (folder / "records").write_text("")
        conf.write_text(
            f"Socket inet:{port}@127.0.0.1\nBackground no\nSyslog no\nMode v\nAlwaysAddARHeader yes\n"
            f"AuthservID opendkim.test\nTestDNSData file:{folder}/records\n"
        )
        super().__init__([path_of("opendkim"), "-f", "-x", str(conf)], port)


class Spamd(Daemon):
    """spamd, which is asked by spamc, with the one rule for GTUBE: by Debian's a letter takes a tenth of a second."""

    def __init__(self) -> None:
        folder, port = Path(tempfile.mkdtemp(prefix="spamd")), free_port()
        folder.chmod(0o777)  # it becomes nobody, who may not look into the folders of tests
        rules = folder / "rules"
        rules.mkdir()
        (rules / "init.pre").write_text("loadplugin Mail::SpamAssassin::Plugin::Check\n")
        (rules / "rules.cf").write_text(f"body GTUBE /{re.escape(GTUBE)}/\nscore GTUBE 1000\n")
        command = [
            path_of("spamd"), "--local", "--nouser-config", "--helper-home-dir", str(folder), "--username", "nobody",
            "--configpath", str(rules), "--siteconfigpath", str(rules),
            "--listen", "127.0.0.1", "--port", str(port), "--max-children", "3", "--syslog", "null",
        ]  # fmt: skip
        super().__init__(command, port)
        self._folder = folder

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._folder)

    @property
    def settings(self) -> Settings:
        """Those of its stage."""
        command = [path_of("spamc"), "-x", "-c", "-d", "127.0.0.1", "-p", str(self.port)]
        return {
            "use": "stages.command",
            "name": "spamc",
            "command": command,
            "codes": {"1": "reject", "69": "error"},
            "at_once": 3,
        }


_HOOKS = """
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        field = {"type": "addHeader", "name": "X-Hook", "value": said["context"]["queue"]["id"]}
        answer = {"action": "accept", "modifications": [field]}
        if "hook-villain" in said["message"]["contents"]:
            answer = {"action": "reject", "response": {"status": 550, "message": "No villains"}}
        octets = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100

Server(("127.0.0.1", PORT), Handler).serve_forever()
"""


class HookServer(Daemon):
    """One that refuses `hook-villain`, and marks all other mail by X-Hook."""

    def __init__(self) -> None:
        port = free_port()
        super().__init__(python(_HOOKS.replace("PORT", str(port))), port)

    @property
    def settings(self) -> Settings:
        """Those of its stage."""
        return {"use": "stages.hooks", "url": f"http://127.0.0.1:{self.port}/", "name": "judge"}


_JUDGE = """
for told in asked():
    if b"pool-villain" in told["content"]: answer(verdict="reject", text="No villains")
    else: answer(headers=[["X-Judge", str(os.getpid())]])
"""


class Judges:
    """Programs of a pool, which refuse `pool-villain`, and mark all other mail by X-Judge. The server starts them."""

    def __init__(self) -> None:
        self.server: Postroad

    @property
    def settings(self) -> Settings:
        """Those of their stage."""
        return {"use": "stages.command", "name": "pool", "command": python(_JUDGE), "pool": 2}

    def start(self) -> None:
        """The workers do."""

    def stop(self) -> None:
        self._signal(self._pids(), signal.SIGTERM)

    def kill(self) -> None:
        self._signal(self._pids(), signal.SIGKILL)

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        pids = self._pids()
        try:
            self._signal(pids, signal.SIGSTOP)
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def _pids(self) -> list[int]:
        """All that run now, by their command."""
        found = []
        for worker in self.server.workers().values():
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{worker}/task").iterdir():
                    found += [int(pid) for pid in (task / "children").read_text().split()]
        return [pid for pid in found if _is_judge(pid)]

    def _signal(self, pids: Sequence[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _is_judge(pid: int) -> bool:
    try:
        return b"pool-villain" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
