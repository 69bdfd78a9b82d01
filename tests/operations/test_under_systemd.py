"""The Debian package under a systemd that is process 1: its units are started, reloaded, watched, woken and stopped."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.layer import MARKS, built
from tests.support.server import until
from tests.support.systemd import Machine, machine, why_not

NAME = "postroad.service"
CONFIG = "/etc/postroad/pipeline.toml"

_SEND = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 25, timeout=300) as client:
    for subject in sys.argv[1:]:
        message = f"From: a@example.net\\nSubject: {subject}\\n\\nyou\\n"
        client.sendmail("a@example.net", ["postmaster@firma.test"], message)
"""

_SET_UP = f"""
set -e
rm -f /usr/sbin/policy-rc.d  # by which a container forbids packages to start anything
dpkg -i /root/postroad.deb
postroad init /etc/postroad --yes --hostname mx.firma.test --tls self-signed --scanner own
sed -i '/^  "authenticate",/d' {CONFIG}  # there is no DNS here
cp -p {CONFIG} /root/pipeline.toml
"""

_PATIENT = "[Service]\nWatchdogSec=0\nTimeoutStartSec=infinity\nTimeoutStopSec=infinity\n"
"""A machine that is overloaded is no fault of the unit. The test of the watchdog does without this."""

pytestmark = [*MARKS, pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can be here")]


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    """A machine on which the package is installed and set up, and nothing runs."""
    with tempfile.TemporaryDirectory(prefix="postroad-systemd-") as folder:
        room = Path(folder) / "room"
        room.mkdir()
        with machine(room) as found:
            found.run("cat >/root/postroad.deb", built().read_bytes())
            found.run("cat >/root/send.py", _SEND.encode())
            found.run(_SET_UP)
            set_apart(found, NAME, _PATIENT)
            yield found


@pytest.fixture
def server(host: Machine) -> Iterator[Machine]:
    """The same with its unit started, as the package has it; stopped again in the end."""
    host.run("systemctl start postroad")
    yield host
    host.run("systemctl stop postroad.socket postroad; rm -rf /run/systemd/system/postroad.socket.d")
    set_apart(host, NAME, _PATIENT)
    host.run(f"systemctl reset-failed; cp -p /root/pipeline.toml {CONFIG}")


def send(host: Machine, *subjects: str) -> None:
    host.run(f"python3 /root/send.py {' '.join(subjects)}")


def arrived(host: Machine) -> int:
    """Messages in the mailbox, whether or not the server runs."""
    rows = json.loads(host.run(f"postroad -c {CONFIG} mailbox usage postmaster@firma.test --json"))
    return next(int(row["messages"]) for row in rows if row["mailbox"] == "(all)")


def until_arrived(host: Machine, messages: int) -> None:
    """So many, and no more."""
    until(lambda: arrived(host) >= messages, f"{messages} messages in the mailbox")
    assert arrived(host) == messages


def main_pid(host: Machine) -> int:
    return int(host.unit(NAME)["MainPID"])


def about(host: Machine, pid: int) -> dict[str, list[str]]:
    """What /proc/PID/status says."""
    lines = host.run(f"cat /proc/{pid}/status").splitlines()
    return {key: values.split() for key, values in (line.split(":", 1) for line in lines)}


def set_apart(host: Machine, unit: str, text: str) -> None:
    """What `systemctl edit` does."""
    host.run(f"mkdir -p /run/systemd/system/{unit}.d")
    host.run(f"cat >/run/systemd/system/{unit}.d/test.conf && systemctl daemon-reload", text.encode())


def test_the_unit_starts_a_server_that_may_do_little(server: Machine) -> None:
    found = server.unit(NAME)
    assert (found["ActiveState"], found["StatusText"]) == ("active", "Revision 1 is in force")
    before = arrived(server)
    send(server, "one", "two")
    until_arrived(server, before + 2)
    main = about(server, int(found["MainPID"]))
    processes = [int(pid) for pid in server.run(f"cat /sys/fs/cgroup{found['ControlGroup']}/cgroup.procs").split()]
    assert len(processes) > 1
    user = server.run("id -u postroad").split()
    for pid in processes:
        one = about(server, pid)
        assert one["Uid"] == user * 4
        assert one["NoNewPrivs"] == ["1"]
        assert one["Seccomp"] == ["2"]  # the filters of system calls are in force
        if pid != int(found["MainPID"]):
            assert one["CapEff"] == ["0" * 16]
    assert main["CapEff"] == [f"{1 << 10:016x}"]  # ports below 1024
    assert "serves, by revision 1" in server.tried(f"postroad -c {CONFIG} doctor --only server")[1]
    seen = [f"nsenter --target={found['MainPID']} --mount --root", "touch /usr/lib/postroad/changed"]
    assert "Read-only file system" in server.tried(" ".join(seen))[1]


def test_a_reload_is_told_and_a_wrong_one_changes_nothing(server: Machine) -> None:
    pid, before = main_pid(server), arrived(server)
    server.run(f"sed -i 's/^max_size = .*/max_size = \"40 MB\"/' {CONFIG}")
    server.run("systemctl reload postroad")
    assert server.unit(NAME)["StatusText"] == "Revision 2 is in force"
    server.run(f"sed -i 's/^max_size/max_sise/' {CONFIG}")
    code, _ = server.tried("systemctl reload postroad")
    assert code != 0
    found = server.unit(NAME)
    assert found["StatusText"] == "Revision 2 is in force"
    assert (found["ActiveState"], found["MainPID"]) == ("active", str(pid))
    server.until_said(NAME, "max_sise")  # the words of the command, which systemd keeps
    server.run(f"sed -i 's/^max_sise/max_size/' {CONFIG}")
    send(server, "after")
    until_arrived(server, before + 1)


def test_a_server_that_dies_is_started_again(server: Machine) -> None:
    pid, before = main_pid(server), arrived(server)
    send(server, "before")
    server.run("systemctl kill --kill-whom=main --signal=KILL postroad")
    server.until_unit(NAME, lambda found: found["NRestarts"] != "0" and found["ActiveState"] == "active", "a restart")
    assert main_pid(server) != pid
    send(server, "after")
    until_arrived(server, before + 2)


def test_a_server_that_hangs_is_ended_and_started_again(server: Machine) -> None:
    server.run(f"rm /run/systemd/system/{NAME}.d/test.conf && systemctl daemon-reload && systemctl restart postroad")
    pid, before = main_pid(server), arrived(server)
    server.run(f"kill -STOP {pid}")
    server.until_unit(NAME, lambda found: found["NRestarts"] != "0" and found["ActiveState"] == "active", "a restart")
    server.until_said(NAME, r"Watchdog timeout \(limit 30s\)!")
    assert main_pid(server) != pid
    send(server, "after")
    until_arrived(server, before + 1)


def test_stop_leaves_nothing_behind(server: Machine) -> None:
    before = arrived(server)
    send(server, "last")
    server.run("systemctl stop postroad")
    found = server.unit(NAME)
    assert (found["ActiveState"], found["Result"], found["ExecMainStatus"]) == ("inactive", "success", "0")
    assert server.tried("pgrep --uid postroad")[1] == ""
    assert server.tried("ls /run/postroad")[0] != 0
    server.run("systemctl start postroad")
    until_arrived(server, before + 1)


def test_a_connection_wakes_the_server_and_waits_for_it(server: Machine) -> None:
    before = arrived(server)
    server.run("systemctl stop postroad")
    set_apart(server, "postroad.socket", "[Socket]\nListenStream=\nListenStream=25\n")
    server.run("systemctl start postroad.socket")
    assert server.unit(NAME)["ActiveState"] == "inactive"
    send(server, "who-comes-first")
    found = server.unit(NAME)
    assert found["ActiveState"] == "active"
    server.until_said(NAME, r'"event":"sockets-handed".*"listeners":\["smtp"\]')
    server.run("systemctl restart postroad & python3 /root/send.py while-it-restarts; wait")
    assert main_pid(server) != int(found["MainPID"])
    until_arrived(server, before + 2)


def test_a_wrong_configuration_is_not_tried_again_and_again(server: Machine) -> None:
    server.run("systemctl stop postroad")
    server.run(f"echo 'nonsense = 1' >>{CONFIG}")
    assert server.tried("systemctl start postroad")[0] != 0
    found = server.unit(NAME)
    assert (found["ActiveState"], found["ExecMainStatus"], found["NRestarts"]) == ("failed", "2", "0")
    server.until_said(NAME, "nonsense")


def test_another_installation_restarts_what_runs_and_a_removal_ends_it(server: Machine) -> None:
    pid = main_pid(server)
    server.run("dpkg -i /root/postroad.deb")
    found = server.unit(NAME)
    assert (found["ActiveState"], found["SubState"]) == ("active", "running")
    assert found["MainPID"] != str(pid)
    server.run("dpkg --remove postroad")
    assert server.tried("pgrep --uid postroad")[1] == ""
    assert "could not be found" in server.tried("systemctl status postroad")[1]
    server.run("dpkg -i /root/postroad.deb")
    assert server.unit(NAME)["ActiveState"] == "inactive"
