"""`postroad run --demo`: its account, and what it prints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main, serving
from engine.config import Config
from engine.directory import Embedded
from engine.runtime.spawner import Spawner

ROOT = Path(__file__).parents[2]

Announce = Callable[[dict[str, tuple[str, int]]], None]


def test_the_account_is_there_when_the_server_says_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "pipeline.toml", tmp_path)
    shutil.copytree(ROOT / "filters", tmp_path / "filters")
    known: list[bool] = []

    def run(config: Config, announce: Announce, spawner: Spawner) -> None:
        assert spawner.pid
        config.server.data.mkdir()
        announce({"smtp": ("127.0.0.1", 2525)})

    def echo(line: str) -> None:
        if line.startswith("ready"):
            with Embedded.open(tmp_path / "var" / "directory", ("example.org",)) as directory:
                known.append(directory.find("demo@example.org") is not None)

    monkeypatch.setattr(serving, "run", run)
    monkeypatch.setattr(serving.click, "echo", echo)
    done = CliRunner().invoke(main, ["--config", str(tmp_path / "pipeline.toml"), "run", "--demo"])
    assert done.exit_code == 0, done.output
    assert known == [True]
