"""Edits that are put in force on a running server: written whole, tried first, refused, taken back, tried on mail."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.config import Config, load
from engine.directory import Embedded
from engine.operations import editing
from engine.operations.editing import Edit
from engine.operations.impossible import Impossible
from engine.operations.previewing import Wanted, Which
from engine.operations.revising import Revisions
from engine.operations.trying import by_program
from engine.revisions import in_folder
from engine.runtime.state import Running
from tests.support.server import Postroad, letter

BOB, FAR = "bob@example.org", "far@far.test"
MARK = '''
"""Marks."""
from engine import Message

async def mark(message: Message) -> Message:
    return message.with_fact("mark.seen", True)
'''
BROKEN = '''
"""Cannot be opened."""
from engine import Message

class Mark:
    async def __aenter__(self):
        raise OSError("no model here")

    async def __aexit__(self, *_):
        pass

    async def __call__(self, message: Message) -> Message:
        return message
'''


def tried(what: Wanted, heard: list[tuple[int, int]] | None = None) -> dict[str, Any]:
    """What comes of it, and what was told meanwhile."""
    told = heard if heard is not None else []
    return trio.run(by_program, "engine.operations.previewing", what, lambda *far: told.append(far))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "mark", "queue", "route"]}},
        "stage": {"mark": {"use": "filters/mark.py"}, "resolve": {"smart_host": "127.0.0.1:9"}},
        "listen": {"web": "127.0.0.1:0"},
        "web": {"edit_code": True},
        "shaping": {"file": "shaping.toml"},
    }
    (tmp_path / "shaping.toml").write_text("[default]\nconnections = 3\n")
    with Postroad(tmp_path, settings, mark=MARK).account(BOB) as server:
        yield server


def put(config: Config, name: str, text: str, share: float | None = None) -> Running:
    """Put an edit of what stands in a file now in force."""
    stood = editing.read(editing.file_of(config, name)).digest
    return editing.put_in_force(config, Edit(name, text), stood, "boss@example.org", share)


def test_an_edit_is_in_force_and_the_file_is_whose_it_was(server: Postroad) -> None:
    config = load(server.config)
    os.chmod(server.config, 0o640)
    if os.geteuid() == 0:
        os.chown(server.config, 1, 1)
    running = put(config, "pipeline.toml", config.text + "\n[queue]\nexpire = '3d'\n")
    assert running.revision == 2
    had = server.config.stat()
    assert stat.S_IMODE(had.st_mode) == 0o640
    assert (had.st_uid, had.st_gid) == ((1, 1) if os.geteuid() == 0 else (os.getuid(), os.getgid()))
    revisions = Revisions(server.config, server.folder / "var")
    assert revisions.current().by == "boss@example.org"
    assert not [path for path in server.folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(Impossible, match="changed meanwhile"):
        editing.put_in_force(config, Edit("pipeline.toml", config.text), "0" * 64, "boss@example.org")
    assert "expire = '3d'" in server.config.read_text()


def test_another_file_is_edited_and_nothing_else_written(server: Postroad) -> None:
    config = load(server.config)
    before = server.config.stat().st_mtime_ns
    running = put(config, "shaping.toml", "[default]\nconnections = 4\n")
    assert running.revision == 2
    assert server.config.stat().st_mtime_ns == before
    assert "connections = 4" in (server.folder / "shaping.toml").read_text()


def test_what_cannot_be_opened_changes_nothing(server: Postroad) -> None:
    config = load(server.config)
    with pytest.raises(Impossible, match="no model here"):
        put(config, "filters/mark.py", BROKEN)
    assert (server.folder / "filters" / "mark.py").read_text() == MARK
    assert Revisions(server.config, server.folder / "var").current().number == 1
    server.send(letter("still flows"), BOB)
    assert server.mail_for(BOB)


def test_code_that_is_edited_is_in_force(server: Postroad) -> None:
    config = load(server.config)
    running = put(config, "filters/mark.py", MARK.replace("mark.seen", "mark.changed"))
    assert running.revision == 2
    assert server.reload().returncode == 0


def test_it_is_tried_on_a_share_first(server: Postroad) -> None:
    config = load(server.config)
    running = put(config, "pipeline.toml", config.text + "\n[queue]\nexpire = '3d'\n", 25)
    assert running.trial is not None
    assert (running.trial.share, running.revision) == (25, 1)


def wanted(config: Config, edit: Edit, which: Which) -> Wanted:
    before = Revisions(config.path, config.server.data).current()
    return Wanted(
        str(config.path), before.text, in_folder(before.files, config.path.parent),
        editing.pipeline_text(config, edit), offline=True, after_files=dict(editing.after_files(config, edit)),
        which=which,
    )  # fmt: skip


def test_an_edit_is_tried_on_what_waits_and_on_what_came(server: Postroad) -> None:
    for subject in ("one", "two"):
        server.send(letter(subject), FAR, sender=BOB)
    server.send(letter("for Bob"), BOB)
    server.mail_for(BOB)
    server.send(letter("for Bob again"), BOB)
    config = load(server.config)
    heard: list[tuple[int, int]] = []
    rule = '[[route]]\nto = "*"'
    routed = config.text.replace(rule, f'[[route]]\nto = "far.test"\nlane = "local"\n\n{rule}')
    elsewhere = Edit("pipeline.toml", routed)
    found = tried(wanted(config, elsewhere, Which("queue")), heard)
    assert (found["tried"]["messages"], found["tried"]["elsewhere"]) == (2, 2)
    assert found["tried"]["every"] == 1

    marked = Edit("filters/mark.py", MARK.replace("mark.seen", "mark.other"))
    bob = number_of_bob(server)
    found = tried(wanted(config, marked, Which("mailbox", account=bob, address=BOB)))
    assert found["tried"]["elsewhere"] == 0
    assert found["tried"]["different"] == found["tried"]["messages"] > 0
    assert {(one["kind"], one["name"]) for one in found["tried"]["groups"]} == {
        ("fact", "mark.seen"), ("fact", "mark.other"),
    }  # fmt: skip
    assert heard[-1] == (2, 2)
    letters = b"From x\n" + letter("in a file").replace(b"somebody", BOB.encode()).replace(b"\r\n", b"\n") + b"\n"
    found = tried(wanted(config, marked, Which("file", letters=letters * 3)))
    assert (found["tried"]["messages"], found["tried"]["different"]) == (3, 3)
    broken = Edit("filters/mark.py", BROKEN)
    with pytest.raises(Impossible, match="could not be opened"):
        tried(wanted(config, broken, Which("queue")))


def number_of_bob(server: Postroad) -> int:
    """Of his account."""
    with Embedded.open(server.folder / "var" / "directory", ["example.org"]) as directory:
        account = directory.account(BOB)
        assert account is not None
        return account.id
