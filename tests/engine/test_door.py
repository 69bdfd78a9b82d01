"""The door on a full disk: who is turned away hears why, and the log says it once a minute."""

import json
from pathlib import Path

import pytest

import engine.runtime.door
import engine.storage.room
from engine.config import Config, parse
from engine.runtime.door import Door
from tests.support.server import BASE, merged, toml


class Revision:
    def __init__(self, config: Config) -> None:
        self.config = config


def test_a_full_disk_is_said_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = merged(BASE, {"queue": {"reserve": "1 KB"}})
    config = parse(toml(settings), tmp_path / "pipeline.toml")
    now, free = 50.0, 999
    monkeypatch.setattr(engine.runtime.door.time, "monotonic", lambda: now)
    monkeypatch.setattr(engine.storage.room, "free_space", lambda _: free)
    door = Door("inbound", lambda: Revision(config))  # type: ignore[arg-type,return-value]

    def said() -> list[dict[str, object]]:
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    assert not any(door.has_room() for _ in range(100))
    (line,) = said()
    assert (line["event"], line["free"], line["reserve"]) == ("no-room", 999, 1000)
    assert line["folder"] == str(tmp_path / "var")
    now += 59
    assert not door.has_room()
    assert said() == []
    now += 2
    assert not door.has_room()
    assert len(said()) == 1
    free, now = 1001, now + 61
    assert door.has_room()
    assert said() == []
