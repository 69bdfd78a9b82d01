"""The benchmarks: a short run of each ends, cleans up, and prints figures that hang together. Speed is not judged."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest

from tests.support.programs import needs

ROOT = Path(__file__).resolve().parents[2]
ROWS = {
    "Postroad": "messages/s",
    "ceiling: straight into smtp-sink": "messages/s",
    "ratio": "",
    "CPU s for 1,000 messages": "",
    "memory, MiB (PSS)": "",
    "messages for each commit": "",
}


def figures(printed: str) -> dict[str, tuple[float, float, float]]:
    """Row → median, least and most."""
    found = {}
    for name in ROWS:
        row = re.search(rf"^{re.escape(name)} +([\d.,]+) \(([\d.,]+)–([\d.,]+)\)$", printed, re.MULTILINE)
        assert row, f"no row {name!r} in:\n{printed}"
        median, least, most = (float(number.replace(",", "")) for number in row.groups())
        found[name] = (median, least, most)
    return found


@needs("smtp-source", "smtp-sink")
@pytest.mark.parametrize(
    ("script", "options"),
    [("accept", ["--runs", "2"]), ("accept", ["--no-reuse"]), ("relay", ["--size", "200000"])],
    ids=["accept", "accept without reuse", "relay of large messages"],
)
def test_a_short_run(script: str, options: list[str], tmp_path: Path) -> None:
    command = [sys.executable, f"bench/{script}.py", "--runs", "1", "--count", "200", "--sessions", "10", *options]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = figures(done.stdout)
    assert all(0 < least <= median <= most for median, least, most in found.values())
    ours, ceiling = found["Postroad"], found["ceiling: straight into smtp-sink"]
    assert ours[1] / ceiling[2] - 0.001 <= found["ratio"][0] <= ours[2] / ceiling[1] + 0.001
    assert found["memory, MiB (PSS)"][0] > 20  # a server of several Python processes was there
    assert re.search(r"^messages in a run +200$", done.stdout, re.MULTILINE)
    assert "Python 3." in done.stdout
    assert "fdatasync" in done.stdout
    assert not any(tmp_path.iterdir())


@pytest.fixture
def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_load", ROOT / "bench" / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_load"] = module
    spec.loader.exec_module(module)
    return module


def test_a_missing_program_is_named_with_its_package(load: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.shutil, "which", lambda name, path: None)
    with pytest.raises(click.ClickException, match=r"smtp-source is missing.*apt install postfix"):
        load.program("smtp-source")


def test_only_the_named_settings_differ_from_the_shipped_pipeline(load: ModuleType) -> None:
    before = tomllib.loads((ROOT / "pipeline.toml").read_text())
    after = tomllib.loads(load._pipeline({"queue.in_flight": 1, "listen.smtp": "127.0.0.1:0"}))
    before["listen"]["smtp"] = "127.0.0.1:0"
    assert after == before | {"queue": {"in_flight": 1}}


def test_the_processes_of_a_server_are_counted_with_their_children(load: ModuleType) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        try:
            assert set(load._family(shell.pid)) == {shell.pid, child}
            assert load._pss(shell.pid) > 0
            assert load._cpu(os.getpid()) > 0
        finally:
            os.kill(child, 9)
