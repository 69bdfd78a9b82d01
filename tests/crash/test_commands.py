"""Kill a command while it changes something on disk: all of it has happened or nothing, and it can be given again."""

import json
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from engine import MessageId
from engine.operations.orders import TOGETHER
from engine.queue.snapshot import RESTORE, SNAPSHOT
from engine.queue.store import Record, Shard, content_folder
from engine.storage.batch import committed
from tests.crash.points import Point, environment, points
from tests.support.messages import message
from tests.support.server import PASSWORD, Postroad, letter

BOB = "bob@example.org"
IN_QUEUE = "1 message in 1 shard: no contradiction.\n"

SNAPSHOT_MODULE, DIRECTORY = "engine.queue.snapshot", "engine.directory.embedded"

TAKING = {"a snapshot is half taken": Point("", SNAPSHOT_MODULE, "_with_files", count=1)}
RESTORING = {
    "a restore is being unpacked": Point("", SNAPSHOT_MODULE, "_private", count=2),
    "its content is there, its records are not": Point("", SNAPSHOT_MODULE, "sync", count=1),
    "the old queue has gone, the new one has not come": Point("", SNAPSHOT_MODULE, "sync", count=3),
    "the new queue has come": Point("", SNAPSHOT_MODULE, "sync", "before", count=4),
}
HOLDING = {
    "some are held, the next are not": Point("", "engine.queue.owner", "Owner.change", "before", count=2),
    "some are held, the command not told": Point("", "engine.queue.owner", "Owner.change", count=2),
}
CHANGING = {
    "before the commit of an account": Point("", DIRECTORY, "Embedded._add_account", count=1),
    "an account is committed": Point("", DIRECTORY, "Embedded._write", count=2),  # the first one is of the salts
}

GOING_BACK = {
    "copied, nothing is put back": Point("", "engine.revisions.restoring", "Restoring._copy", count=1),
    "a revision is half put back": Point("", "engine.revisions.restoring", "_replace", count=1),
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a queue with one large message; the command that took it was killed before."""
    folder = tmp_path_factory.mktemp("here")
    file = folder / "snapshots" / "queue.tar"
    file.parent.mkdir()
    with Postroad(folder, {"queue": {"in_flight": 0}, "server": {"workers": 1}}) as server:
        server.send(letter("waits", "line\r\n" * 50_000), "somebody@remote.test")
        die(server, folder / "died", *TAKING.values(), "queue", "snapshot", str(file))
        assert [path.name.startswith(SNAPSHOT) for path in file.parent.iterdir()] == [True]
        done = server.command("queue", "snapshot", str(file))
        assert done.returncode == 0, done.stderr
    assert list(file.parent.iterdir()) == [file]
    return file


def die(server: Postroad, died: Path, point: Point, *command: str) -> None:
    """Give the command, and see it die at the point."""
    server.environment = environment(point, died)
    done = server.command(*command, stdin=PASSWORD)
    server.environment = {}
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert died.exists()


@pytest.mark.parametrize("point", points(RESTORING, every=4))
def test_a_restore_dies(snapshot: Path, tmp_path: Path, point: Point) -> None:
    server = Postroad(tmp_path, {"queue": {"in_flight": 0}, "server": {"workers": 1}})
    data = tmp_path / "var"
    Shard(data, 0, map_size=2**26).close()  # an empty queue
    die(server, tmp_path / "died", point, "queue", "restore", str(snapshot))
    restored = server.command("queue", "list").stdout.count("\n")
    assert restored == (point is RESTORING["the new queue has come"])
    with server:
        server.wait_for("leftovers-removed", why="a restore that was broken off")
        assert server.stop() == 0
    assert list(data.glob(f"{RESTORE}*")) == []
    assert len(os.listdir(content_folder(data))) == restored
    done = server.command("queue", "restore", str(snapshot))
    assert (done.returncode, "not empty" in done.stderr) == (restored, bool(restored))
    assert server.command("queue", "verify").stdout == IN_QUEUE


@pytest.mark.parametrize("point", points(HOLDING, every=2))
def test_an_order_about_many_messages_dies(tmp_path: Path, point: Point) -> None:
    """In the second of three commits: each message is as it was, or held, and the order can be given again."""
    server = Postroad(tmp_path)
    with closing(Shard(tmp_path / "var", 0, map_size=2**26)) as shard, committed(shard.environment) as batch:
        for number in range(2 * TOGETHER + 1):
            about = message(identity=MessageId.new(number))
            shard.put_new(batch, Record(about.id, about.envelope, "inbound", about.content.size), about.content)
    die(server, tmp_path / "died", point, "queue", "hold", "--all", "--yes")
    stored = 1 + (point is HOLDING["some are held, the command not told"])
    assert _count(server, "state == 'held'") == stored * TOGETHER
    assert "no contradiction" in server.command("queue", "verify").stdout
    for order, state in (("hold", "held"), ("release", "waiting")):
        assert server.command("queue", order, "--all", "--yes").returncode == 0
        assert _count(server, f"state == '{state}'") == 2 * TOGETHER + 1
    assert "no contradiction" in server.command("queue", "verify").stdout


def _count(server: Postroad, condition: str) -> int:
    done = server.command("queue", "list", "--count", "--json", condition)
    assert done.returncode == 0, done.stderr
    found: int = json.loads(done.stdout)["messages"]
    return found


@pytest.mark.parametrize("point", points(CHANGING, every=0))
def test_a_change_of_the_directory_dies(tmp_path: Path, point: Point) -> None:
    server = Postroad(tmp_path)
    command = ("account", "add", BOB, "--password-stdin")
    die(server, tmp_path / "died", point, *command)
    there = point is CHANGING["an account is committed"]
    assert server.command(*command, stdin=PASSWORD).returncode == (1 if there else 0)
    with server:
        server.send(letter("hello"), BOB)
        assert len(server.mail_for(BOB)) == 1  # whose password is right


NOTHING = """
from engine import Message

async def nothing(message: Message) -> Message:
    return message  # %s
"""


@pytest.mark.parametrize("point", points(GOING_BACK, every=1))
def test_the_way_back_dies(tmp_path: Path, point: Point) -> None:
    lane = {"inbound": {"stages": ["accept", "nothing", "queue", "route"]}}
    settings = {"lane": lane, "stage": {"nothing": {"use": "filters/nothing.py"}}}
    with Postroad(tmp_path, settings, nothing=NOTHING % "then") as server:
        then = server.config.read_text()
        server.filter("nothing", NOTHING % "now")
        server.change({"queue": {"delay_warning": "1h"}})
        now = server.config.read_text()
        assert server.reload().returncode == 0
        assert server.stop() == 0
    die(server, tmp_path / "died", point, "revision", "back")
    assert server.config.read_text() in (now, then)
    assert (tmp_path / "filters" / "nothing.py").read_text() in (NOTHING % "now", NOTHING % "then")
    assert server.command("revision", "back").returncode == 0
    assert server.config.read_text() == then
    assert (tmp_path / "filters" / "nothing.py").read_text() == NOTHING % "then"
    copies = sorted((tmp_path / "pipeline.toml.replaced").iterdir())
    assert (copies[0] / "pipeline.toml").read_text() == now
    with server:
        server.send(letter("hello"), "somebody@remote.test")
        assert server.wait_for("accepted")["revision"] == 1
