"""Killed in an export, an import, a backup or a restore, and done again: nothing is lost, and nothing is twice."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from exchange_samples import LARGE

from engine.exchange import mbox
from engine.exchange.letters import Found, Letter
from engine.exchange.sources import Source
from engine.mailbox import Mailboxes
from tests.crash.points import Point, environment, points
from tests.support.server import Postroad

BOB, EVE = "bob@example.org", "eve@example.org"

IMPORTING = {
    "appended, not noted": Point("", "engine.exchange.journal", "Journal.after", "before", count=2),
    "noted, not appended": Point("", "engine.exchange.journal", "Journal.before", count=2),
    "half a note": Point("", "engine.exchange.journal", "Journal.before", "before", count=3),
    "a large one handed over": Point("", "engine.exchange.store", "IncomingFile.finish", count=1),
    "a mailbox made": Point("", "engine.exchange.store", "Store.made", count=2),
}
OWNING = {
    "before a commit": Point("", "engine.storage.writer", "Writer._commit", "before", count=4),
    "after a commit": Point("", "engine.storage.writer", "Writer._commit", count=4),
}
EXPORTING = {
    "mbox": Point("", "engine.exchange.mbox", "Mailbox.put", count=700),
    "maildir": Point("", "engine.exchange.maildir", "settle", "before", count=700),
    "eml": Point("", "engine.exchange.eml", "Mailbox.put", count=700),
}
RESTORING = {
    "contents offered": Point("", "engine.exchange.restoring", "offer", count=1),
    "before the commit": Point("", "engine.mailbox.owner", "restore", "before", count=1),
    "changed, not committed": Point("", "engine.mailbox.owner", "restore", count=1),
}
REPLACING = {
    "contents offered": Point("", "engine.exchange.restoring", "offer", count=1),
    "messages back": Point("", "engine.exchange.restoring", "_put", count=1),
    "flags set": Point("", "engine.exchange.restoring", "_settle", count=1),
    "before the names": Point("", "engine.exchange.restoring", "_names", "before", count=1),
}

NUMBERS = range(1, 1201)


def source(folder: Path) -> Path:
    """More than two batches, some of it twice, one that is large, and a second folder."""
    folder.mkdir()
    for name, numbers in (("INBOX", [*NUMBERS, 1, 2]), ("Other", [1])):
        with mbox.Mailbox(folder / f"{name}.mbox", 1, 9999, ()) as box:
            for uid, number in enumerate(numbers, 1):
                content = LARGE if number == 600 else b"Subject: %d\r\n\r\nHello\r\n" % number
                box.put(uid, Letter((content,), flags=1, keywords=("urgent",), received=1_700_000_000_000))
    return folder


def letters(path: Path) -> Counter[tuple[str, bytes, int]]:
    found = Source.at(path).letters()
    return Counter(
        (one.folder, b"".join(one.letter.pieces), one.letter.flags) for one in found if isinstance(one, Found)
    )


@pytest.fixture
def server(tmp_path: Path) -> Postroad:
    """It does not run; commands own the mailboxes, and are killed with them."""
    return Postroad(tmp_path / "server").account(BOB, EVE)


@contextmanager
def killed_at(server: Postroad, point: Point) -> Iterator[None]:
    died = server.folder / "died"
    server.environment = environment(point, died)
    yield
    server.environment = {}
    assert died.exists()
    died.unlink()


def done(server: Postroad, *arguments: object) -> str:
    ended = server.command("mailbox", *map(str, arguments))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def held(server: Postroad, address: str, folder: Path) -> Counter[tuple[str, bytes, int]]:
    """All messages, by a way out that was not broken off."""
    assert done(server, "verify") == "no contradiction.\n"
    done(server, "export", address, folder, "--format", "eml")
    return letters(folder)


@pytest.mark.parametrize("point", points(IMPORTING | OWNING))
def test_an_import_goes_on(server: Postroad, tmp_path: Path, point: Point) -> None:
    wanted = letters(source(tmp_path / "mail"))
    with killed_at(server, point):
        assert server.command("mailbox", "import", BOB, str(tmp_path / "mail")).returncode < 0
    done(server, "import", BOB, tmp_path / "mail")
    assert held(server, BOB, tmp_path / "out") == wanted
    assert done(server, "import", BOB, tmp_path / "mail").startswith("0 messages imported")
    assert done(server, "import", BOB, tmp_path / "mail", "--again").startswith("1,203 messages imported")


@pytest.mark.parametrize("point", points(IMPORTING))
def test_an_import_goes_on_beside_the_server(tmp_path: Path, point: Point) -> None:
    wanted = letters(source(tmp_path / "mail"))
    with Postroad(tmp_path / "server").account(BOB, EVE) as server:
        with killed_at(server, point):
            assert server.command("mailbox", "import", BOB, str(tmp_path / "mail")).returncode < 0
        done(server, "import", BOB, tmp_path / "mail")
        assert held(server, BOB, tmp_path / "out") == wanted


@pytest.mark.parametrize("kind", EXPORTING)
def test_an_export_goes_on(server: Postroad, tmp_path: Path, kind: str) -> None:
    wanted = letters(source(tmp_path / "mail"))
    done(server, "import", BOB, tmp_path / "mail")
    out = tmp_path / "out"
    with killed_at(server, EXPORTING[kind]):
        assert server.command("mailbox", "export", BOB, str(out), "--format", kind).returncode < 0
    assert not (out / "INBOX.mbox").exists()
    done(server, "export", BOB, out, "--format", kind)
    assert letters(out) == wanted


def test_an_mbox_goes_on_behind_the_last_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbox, "MARK", 300)
    path = tmp_path / "x.mbox"
    contents = [b"Subject: %d\r\n\r\n%s\r\n" % (number, b"x" * 100) for number in range(10)]
    read: list[int] = []

    def pieces(number: int) -> Iterator[bytes]:
        read.append(number)
        yield contents[number]

    for rounds in (5, 8, 10):
        box = mbox.Mailbox(path, 1, 99, ())
        for uid in range(rounds):
            box.put(uid + 1, Letter(pieces(uid)))
        box._file.close()  # as a crash would
    with mbox.Mailbox(path, 1, 99, ()) as box:
        for uid in range(10):
            box.put(uid + 1, Letter(pieces(uid)))
    assert letters(path) == Counter(("x", content, 0) for content in contents)
    assert len(read) < 18


@pytest.mark.parametrize("point", points(RESTORING, every=2))
def test_a_restore_is_whole_or_not_at_all(server: Postroad, tmp_path: Path, point: Point) -> None:
    wanted = letters(source(tmp_path / "mail"))
    done(server, "import", BOB, tmp_path / "mail")
    backup = tmp_path / "bob.backup"
    done(server, "backup", BOB, backup)
    with killed_at(server, point):
        assert server.command("mailbox", "restore", EVE, str(backup)).returncode < 0
    mailboxes = Mailboxes.open(server.folder / "var" / "mailbox")
    with closing(mailboxes):
        assert mailboxes.usage(2).messages == 0
    assert done(server, "restore", EVE, backup).startswith("1,203 messages ")
    assert held(server, EVE, tmp_path / "out") == wanted


@pytest.mark.parametrize("point", points(REPLACING, every=2))
def test_a_replacement_goes_on(server: Postroad, tmp_path: Path, point: Point) -> None:
    wanted = letters(source(tmp_path / "mail"))
    done(server, "import", EVE, tmp_path / "mail", "--into", "Other than before")
    done(server, "import", BOB, tmp_path / "mail")
    backup = tmp_path / "bob.backup"
    done(server, "backup", BOB, backup)
    with killed_at(server, point):
        assert server.command("mailbox", "restore", EVE, str(backup), "--replace").returncode < 0
    done(server, "restore", EVE, backup, "--replace")
    assert held(server, EVE, tmp_path / "out") == wanted


def test_a_backup_that_was_broken_off_leaves_the_one_before(server: Postroad, tmp_path: Path) -> None:
    done(server, "import", BOB, source(tmp_path / "mail"))
    backup = tmp_path / "bob.backup"
    done(server, "backup", BOB, backup)
    before = backup.read_bytes()
    with killed_at(server, Point("", "engine.exchange.backup_file", "Writer.put", count=1500)):
        assert server.command("mailbox", "backup", BOB, str(backup)).returncode < 0
    assert backup.read_bytes() == before
    done(server, "backup", BOB, backup)
    damaged = bytearray(backup.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    backup.write_bytes(damaged)
    ended = server.command("mailbox", "restore", EVE, str(backup))
    assert ended.returncode == 1
    assert "damaged before octet" in ended.stderr
    assert "nothing was changed" in ended.stderr
