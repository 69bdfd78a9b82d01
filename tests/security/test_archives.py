"""What is imported, restored or handed over by others: no links, no bombs, no names that lead elsewhere."""

import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import msgpack
import pytest

from engine.exchange import backup_file
from engine.exchange.backup_file import MAGIC, Damaged
from engine.exchange.files import safe
from engine.exchange.letters import Broken, Found
from engine.exchange.sources import Source
from engine.queue import snapshot
from engine.storage import files
from engine.storage.environment import StorageError

SECRET = b"From root Thu Jan  1 00:00:00 1970\nSubject: secret\n\nroot:$6$...\n"


def maildir(root: Path, secret: Path) -> None:
    (root / "cur").mkdir(parents=True)
    (root / "cur" / "1:2,S").symlink_to(secret)
    (root / "subscriptions").symlink_to(secret)


def maildir_of_links(root: Path, secret: Path) -> None:
    root.mkdir()
    (root / "new").mkdir()
    (root / "cur").symlink_to(secret.parent)


def eml(root: Path, secret: Path) -> None:
    root.mkdir()
    (root / "1.eml").symlink_to(secret)
    (root / "index.jsonl").symlink_to(secret)


def mbox(root: Path, secret: Path) -> None:
    root.mkdir()
    (root / "a.mbox").write_bytes(b"")
    (root / "b.mbox").symlink_to(secret)


@pytest.mark.parametrize("make", [maildir, maildir_of_links, eml, mbox])
def test_an_import_follows_no_links(tmp_path: Path, make) -> None:
    """The operator runs it as root, on a tree that its user has made."""
    secret = tmp_path / "etc" / "shadow"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    make(tmp_path / "mail", secret)
    source = Source.at(tmp_path / "mail")
    letters = list(source.letters())
    assert [one for one in letters if isinstance(one, Found)] == []
    assert all("link" in one.why for one in letters if isinstance(one, Broken))
    assert source.subscribed == frozenset()


def test_the_file_that_an_operator_names_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(SECRET)
    (tmp_path / "latest.mbox").symlink_to(tmp_path / "real")
    (found,) = Source.at(tmp_path / "latest.mbox").letters()
    assert isinstance(found, Found)
    assert found.folder == "latest"


@pytest.mark.parametrize("address", ["a/b@example.org", '"../../x"@example.org', "../x", "..", "/etc/passwd", "\n"])
def test_a_name_made_safe_stays_in_its_folder(tmp_path: Path, address: str) -> None:
    path = tmp_path / f"{safe(address)}.backup"
    assert path.parent == tmp_path
    path.write_bytes(b"")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def block(octets: bytes, before: bytes = bytes(16)) -> bytes:
    return struct.pack(">I16s", len(octets), backup_file._chained(before, octets)) + octets


def test_a_block_of_a_backup_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some KB that stand for as many MB: what is read is bounded, whatever the file says."""
    monkeypatch.setattr(backup_file, "LONGEST", 100_000)
    good = zlib.compress(msgpack.packb(["about", ["x" * 90_000]]))
    bomb = zlib.compress(msgpack.packb(["about", ["x" * 110_000]]))
    assert len(bomb) < 1000
    assert next(backup_file.read(io.BytesIO(MAGIC + block(good))))[0] == "about"
    for octets in (bomb, good[:-1], good + b"x"):
        with pytest.raises(Damaged, match="not whole, or too large"):
            next(backup_file.read(io.BytesIO(MAGIC + block(octets))))


def archive(path: Path, name: str, kind: bytes = tarfile.REGTYPE, size: int = 4) -> Path:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    member.size = size if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w") as tar:
        tar.addfile(member, io.BytesIO(b" " * size))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../queue/0/data.mdb", tarfile.REGTYPE),
        ("/etc/cron.d/x", tarfile.REGTYPE),
        ("queue/../../x/data.mdb", tarfile.REGTYPE),
        ("queue/0/data.mdb/../../../x", tarfile.REGTYPE),
        ("content/../../x", tarfile.REGTYPE),
        ("queue/0/data.mdb", tarfile.SYMTYPE),
        ("queue/0/data.mdb", tarfile.LNKTYPE),
        ("queue/0", tarfile.SYMTYPE),
        ("queue/0/data.mdb", tarfile.FIFOTYPE),
        ("queue/0/data.mdb", tarfile.CHRTYPE),
    ],
)
def test_a_snapshot_holds_nothing_but_its_own_files(tmp_path: Path, name: str, kind: bytes) -> None:
    data = tmp_path / "var"
    with pytest.raises(StorageError, match="is no snapshot"):
        snapshot.restore(archive(tmp_path / "x.tar", name, kind), data, map_size=2**20)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} <= {"x.tar", "var", "var/queue"}


def test_a_manifest_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = tarfile.ExFileObject.read
    monkeypatch.setattr(tarfile.ExFileObject, "read", lambda self, size=-1: read.append(size) or plain(self, size))
    with pytest.raises(StorageError):
        snapshot.restore(
            archive(tmp_path / "x.tar", "postroad-queue.json", size=5_000_000), tmp_path / "var", map_size=2**20
        )
    assert read
    assert all(0 <= size <= 2**20 for size in read)


# -- root, in folders of the user whom the server runs as


def test_root_gives_away_no_target_of_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = tmp_path / "shadow"
    shadow.write_bytes(SECRET)
    folder = tmp_path / "var"
    folder.mkdir()
    (folder / "planted").symlink_to(shadow)
    given: list[Path] = []

    def chown(path: Path, _uid: int, _gid: int, *, follow_symlinks: bool = True) -> None:
        given.append(path.resolve() if follow_symlinks else path)

    monkeypatch.setattr(files.os, "geteuid", lambda: 0)
    monkeypatch.setattr(files.os, "chown", chown)
    files.give_to(os.stat_result((0o40700, 0, 0, 0, 1000, 1000, 0, 0, 0, 0)), folder)
    assert given == [folder, folder / "planted"]


def test_root_writes_through_no_link(tmp_path: Path) -> None:
    target = tmp_path / "passwd"
    target.write_bytes(b"root")
    (tmp_path / "key.pem.new").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        files.write(tmp_path / "key.pem", b"mine")
    assert target.read_bytes() == b"root"
