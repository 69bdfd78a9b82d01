"""Die at each step of a message's way, and of a change of configuration: nothing that was answered 250 is lost."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.system import EVERY, Load, settle_accounts
from tests.support.remote import Remote
from tests.support.server import ROOT, Postroad, until

DYING = Path(__file__).parent / "dying"


@dataclass(frozen=True)
class Point:
    """Where a process dies: see ``dying/sitecustomize.py``."""

    process: str  # how its name begins
    module: str
    name: str
    when: str = "after"
    count: int = 10
    needle: str = ""


OWNER, WRITER, SESSION = "engine.queue.owner", "engine.storage.writer", "stages.relay.session"

ARRIVING = {
    "content written, not synced": Point("mail-", "engine.queue.content", "ContentWriter.finish", "before"),
    "content in its file, no record of it": Point("mail-", "engine.queue.content", "ContentWriter._sync", count=2),
    "handed to the queue, not committed": Point("mail-", OWNER, "Owner.admit"),
    "before the commit": Point("mail-", WRITER, "Writer._commit", "before"),
    "committed, 250 not said": Point("mail-", WRITER, "Writer._commit"),
    "250 said": Point("mail-", "engine.net.connection", "Connection.send", needle="250 2.0.0 queued as"),
}
LEAVING = {
    "given out": Point("mail-", OWNER, "Owner.start"),
    "half of a batch on a link": Point("mail-", "engine.links.link", "Link._send"),
    "half of a batch taken in": Point("relay-", "engine.links.host", "Host._receive", count=7),
    "a verdict found, not sent back": Point("before-", "engine.links.host", "Host._answer", "before"),
    "content under way to the next server": Point("relay-", SESSION, "Session._send_content", "before"),
    "the next server's 250 read": Point("relay-", SESSION, "Session._settle", "before"),
    "the relay's verdict sent": Point("relay-", "engine.links.host", "Host._answer"),
    "one of two recipients done": Point("mail-", OWNER, "Owner.progress", count=3),
    "all done, not settled": Point("mail-", OWNER, "Owner.settle", "before"),
    "settled": Point("mail-", OWNER, "Owner._settled", "before"),
    "a report written, not stored": Point("mail-", OWNER, "bounce", count=2),
    "done, the file is left": Point("mail-", OWNER, "remove", "before", count=2),
    "a large content staged for a mailbox": Point("mailboxes", "engine.mailbox.large", "LargeFiles.stage", count=2),
    "before the commit of a delivery": Point("mailboxes", WRITER, "Writer._commit", "before", count=3),
    "delivered, the queue not told": Point("mailboxes", WRITER, "Writer._commit", count=3),
}
RELOADING = {
    "a worker has opened a new revision": Point("mail-0", "engine.runtime.revision", "Revision.open", count=2),
    "a worker is about to switch": Point("mail-1", "engine.runtime.roles", "MailRole.switched", "before", count=2),
    "a worker has switched": Point("after-0", "engine.runtime.roles", "Role.switched", count=2),
    "an old revision is let go": Point("mail-0", "engine.runtime.revision", "Revision.close", "before", count=1),
}


def points(these: dict[str, Point]) -> list[Any]:
    """The parameters of a test."""
    chosen = list(these.items()) if EVERY else list(these.items())[::3]  # a short run
    return [pytest.param(point, id=name) for name, point in chosen]


@pytest.fixture
def dies(prepared: Postroad, tmp_path: Path):
    """Starts the server, with a point at which one of its processes dies, as one must have in the end."""
    died = tmp_path / "died"

    def start(point: Point) -> Postroad:
        prepared.environment = {
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(DYING))),
            "POSTROAD_DIE": json.dumps(asdict(point)),
            "POSTROAD_DIED": str(died),
        }
        return prepared.start()

    yield start
    assert died.exists(), "nobody came to the point"


@pytest.mark.parametrize("point", points(ARRIVING | LEAVING))
def test_a_process_dies_on_the_way_of_a_message(remote: Remote, dies, point: Point) -> None:
    server = dies(point)
    load = Load(server)
    load.start()
    server.wait_for("worker-died")
    load.wait()
    settle_accounts(server, remote, load.ledger, again=False)


@pytest.mark.parametrize("point", points(RELOADING))
def test_a_process_dies_during_a_reload(remote: Remote, dies, point: Point) -> None:
    server = dies(point)
    load = Load(server)
    load.start()
    load.until_answered(20)
    server.change({"stage": {"relay": {"connections": 7}}})
    server.reload()  # refused or done: either is right
    server.wait_for("worker-died")
    load.wait()
    until(lambda: server.reload().returncode == 0, "a reload when all is well again")
    settle_accounts(server, remote, load.ledger, again=False)


@pytest.mark.parametrize(
    "name", ["before the commit", "committed, 250 not said", "250 said", "settled"][: 4 if EVERY else 1]
)
def test_all_processes_die_with_one(remote: Remote, dies, tmp_path: Path, name: str) -> None:
    server = dies((ARRIVING | LEAVING)[name])
    load = Load(server)
    load.start()
    until((tmp_path / "died").exists, "the first to die")
    server.kill()
    server.start()
    load.wait()
    settle_accounts(server, remote, load.ledger, crashes=2)
