"""What a crash has left behind: removed when nothing refers to it, and nothing else is."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import MessageId
from engine.config import Queue
from engine.queue.content import FileContent
from engine.queue.store import Record, Shard, content_folder
from engine.runtime.leftovers import sweep
from engine.storage.writer import committed
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


def store(data: Path, number: int, path: Path) -> None:
    about = message(content=FileContent(path, 6), identity=MessageId.parse(path.name))
    shard = Shard(data, number, map_size=MAP_SIZE)
    with committed(shard.environment) as batch:
        shard.put_new(batch, Record(about.id, about.envelope, "in", 6, in_file=True), about.content)
    shard.close()


def test_content_goes_only_when_no_shard_refers_to_it(config: Any, tmp_path: Path) -> None:
    kept = [content(tmp_path, str(MessageId.new())) for _ in range(2)]
    gone = content(tmp_path, str(MessageId.new()))
    strange = content(tmp_path, "notes.txt")
    store(tmp_path, 0, kept[0])
    store(tmp_path, 1, kept[1])
    sweep(config)
    assert set(content_folder(tmp_path).iterdir()) == {*kept, strange}
    assert not gone.exists()


def test_a_shard_that_was_never_finished_does_not_keep_the_server_from_starting(config: Any, tmp_path: Path) -> None:
    kept, gone = content(tmp_path, str(MessageId.new())), content(tmp_path, str(MessageId.new()))
    store(tmp_path, 0, kept)
    (tmp_path / "queue" / "1").mkdir()
    (tmp_path / "queue" / "1" / "owner.lock").touch()
    sweep(config)
    assert kept.exists()
    assert not gone.exists()
