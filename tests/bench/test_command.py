"""The command `postroad bench`: a short run of each workload ends, cleans up, and its figures hang together.

Speed is not judged.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.command import bench
from bench.servers import all_servers
from bench.workloads.base import CEILING
from tests.support.programs import needs

ROOT = Path(__file__).parents[2]
PEER = "postfix-tuned"
SHORT = ["--runs", "1", "--count", "200", "--sessions", "10", "--size", "2000", "--room", "600"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter, as pytest's own may not be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def peers() -> list[str]:
    """The peer, where it can run."""
    able = next(server for server in all_servers() if server.key == PEER).missing() is None
    return [PEER] if able else []


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "engine", "bench", *arguments, "--folder", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(bench, arguments)


@pytest.mark.slow
@needs("smtp-source", "smtp-sink", "unbound", "opendkim", "opendmarc")
@pytest.mark.parametrize("workload", ["accept", "relay", "deliver", "inbound", "latency"])
def test_a_short_run(workload: str, folder: Path) -> None:
    beside = peers()
    done = run(workload, *SHORT, "--disk", "plain", "--peers", ",".join(beside) or "none", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert not any(folder.iterdir())
    found = {one["key"]: one for one in json.loads(done.stdout)}
    also = {"postroad@postfix-tuned"} if workload == "latency" and beside else set()
    assert set(found) == {CEILING, "postroad", *beside, *also}
    for key, one in found.items():
        assert one["failure"] == ""
        assert one["workload"] == workload
        assert one["seconds"] > 0
        assert one["messages"] == 200 or workload == "latency"
        assert one["messages"] > 0
        assert key == CEILING or one["cpu"] > 0
        assert key == CEILING or one["memory"] > 2**20
    if workload == "latency":
        figures = found["postroad"]["figures"]
        assert 0 < figures["p50, ms"] <= figures["p99, ms"] <= figures["p99.9, ms"] <= figures["most, ms"]


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
def test_connections_that_are_not_reused_and_large_messages(folder: Path) -> None:
    large = ["--size", "200000", "--no-reuse", "--runs", "2", "--count", "50", "--sessions", "5", "--room", "600"]
    done = run("relay", *large, "--disk", "plain", "--peers", "none", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "195.312 KiB, 5 sessions, a connection for each message, on plain" in done.stdout
    assert "round 2: Postroad: " in done.stderr
    assert "synced before 250" in done.stdout


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
def test_results_are_written(folder: Path) -> None:
    into, data = folder / "into", folder / "data"
    into.mkdir()
    data.mkdir()
    data.chmod(0o755)
    chosen = ["accept", *SHORT, "--peers", "none", "--disk", "tmpfs"]
    done = run(*chosen, "--results", "--into", str(into), folder=data)
    if os.geteuid() and not Path("/dev/shm").is_dir():
        assert done.returncode == 1
        return
    assert done.returncode == 0, done.stderr
    page = (into / "RESULTS.md").read_text()
    assert "`postroad bench accept --peers none --size 2000 --sessions 10 --runs 1 --count 200 --disk tmpfs`" in page
    assert "tmpfs, which is memory" in page
    (into / "RESULTS.md").unlink()
    (into / "results.svg").unlink()
    assert invoke("--redraw", "--into", str(into)).exit_code == 0
    assert (into / "RESULTS.md").read_text() == page
    assert (into / "results.svg").exists()


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
def test_an_image_with_a_journal_is_taken_down_or_refused_in_words(folder: Path) -> None:
    done = run("accept", *SHORT, "--disk", "journaled", "--peers", "none", folder=folder)
    if done.returncode:
        assert any(text in done.stderr for text in ("must be root", "losetup", "mount", "mkfs.ext4 is not installed"))
    else:
        assert "ext4 with a journal, in an image on " in done.stdout
    assert not any(folder.iterdir())
    assert str(folder) not in Path("/proc/self/mounts").read_text()


@pytest.mark.slow
@needs("smtp-source", "smtp-sink")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_midst_it_leaves_nothing(number: signal.Signals, folder: Path) -> None:
    command = [sys.executable, "-m", "bench", "accept", "--runs", "1000", "--count", "300", "--room", "600"]
    command += ["--disk", "plain", "--peers", "none", "--folder", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("round 1: Postroad"):
                break
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert "Stopped; nothing is left behind." in said
    assert not any(folder.iterdir())
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _octets(path)]


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def test_the_list_names_every_server() -> None:
    shown = invoke("--list").output
    for server in all_servers():
        assert server.key in shown
        assert (server.missing() or server.version()) in shown


def test_a_wrong_peer_or_workload_is_refused() -> None:
    wrong = invoke("--peers", "sendmail")
    assert wrong.exit_code == 2
    assert "no peer is named sendmail; there are none, " in wrong.output
    assert invoke("--peers", "none,postfix").exit_code == 2
    assert invoke("accpet").exit_code == 2


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.servers.base._PATH", "/nowhere")
    refused = invoke("accept", "--peers", "none")
    assert refused.exit_code == 1
    assert "smtp-source, smtp-sink not found: apt install postfix (Postfix need not run)" in refused.output


def test_a_peer_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.servers.base._PATH", "/nowhere")
    refused = invoke("accept", "--peers", PEER)
    assert refused.exit_code == 1
    assert "Postfix, tuned: " in refused.output


def test_old_results_that_cannot_be_read_stop_it_at_once(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("{\n")
    refused = invoke("accept", "--results", "--into", str(tmp_path))
    assert refused.exit_code == 1
    assert "results.jsonl cannot be read" in refused.output
