"""The copy that a rehearsal writes into: it holds what stages remember, nothing else, and it goes."""

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from engine.rehearsal import scratch as module
from engine.rehearsal.scratch import scratch
from engine.storage.environment import Full, open_environment
from tests.rehearsal.theatre import digests
from tests.support.server import ROOT

COPY = """
import lmdb, pathlib, sys
from engine.rehearsal.scratch import scratch
with scratch(pathlib.Path(sys.argv[1])) as folder:
    with lmdb.open(str(folder / "abuse" / "0123")) as copy, copy.begin() as transaction:
        sys.stdout.buffer.write(transaction.get(b"key"))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = tmp_path / "var"
    for name in ("abuse/0123", "queue/0", "mailbox"):
        environment = open_environment(data / name, map_size=2**20, databases=0)
        with environment.begin(write=True) as transaction:
            transaction.put(b"key", b"value")
        environment.close()
    (data / "dkim").mkdir()
    (data / "dkim" / "key").write_text("secret")
    (data / "dkim" / "link").symlink_to("/etc/passwd")
    (data / "running.json").write_text("{}")
    return data


def test_stages_find_what_they_remember_and_may_change_it(data: Path) -> None:
    before = digests(data)
    with scratch(data) as folder:
        assert folder.stat().st_mode & 0o77 == 0
        assert sorted(path.name for path in folder.iterdir()) == ["abuse", "dkim", "running.json"]
        assert (folder / "dkim" / "key").read_text() == "secret"
        assert not (folder / "dkim" / "link").exists()
        with lmdb.open(str(folder / "abuse" / "0123"), map_size=2**20) as copy, copy.begin(write=True) as transaction:
            assert transaction.get(b"key") == b"value"
            transaction.put(b"key", b"other")
    assert digests(data) == before
    assert not folder.exists()


def test_a_store_is_copied_while_another_process_has_it(data: Path) -> None:
    environment = open_environment(data / "abuse" / "0123", map_size=2**20, databases=0)
    with environment.begin(write=True) as transaction:  # which is not seen
        transaction.put(b"key", b"later")
        done = subprocess.run([sys.executable, "-c", COPY, str(data)], capture_output=True, cwd=ROOT, check=True)
    environment.close()
    assert done.stdout == b"value"


def test_what_a_killed_rehearsal_left_goes_and_what_a_living_one_has_stays(data: Path) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    (dead := data / f"rehearsal-{pid}-x").mkdir()
    (alive := data / f"rehearsal-{os.getppid()}-x").mkdir()
    with scratch(data) as folder:
        assert not list(folder.glob("rehearsal-*"))
    assert (dead.exists(), alive.exists()) == (False, True)


def test_without_a_data_folder_there_is_nothing_to_copy(tmp_path: Path) -> None:
    with scratch(tmp_path / "var") as folder:
        assert list(folder.iterdir()) == []
    assert not (tmp_path / "var").exists()


def test_no_room(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_space", lambda _: 10)
    with pytest.raises(Full, match="has no room for a copy"), scratch(data):
        pass
    assert not list(data.glob("rehearsal-*"))
