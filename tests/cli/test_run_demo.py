"""`postroad run --demo`: its account, and what it prints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main, serving
from engine.config import Config, load
from engine.directory import Embedded
from engine.runtime.spawner import Spawner

ROOT = Path(__file__).parents[2]

Announce = Callable[[dict[str, tuple[str, int]]], None]


@pytest.mark.parametrize(
    ("address", "roles"), [("127.0.0.1", ("owner",)), ("::1", ("owner",)), ("0.0.0.0", ()), ("192.0.2.1", ())]
)
def test_it_is_an_owner_where_nobody_comes_from_elsewhere(tmp_path: Path, address: str, roles: tuple[str, ...]) -> None:
    shutil.copy(ROOT / "pipeline.toml", tmp_path)
    shutil.copytree(ROOT / "filters", tmp_path / "filters")
    loaded = load(tmp_path / "pipeline.toml")
    loaded.server.data.mkdir()
    for owns in (True, address in ("127.0.0.1", "::1")):
        account = serving.demo_account(loaded, owns=owns)
    assert account is not None
    with Embedded.open(loaded.server.data / "directory", ("example.org",)) as directory:
        found = directory.account(account[0])
        assert found is not None
        assert found.roles == roles
        assert serving.owns({"web": (address, 2080)}) is bool(roles)


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


def test_each_line_to_copy_names_the_place_that_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    ports = {"pop3": 1, "imap": 2, "web": 3, "smtp": 4}
    serving._introduce("demo@example.org", "secret", {name: ("127.0.0.1", port) for name, port in ports.items()})
    told = capsys.readouterr().out
    for place in ("http://127.0.0.1:3/", "smtp://127.0.0.1:4 ", "pop3://127.0.0.1:1/1", "IMAP on 127.0.0.1, port 2,"):
        assert place in told
