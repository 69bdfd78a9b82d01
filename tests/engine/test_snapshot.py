"""A queue in one file: whole, private, put back as it was, and nothing else is taken for one."""

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest

import engine.queue.snapshot
from engine.message import Octets
from engine.queue.content import FileContent
from engine.queue.snapshot import SNAPSHOT, restore, take
from engine.queue.store import Record, Shard, content_folder, shard_numbers
from engine.queue.verify import Verification
from engine.storage.batch import committed
from engine.storage.environment import StorageError
from engine.storage.ownership import held, workspace
from tests.support.messages import LETTER, message
from tests.support.post import MAP_SIZE


def filled(data: Path, shards: int = 2) -> dict[int, list[Record]]:
    """Two messages in each shard, one of them with a file."""
    content_folder(data).mkdir(parents=True)
    found: dict[int, list[Record]] = {}
    for number in range(shards):
        shard = Shard(data, number, map_size=MAP_SIZE)
        found[number] = []
        with committed(shard.environment) as batch:
            for in_file in (False, True):
                about = message()
                record = Record(about.id, about.envelope, "inbound", len(LETTER), in_file=in_file, due=1.0)
                file = content_folder(data) / str(about.id)
                if in_file:
                    file.write_bytes(LETTER)
                shard.put_new(batch, record, FileContent(file, len(LETTER)) if in_file else Octets(LETTER))
                found[number].append(record)
        found[number].sort(key=lambda record: record.id)
        shard.close()
    return found


def read(data: Path) -> dict[int, list[Record]]:
    """The records of each shard, each found to be sound."""
    found = {}
    for number in shard_numbers(data):
        shard = Shard(data, number, map_size=MAP_SIZE, read_only=True)
        assert list(Verification(shard).problems()) == []
        found[number] = list(shard.all_records())
        for record in found[number]:
            assert b"".join(shard.content(record).chunks()) == LETTER
        shard.close()
    return found


@pytest.mark.parametrize("name", ["queue.tar", "queue.tar.gz"])
def test_what_was_taken_is_put_back(tmp_path: Path, name: str) -> None:
    records = filled(tmp_path / "here")
    assert take(tmp_path / "here", tmp_path / name, map_size=MAP_SIZE) == 4
    assert restore(tmp_path / name, tmp_path / "there", map_size=MAP_SIZE) == 4
    assert read(tmp_path / "there") == records
    assert read(tmp_path / "here") == records
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["here", "there", name])
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["content", "queue"]


def test_a_queue_without_messages(tmp_path: Path) -> None:
    assert take(tmp_path, tmp_path / "queue.tar", map_size=MAP_SIZE) == 0
    assert restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE) == 0
    assert read(tmp_path / "there") == {}


def test_what_was_done_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = filled(tmp_path / "here", 1)[0]
    monkeypatch.setattr(engine.queue.snapshot, "content_folder", lambda data: content_folder(data) / "gone")
    assert take(tmp_path / "here", tmp_path / "queue.tar", map_size=MAP_SIZE) == 1
    monkeypatch.undo()
    restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE)
    assert read(tmp_path / "there") == {0: [record for record in records if not record.in_file]}


def test_nothing_is_put_into_a_queue_that_has_messages(tmp_path: Path) -> None:
    records = filled(tmp_path / "here")
    take(tmp_path / "here", tmp_path / "queue.tar", map_size=MAP_SIZE)
    with pytest.raises(StorageError, match="not empty: shard 0 has 2 messages"):
        restore(tmp_path / "queue.tar", tmp_path / "here", map_size=MAP_SIZE)
    assert read(tmp_path / "here") == records


def test_nor_into_one_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.storage.ownership._PATIENCE", 0.1)
    take(tmp_path, tmp_path / "queue.tar", map_size=MAP_SIZE)
    Shard(tmp_path, 0, map_size=MAP_SIZE).close()
    held(tmp_path / "queue" / "0")
    with pytest.raises(StorageError, match="in use by another process"):
        restore(tmp_path / "queue.tar", tmp_path, map_size=MAP_SIZE)


@pytest.mark.parametrize("name", ["queue.tar", "queue.tar.gz"])
def test_a_file_that_is_not_whole(tmp_path: Path, name: str) -> None:
    filled(tmp_path / "here")
    take(tmp_path / "here", tmp_path / name, map_size=MAP_SIZE)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match="not whole"):
        restore(tmp_path / name, tmp_path / "there", map_size=MAP_SIZE)
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_file_that_was_damaged(tmp_path: Path, mode: Literal["w:gz", "w:xz"]) -> None:
    with tarfile.open(tmp_path / "queue", mode) as archive:
        member = tarfile.TarInfo("queue/0/data.mdb")
        content = b"".join(b"%d " % (number * number) for number in range(10_000))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    whole = (tmp_path / "queue").read_bytes()
    for place in range(len(whole) // 20, len(whole), len(whole) // 40):
        octets = bytearray(whole)
        octets[place] ^= 0x55
        (tmp_path / "queue").write_bytes(octets)
        with pytest.raises(StorageError, match="not whole"):
            restore(tmp_path / "queue", tmp_path / "there", map_size=MAP_SIZE)
        assert list((tmp_path / "there").iterdir()) == []


def test_a_queue_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path / "here")
    take(tmp_path / "here", tmp_path / "queue.tar", map_size=MAP_SIZE)
    Shard(tmp_path / "there", 0, map_size=MAP_SIZE).close()
    (tmp_path / "there" / "queue" / "notes").touch()
    with pytest.raises(OSError, match="Directory not empty"):
        restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE)
    assert (tmp_path / "there" / "queue" / "notes").exists()
    (tmp_path / "there" / "queue" / "notes").unlink()
    assert restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE) == 4
    assert len(read(tmp_path / "there")) == 2


def test_what_a_command_that_was_killed_has_left_goes_with_the_next_one(tmp_path: Path) -> None:
    filled(tmp_path / "here")
    leftover = tmp_path / f"{SNAPSHOT}12345678" / "queue" / "0"
    leftover.mkdir(parents=True)
    with workspace(tmp_path, "other-") as other:
        take(tmp_path / "here", tmp_path / "queue.tar", map_size=MAP_SIZE)
        assert {*tmp_path.iterdir()} == {tmp_path / "here", tmp_path / "queue.tar", other}


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "queue/0/../../escaped", "queue/0/data.mdb.py"])
def test_a_file_of_another_kind_writes_nothing(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "queue.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(StorageError, match="is no snapshot"):
        restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE)
    assert not list(tmp_path.rglob("escaped"))


def test_no_link_is_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "queue.tar", "w") as archive:
        member = tarfile.TarInfo("queue/0/data.mdb")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(StorageError, match="is no snapshot"):
        restore(tmp_path / "queue.tar", tmp_path / "there", map_size=MAP_SIZE)


def test_text_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(StorageError, match="is no snapshot"):
        restore(tmp_path / "notes.txt", tmp_path / "there", map_size=MAP_SIZE)
