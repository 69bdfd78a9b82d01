"""What a crash has left behind: removed when nothing refers to it, and nothing else is."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lmdb
import pytest

from engine import MessageId
from engine.config import Queue
from engine.queue.content import FileContent
from engine.queue.snapshot import RESTORE
from engine.queue.store import Record, Shard, content_folder
from engine.runtime.leftovers import sweep
from engine.storage.batch import committed
from engine.storage.ownership import workspace
from tests.support.messages import message

MAP_SIZE = 2**26


@pytest.fixture
def config(tmp_path: Path) -> Any:
    content_folder(tmp_path).mkdir()
    return SimpleNamespace(
        server=SimpleNamespace(data=tmp_path), queue=replace(Queue(), map_size=type(Queue().map_size)(MAP_SIZE))
    )


def content(data: Path, name: str) -> Path:
    path = content_folder(data) / name
    path.write_bytes(b"octets")
    return path


def store(data: Path, number: int, path: Path, *, in_file: bool = True) -> None:
    about = message(content=FileContent(path, 6), identity=MessageId.parse(path.name))
    shard = Shard(data, number, map_size=MAP_SIZE)
    with committed(shard.environment) as batch:
        shard.put_new(batch, Record(about.id, about.envelope, "in", 6, in_file=in_file), about.content)
    shard.close()


def events(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What has been said since the last call."""
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [{key: line[key] for key in line.keys() - {"time", "process"}} for line in said]


def test_content_goes_only_when_no_shard_refers_to_it(
    config: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept = [content(tmp_path, str(MessageId.new())) for _ in range(2)]
    gone = content(tmp_path, str(MessageId.new()))
    strange = content(tmp_path, "notes.txt")
    store(tmp_path, 0, kept[0])
    store(tmp_path, 1, kept[1])
    sweep(config)
    assert set(content_folder(tmp_path).iterdir()) == {*kept, strange}
    assert not gone.exists()
    said_of_strange = {"event": "leftovers-kept", "files": ["notes.txt"], "why": "not ours by their names"}
    assert events(capfd) == [
        {"event": "leftovers-removed", "files": 1, "why": "content that no message refers to"},
        said_of_strange,
    ]
    sweep(config)
    assert events(capfd) == [said_of_strange]


def test_what_was_received_goes_where_a_small_content_has_taken_its_place(config: Any, tmp_path: Path) -> None:
    kept, gone = (content(tmp_path, str(MessageId.new())) for _ in range(2))
    store(tmp_path, 0, kept)
    store(tmp_path, 1, gone, in_file=False)
    sweep(config)
    assert kept.exists()
    assert not gone.exists()


def begun(path: Path, *databases: str) -> None:
    with closing(lmdb.open(str(path), max_dbs=8, map_size=MAP_SIZE)) as environment:
        for name in databases:
            environment.open_db(name.encode())


@pytest.mark.parametrize(
    "leave",
    [
        lambda path: (path / "owner.lock").touch(),
        lambda path: (path / "data.mdb").touch(),
        begun,
        lambda path: begun(path, "envelopes", "content"),
        lambda path: begun(path, "envelopes", "content", "due", "lines", "turns"),
    ],
    ids=["no store", "an empty file", "no database", "some databases", "no format"],
)
def test_a_shard_that_was_never_finished_does_not_keep_the_server_from_starting(
    config: Any, tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    kept, gone = content(tmp_path, str(MessageId.new())), content(tmp_path, str(MessageId.new()))
    store(tmp_path, 0, kept)
    (tmp_path / "queue" / "1").mkdir()
    leave(tmp_path / "queue" / "1")
    sweep(config)
    assert kept.exists()
    assert not gone.exists()
    store(tmp_path, 1, kept)


def test_a_restore_that_was_broken_off_goes_and_one_under_way_stays(
    config: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{RESTORE}12345678" / "queue" / "0").mkdir(parents=True)
    strange = tmp_path / f"{RESTORE}of-last-year"
    strange.mkdir()
    with workspace(tmp_path, RESTORE) as under_way:  # which has removed the first one
        (tmp_path / f"{RESTORE}87654321").mkdir()
        sweep(config)
        assert {*tmp_path.iterdir()} == {under_way, strange, content_folder(tmp_path)}
    assert events(capfd) == [{"event": "leftovers-removed", "files": 1, "why": "a restore that was broken off"}]
