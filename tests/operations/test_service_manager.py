"""systemd and its like: what they are told, the ports that they hand over, what the unit allows, whose we become."""

import contextlib
import os
import pwd
import re
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.servers.base
from tests.support.load import Load
from tests.support.programs import needs, path_of
from tests.support.server import PATIENCE, Postroad, free_port, letter, until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "systemd" / "postroad.service"
BOB = "bob@example.org"
NOBODY = pwd.getpwnam("nobody")

_HANDED = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$1; descriptor=$2; shift 2; exec "$@" 3<&$descriptor'
"""What a service manager does with a socket: a descriptor 3, and what says so."""


class Manager:
    """The end of a service manager to which notices come: (pid, field → value), in order."""

    def __init__(self, address: str) -> None:
        self.notices: list[tuple[int, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(address)
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                octets, (credentials,), _, _ = self._socket.recvmsg(4096, 256)
                pid, _, _ = struct.unpack("3i", credentials[2])
                self.notices.append((pid, dict(line.split("=", 1) for line in octets.decode().split("\n"))))

    def wait_for(self, key: str, count: int = 1) -> dict[str, str]:
        """The notice with this field that comes as number ``count``."""

        def found() -> list[dict[str, str]]:
            return [fields for _, fields in self.notices if key in fields]

        until(lambda: len(found()) >= count, f"{count} notices {key}, of {self.notices}")
        return found()[count - 1]

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_service_manager_hears_how_we_are(tmp_path: Path, abstract: bool) -> None:
    address = f"postroad-{os.getpid()}" if abstract else str(tmp_path / "notify")
    manager = Manager("\0" + address if abstract else address)
    server = Postroad(tmp_path)
    server.environment = {"NOTIFY_SOCKET": "@" + address if abstract else address, "WATCHDOG_USEC": "400000"}
    with contextlib.closing(manager), server:
        assert manager.wait_for("READY") == {"READY": "1", "STATUS": "Revision 1 is in force"}
        manager.wait_for("WATCHDOG", 3)
        server.change({"stage": {"accept": {"max_recipients": 50}}})
        assert server.reload().returncode == 0
        assert manager.wait_for("RELOADING")["MONOTONIC_USEC"].isdecimal()
        assert manager.wait_for("READY", 2)["STATUS"] == "Revision 2 is in force"
        server.change({"server": {"workers": 3}})
        assert server.reload().returncode == 1
        told = manager.wait_for("READY", 3)["STATUS"]
        assert told.startswith("Revision 2 is in force; the last reload was refused: ")
        for pid in server.workers().values():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert server.stop() == 0
        manager.wait_for("STOPPING")
        assert {pid for pid, _ in manager.notices} == {server.pid}


def test_signs_of_life_go_on_under_load_and_over_reloads(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    server = Postroad(tmp_path).account(BOB)
    server.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}

    def signs() -> int:
        return sum("WATCHDOG" in fields for _, fields in manager.notices)

    with contextlib.closing(manager), server:
        with Load(server, BOB) as load:
            for most in (50, 60):
                before = signs()
                server.change({"stage": {"accept": {"max_recipients": most}}})
                assert server.reload().returncode == 0
                load.flows()
                until(lambda before=before: signs() > before + 2, "signs of life")
        assert (load.broken, load.refused, load.put_off) == ([], [], [])
        assert manager.wait_for("READY", 3)["STATUS"] == "Revision 3 is in force"
        assert len(server.mail_for(BOB, len(load.accepted))) == len(load.accepted)
        assert server.stop() == 0


def test_a_watchdog_for_another_process_is_none_of_ours(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    server = Postroad(tmp_path)
    server.environment = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid()),
    }  # fmt: skip
    with contextlib.closing(manager), server:
        server.send(letter("while the time goes by"), "nobody@example.net")
        assert server.stop() == 0
        manager.wait_for("STOPPING")
        assert not [fields for _, fields in manager.notices if "WATCHDOG" in fields]


@needs("systemd-socket-activate")
def test_sockets_come_from_systemd(tmp_path: Path) -> None:
    port = free_port()
    server = Postroad(tmp_path, {"listen": {"smtp": f"127.0.0.1:{port}"}}).account(BOB)
    server.starter = (
        path_of("systemd-socket-activate"), f"--listen=127.0.0.1:{port}", "--setenv=PYTHONPATH", "--setenv=TMPDIR",
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.push(server)
        server.launch()
        until(lambda: connects(port), "systemd to listen")  # which also starts the server
        server.await_ready()
        assert server.ports["smtp"] == port
        assert server.wait_for("sockets-handed")["listeners"] == ["smtp"]
        server.send(letter("through a socket of systemd's"), BOB)
        server.mail_for(BOB)


def test_who_comes_while_we_are_restarted_waits(tmp_path: Path) -> None:
    with handed_over(tmp_path, "smtp") as (server, port):
        server.start()
        server.send(letter("one"), BOB)
        assert server.stop() == 0
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as early:
            server.start()
            assert early.recv(4) == b"220 "
        server.change({"stage": {"accept": {"max_recipients": 50}}})
        assert server.reload().returncode == 0
        server.send(letter("two"), BOB)
        server.change({"listen": {"smtp": None}, "lane": {"inbound": None}})
        server.change({"listen": {"lmtp": "127.0.0.1:0"}, "lane": {"handed_in": LMTP}, "stage": {"hand_in": STAGE}})
        server.change({"stage": {"accept": None}})
        assert server.reload().returncode == 0
        server.wait_for("sockets-handed", unused=[f"127.0.0.1:{port}"])
        server.mail_for(BOB, 2)


LMTP = {"listen": ["lmtp"], "stages": ["hand_in", "queue", "route"]}
STAGE = {"use": "stages.accept", "protocol": "lmtp"}


def test_each_worker_serves_a_socket_that_they_share(tmp_path: Path) -> None:
    with handed_over(tmp_path, "smtp") as (server, _):
        server.start()

        def all_have_served() -> bool:
            server.send(letter("one of many"), BOB)
            return {event["process"] for event in server.all("accepted")} >= {"mail-0", "mail-1"}

        until(all_have_served, "mail through both workers")


def test_what_is_handed_over_must_listen(tmp_path: Path) -> None:
    with handed_over(tmp_path, "smtp", listens=False) as (server, _):
        done = server.launch()
        done.wait(PATIENCE)
        assert done.returncode == 1
        until(lambda: server.noise, "its last words")
        assert server.noise == ["postroad: descriptor 3, which was handed over, is no listening stream socket\n"]


@contextlib.contextmanager
def handed_over(folder: Path, name: str, *, listens: bool = True) -> Iterator[tuple[Postroad, int]]:
    """A server for a socket that stays open whatever becomes of it, and its port."""
    with socket.create_server(("127.0.0.1", 0)) if listens else socket.socket() as sock:
        port = sock.getsockname()[1]
        server = Postroad(folder, {"listen": {"smtp": f"127.0.0.1:{port or 1}"}}).account(BOB)
        server.starter = ("bash", "-c", _HANDED, "bash", name, str(sock.fileno()))
        server.passed = (sock.fileno(),)
        with contextlib.ExitStack() as stack:
            stack.push(server)
            yield server, port


def low_port() -> int:
    """One below 1024, for which root alone may ask."""
    return bench.servers.base.free_port(range(600, 1024))


def connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


# -- who we are


def about(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: values.split() for key, values in (line.split(":", 1) for line in lines)}


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root binds ports below 1024 and becomes somebody else")


@only_root
def test_root_is_given_up_once_the_ports_are_bound(open_folder: Path) -> None:
    port = low_port()
    settings = {"server": {"user": "nobody"}, "listen": {"smtp": f"127.0.0.1:{port}"}}
    with Postroad(open_folder, settings) as server:
        assert server.ports["smtp"] == port
        server.send(letter("to somebody"), "somebody@example.net")
        for pid in (server.pid, *server.workers().values()):
            found = about(pid)
            assert set(found["Uid"]) == {str(NOBODY.pw_uid)}
            assert set(found["Gid"]) == {str(NOBODY.pw_gid)}
            assert "0" not in found["Groups"]
            assert {found[f"Cap{kind}"][0] for kind in ("Eff", "Prm", "Amb")} == {"0" * 16}
        assert {path.owner() for path in (open_folder / "var").rglob("*")} == {"nobody"}


@only_root
@needs("setpriv")
def test_a_capability_for_ports_stays_with_the_supervisor(open_folder: Path) -> None:
    port, other = low_port(), low_port()
    os.chown(open_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    server = Postroad(open_folder, {"listen": {"smtp": f"127.0.0.1:{port}"}})
    server.starter = (
        path_of("setpriv"), f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--no-new-privs",
        *(f"--{kind}=-all,+net_bind_service" for kind in ("bounding-set", "inh-caps", "ambient-caps")),
    )  # fmt: skip
    with server:
        assert about(server.pid)["CapEff"] == [f"{1 << 10:016x}"]
        for pid in server.workers().values():
            found = about(pid)
            assert {found[f"Cap{kind}"][0] for kind in ("Eff", "Prm", "Amb")} == {"0" * 16}
        other = low_port()
        server.change({"listen": {"smtp": f"127.0.0.1:{other}"}})
        assert server.reload().returncode == 0  # the supervisor can still bind
        with socket.create_connection(("127.0.0.1", other), PATIENCE) as client:
            assert client.recv(4) == b"220 "


# -- the unit


def settings_of(unit: Path) -> list[tuple[str, str]]:
    return re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE)


def calls_of(group: str) -> set[str]:
    """The system calls of a group such as ``@system-service``, with those of the groups in it."""
    said = subprocess.run(
        [path_of("systemd-analyze"), "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    words = [line.split()[0] for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return {call for word in words for call in (calls_of(word) if word.startswith("@") else {word})}


@needs("systemd-analyze")
def test_the_units_are_good_and_tight(tmp_path: Path) -> None:
    for name in ("postroad.service", "postroad.socket"):
        text = (UNIT.parent / name).read_text().replace("/usr/bin/postroad", "/bin/true")
        (tmp_path / name).write_text(text)
    units = [str(tmp_path / name) for name in ("postroad.service", "postroad.socket")]
    verified = analyzed("verify", "--man=no", *units)
    assert (verified.returncode, verified.stderr) == (0, "")
    secure = analyzed("security", "--offline=yes", "--no-pager", "--threshold=20", units[0])  # 2.0 of 10.0
    assert secure.returncode == 0, secure.stdout


def analyzed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [path_of("systemd-analyze"), *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip


@needs("systemd-analyze", "strace")
def test_the_unit_allows_all_that_a_server_does(tmp_path: Path) -> None:
    """Its filters of system calls, of kinds of sockets, and of memory that may be written and run."""
    settings = settings_of(UNIT)
    filters = [value for key, value in settings if key == "SystemCallFilter"]
    (families,) = [value for key, value in settings if key == "RestrictAddressFamilies"]
    allowed: set[str] = set()
    for value in filters:
        calls = {call for group in value.lstrip("~").split() for call in calls_of(group)}
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    traced = "\n".join(path.read_text(errors="replace") for path in trace(tmp_path))
    used = set(re.findall(r"^(\w+)\(", traced, re.MULTILINE))
    assert {"fdatasync", "sendmsg", "prctl"} <= used
    assert used - allowed == set()
    assert set(re.findall(r"^socket\((AF_\w+)", traced, re.MULTILINE)) <= set(families.split())
    assert not re.findall(r"^mmap\(.*PROT_WRITE\|PROT_EXEC.*$", traced, re.MULTILINE)
    assert not re.findall(r"^(?:pkey_)?mprotect\(.*PROT_EXEC.*$", traced, re.MULTILINE)


def trace(folder: Path) -> list[Path]:
    """What strace says of a server that takes in mail, sends mail, is reloaded and stopped."""
    server = Postroad(folder, {"listen": {"imap": "127.0.0.1:0"}}).account(BOB)
    traces = folder / "traces"
    traces.mkdir()
    server.starter = (path_of("strace"), "-D", "-ff", "-qq", "-o", str(traces / "trace"))
    with server:
        server.send(letter("one"), BOB)
        server.send(letter("another"), "somebody@nowhere.invalid")
        server.mail_for(BOB)
        with socket.create_connection(("127.0.0.1", server.ports["imap"]), PATIENCE) as client:
            assert client.recv(4) == b"* OK"
        assert server.reload().returncode == 0
        assert server.stop() == 0
    return list(traces.iterdir())


def test_the_units_name_the_folders_of_the_package() -> None:
    settings = dict(settings_of(UNIT))
    assert settings["ExecStart"].startswith("/usr/bin/postroad --config /etc/postroad/pipeline.toml ")
    assert settings["StateDirectory"] == "postroad"
