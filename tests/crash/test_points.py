"""Die at each step of a message's way, and of a change of configuration: nothing that was answered 250 is lost."""

import contextlib
import json
import poplib
import smtplib
from pathlib import Path

import pytest

from engine.message import MessageId
from tests.crash.points import Point, environment, points
from tests.crash.system import BOB, EVERY, FAR, Load, settle_accounts, tokens, verify
from tests.support.remote import DROP, Remote
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter, until

OWNER, WRITER, SESSION = "engine.queue.owner", "engine.storage.writer", "engine.outbound.session"
PARKED, STRAIGHT = "engine.queue.parked", "engine.queue.straight"
CAT = "cat@example.org"

ARRIVING = {
    "content written, not synced": Point("mail-", "engine.queue.incoming", "ContentWriter.finish", "before"),
    "content in its file, no record of it": Point("mail-", "engine.queue.incoming", "ContentWriter._sync", count=2),
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
    "a report written, not stored": Point("mail-", "engine.queue.descendants", "bounce", count=2),
    "done, the file is left": Point("mail-", OWNER, "remove", "before", count=2),
    "a large content staged for a mailbox": Point("mailboxes", "engine.mailbox.large", "LargeFiles.stage", count=2),
    "before the commit of a delivery": Point("mailboxes", WRITER, "Writer._commit", "before", count=3),
    "delivered, the queue not told": Point("mailboxes", WRITER, "Writer._commit", count=3),
}
STRAIGHT_ON = {
    "given out before it is stored": Point("mail-", OWNER, "Owner._send_straight"),
    "in its mailbox, never stored, 250 not said": Point("mail-", STRAIGHT, "Straight._answer", "before"),
    "to be stored after all, not committed": Point("mail-", STRAIGHT, "Straight.keep", count=1),
    "given to a mailbox straight, not committed": Point("mailboxes", WRITER, "Writer._commit", "before", count=3),
    "in its mailbox straight, nobody told": Point("mailboxes", WRITER, "Writer._commit", count=3),
}
CHANGING = {
    "a changed content in a file": Point("mail-", "engine.runtime.contents", "set_aside"),
    "a changed content in its place": Point("mail-", "engine.runtime.journey", "put_in_place"),
    "a changed content, committed": Point("mail-", OWNER, "Owner._stored", "before", count=20),
    "a changed content found, not sent back": Point("after-", "engine.links.host", "Host._answer", "before"),
    "a changed content on its way to a mailbox": Point(
        "mailboxes", "engine.mailbox.large", "LargeFiles.stage", count=2
    ),
    "a changed content settled": Point("mail-", OWNER, "Owner._settled", "before"),
}
RELOADING = {
    "a worker has opened a new revision": Point("mail-0", "engine.runtime.revision", "Revision.open", count=2),
    "a worker is about to switch": Point("mail-1", "engine.runtime.roles.mail", "MailRole.switched", "before", count=2),
    "a worker has switched": Point("after-0", "engine.runtime.roles.role", "Role.switched", count=2),
    "an old revision is let go": Point("mail-0", "engine.runtime.revision", "Revision.close", "before", count=1),
}
KEEPING = {
    "a revision is kept, and opened nowhere": Point("supervisor", "engine.revisions.archive", "Archive.take", count=2),
    "a revision is in force, which is not noted": Point(
        "supervisor", "engine.revisions.archive", "Archive.settle", "before", count=2
    ),
}
LINING_UP = {
    "nobody spoken to, not stored": Point("mail-", "engine.queue.lines", "Lines.unreached", count=1),
    "the line has its turn": Point("mail-", "engine.queue.lines", "Lines.rests", count=1),
    "one more stands in line": Point("mail-", "engine.queue.lines", "Lines.stored", count=2),
}
HOLDING = {
    "no slot, not stored": Point("mail-", "engine.queue.lines", "Lines.held", count=1),
    "held, in its line": Point("mail-", "engine.queue.lines", "Lines.stored", count=1),
    "one goes ahead at a busy site": Point("mail-", "engine.queue.lines", "Lines._end_rests", count=12),
}
WARNING = {
    "a delay report written, not stored": Point("mail-", OWNER, "warning", count=1),
    "a delay report handed over, not stored": Point("mail-", OWNER, "Owner._warn", count=1),
}
PARKING = {
    "to be parked, not stored": Point("mail-", OWNER, "Owner._change", "before", count=2),  # the first is at its start
    "parked": Point("mail-", OWNER, "Owner._settled", "before", count=1),
    "one of two is parked, the file has two names": Point("mail-", OWNER, "parked_apart", count=1),
    "one of two is parked": Point("mail-", OWNER, "Owner._settled", count=1),
}
LETTING_GO = {
    "to be let go, not stored": Point("mail-", PARKED, "_released", count=1),
    "let go": Point("mail-", PARKED, "event", "before", count=1),
    "one of two is to be let go, the file has two names": Point("mail-", PARKED, "set_apart", count=1),
    "one of two is let go": Point("mail-", PARKED, "event", "before", count=1),
}
EXPIRING = {
    "it is too old, and not deleted": Point("mail-", PARKED, "Parked._remove", "before", count=1),
    "it was too old, the file is left": Point("mail-", PARKED, "remove", "before", count=1),
}
TAKING = {
    "removed, the file is left": Point("mailboxes", "engine.mailbox.large", "LargeFiles.discard", "before", count=1),
    "a removal not committed": Point("mailboxes", "engine.mailbox.changes", "Change.__call__", count=1),
}
MAKING = {
    "a shard without all of its databases": Point("mail-0", "engine.queue.store", "Shard._database", count=3),
    "a shard without its format": Point("mail-0", "engine.queue.store", "Shard._check_format", "before", count=1),
}


@pytest.fixture
def dies(prepared: Postroad, tmp_path: Path):
    """Starts the server, with a point at which one of its processes dies, as one must have in the end."""
    died = tmp_path / "died"

    def start(point: Point) -> Postroad:
        prepared.environment = environment(point, died)
        return prepared.start()

    yield start
    assert died.exists(), "nobody came to the point"


@pytest.mark.parametrize("point", points(ARRIVING | LEAVING))
def test_a_process_dies_on_the_way_of_a_message(remote: Remote, dies, point: Point) -> None:
    _dies_under_load(dies(point), remote)


def _dies_under_load(server: Postroad, remote: Remote) -> None:
    """A worker dies while mail comes: nothing is lost, and nothing doubled."""
    load = Load(server)
    load.start()
    server.wait_for("worker-died")
    load.wait()
    settle_accounts(server, remote, load.ledger, again=False)


@pytest.mark.parametrize("point", points(STRAIGHT_ON, every=1))
def test_a_process_dies_with_what_is_not_stored(remote: Remote, dies, prepared: Postroad, point: Point) -> None:
    prepared.change({"lane": {"inbound": {"stages": ["accept", "before", "queue", "route"]}}, "stage": {"after": None}})
    _dies_under_load(dies(point), remote)


LONGER = '''
"""Adds to the text, so that all is large."""
from engine import Message

def {name}(message: Message) -> Message:
    return message.with_content(b"".join(message.chunks()) + b"{name}\\r\\n" * 25_000)
'''


@pytest.mark.parametrize("point", points(CHANGING, every=2))
def test_a_process_dies_while_contents_are_changed(remote: Remote, dies, prepared: Postroad, point: Point) -> None:
    for name in ("before", "after"):
        prepared.filter(name, LONGER.format(name=name))
    server = dies(point)
    load = Load(server, messages=60)
    load.start()
    server.wait_for("worker-died")
    load.wait()
    settle_accounts(server, remote, load.ledger, again=False)
    arrived = [*server.mailbox(BOB), *(one.content for one in remote.received)]
    letters = [one for one in arrived if b"Subject: token-" in one.split(b"\r\n\r\n")[0]]
    assert {(one.count(b"before\r\n"), one.count(b"after\r\n")) for one in letters} == {(25_000, 25_000)}
    until(lambda: not server.command("queue", "list").stdout, "an empty queue")
    assert server.stop() == 0
    server.start()
    assert list((server.folder / "var" / "content").iterdir()) == []


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


@pytest.mark.parametrize("point", points(KEEPING, every=1))
def test_the_supervisor_dies_while_a_revision_is_put_in_force(remote: Remote, dies, point: Point) -> None:
    server = dies(point)
    load = Load(server)
    load.start()
    load.until_answered(20)
    server.change({"stage": {"relay": {"connections": 7}}})
    assert server.reload().returncode == 1
    server.kill()
    server.start()
    load.wait()
    rows = json.loads(server.command("revision", "list", "--json").stdout)
    assert [(row["revision"], row["became"]) for row in rows] == [(1, "was in force"), (2, "in force")]
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


@pytest.mark.parametrize("point", points(LINING_UP))
def test_a_worker_dies_while_mail_lines_up(remote: Remote, dies, point: Point) -> None:
    remote.script = {"CONNECT": DROP}
    server = dies(point)
    for number in range(4):
        until(lambda number=number: _taken(server, letter(f"token-{number}-")), "a client to be answered", 4 * PATIENCE)
    server.wait_for("worker-died")
    server.wait_for("worker-restarted")
    verify(server)
    remote.script = {}
    assert server.stop() == 0  # `relay` has a memory of servers that broke off
    server.start()
    until(lambda: len(tokens([r.content for r in remote.received])) == 4, "mail that stood in line")
    assert max(tokens([r.content for r in remote.received]).values()) <= 2  # a client whose answer was lost


SLOTS = """
from dataclasses import dataclass, field
from typing import ClassVar

import trio
from engine import Defer, Delivered, Message

@dataclass
class Slots:
    effect: ClassVar[bool] = True
    free: int = field(default=1, init=False)

    async def __call__(self, message: Message):
        if not self.free:
            return Defer("no slot", "4.4.5", retry_after=0.2, line="remote.test/out")
        self.free -= 1
        await trio.sleep(0.3)
        self.free += 1
        return Delivered("250 " + message.header("Subject"), "remote.test")
"""


@pytest.mark.parametrize("point", points(HOLDING))
def test_a_worker_dies_while_mail_waits_for_a_busy_site(dies, prepared: Postroad, point: Point) -> None:
    prepared.filter("slots", SLOTS)
    prepared.change(
        {
            "lane": {"remote": {"stages": ["slots"]}},
            "stage": {"slots": {"use": "filters/slots.py"}, "resolve": None, "relay": None},
        }
    )
    server = dies(point)
    for number in range(6):
        until(lambda number=number: _taken(server, letter(f"token-{number}-")), "a client to be answered", 4 * PATIENCE)
    server.wait_for("worker-restarted")
    verify(server)
    for number in range(6):
        server.wait_for("delivered", reply=f"250 token-{number}-")
    until(lambda: not server.command("queue", "list").stdout, "an empty queue")
    assert not server.all("deferred")
    verify(server)


@pytest.mark.parametrize("point", points(WARNING, every=1))
def test_a_worker_dies_while_a_sender_is_told_of_a_delay(
    remote: Remote, dies, prepared: Postroad, point: Point
) -> None:
    remote.script = {"CONNECT": DROP}
    prepared.change({"queue": {"delay_warning": "2s"}, "stage": {"relay": {"retry": ["60s"]}}})
    server = dies(point)
    server.send(letter("token-0-"), FAR, sender=BOB)
    server.wait_for("worker-restarted")
    (report,) = server.mail_for(BOB)
    assert b"Action: delayed" in report
    verify(server)
    assert server.stop() == 0
    server.start()
    remote.script = {}
    assert server.command("queue", "retry", "--all", "--yes").returncode == 0
    until(lambda: len(remote.received) == 1, "the message that was late")
    assert len(server.mailbox(BOB)) == 1


def _taken(server: Postroad, message: bytes) -> bool:
    with contextlib.suppress(OSError, smtplib.SMTPException):
        server.send(message, FAR)
        return True
    return False


@pytest.mark.parametrize("point", points(PARKING, every=4))
def test_a_worker_dies_while_a_message_is_parked(remote: Remote, dies, prepared: Postroad, point: Point) -> None:
    """One recipient is parked; in half of the cases another one cannot be reached, and waits."""
    apart = point in list(PARKING.values())[2:]
    if apart:
        remote.script = {"CONNECT": DROP}
    prepared.filter("park", PARK)
    prepared.change({"lane": {"local": {"stages": ["park", "enqueue"]}}, "stage": {"park": {"use": "filters/park.py"}}})
    server = dies(point)
    server.send(letter("token-0-", "line\r\n" * 50_000), BOB, *([FAR] if apart else []))
    server.wait_for("worker-died")
    rows = until(lambda: _parked(server), "the message to be parked", 4 * PATIENCE)
    assert [row.split("\t")[3] for row in rows] == [BOB]
    verify(server)
    assert server.stop() == 0
    prepared.filter("park", PARK.replace("return Q", "return message or Q"))
    remote.script = {}
    server.start()
    assert server.command("queue", "release", rows[0].split("\t")[0]).returncode == 0
    assert len(server.mail_for(BOB)) == 1
    until(lambda: len(remote.received) == apart, "the other recipient's mail")
    until(lambda: not server.command("queue", "list").stdout, "an empty queue")
    assert list((server.folder / "var" / "content").iterdir()) == []


PARK = """
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("odd")
"""


@pytest.mark.parametrize("point", points(LETTING_GO, every=3))
def test_a_worker_dies_while_a_message_is_let_go(dies, prepared: Postroad, point: Point) -> None:
    """For all of its recipients, or for one of two: nobody gets it twice, nobody never."""
    whose = ["--to", BOB] if point in list(LETTING_GO.values())[2:] else []
    prepared.account(CAT).filter("park", PARK)
    prepared.change(
        {
            "lane": {"inbound": {"stages": ["accept", "before", "park", "queue", "after", "route"]}},
            "stage": {"park": {"use": "filters/park.py"}},
        }
    )
    server = dies(point)
    server.send(letter("token-0-", "line\r\n" * 50_000), BOB, CAT)
    (identity,) = [row.split("\t")[0] for row in _parked(server)]
    assert server.command("quarantine", "release", identity, *whose).returncode == 1
    server.wait_for("worker-restarted")
    verify(server)
    until(lambda: _is_let_go(server, identity, whose), "the message to be let go", 4 * PATIENCE)
    if whose:
        assert server.command("quarantine", "release", identity, "--to", CAT).returncode == 0
    assert [len(server.mail_for(one)) for one in (BOB, CAT)] == [1, 1]
    until(lambda: not server.command("queue", "list").stdout, "an empty queue")
    assert [len(server.mailbox(one)) for one in (BOB, CAT)] == [1, 1]
    assert server.stop() == 0
    server.start()  # which sweeps
    assert list((server.folder / "var" / "content").iterdir()) == []


def _is_let_go(server: Postroad, identity: str, whose: list[str]) -> bool:
    """Now, or before the crash."""
    done = server.command("quarantine", "release", identity, *whose)
    return done.returncode == 0 or "it is not parked" in done.stderr


@pytest.mark.parametrize("point", points(EXPIRING, every=2))
def test_a_worker_dies_while_a_message_expires(dies, prepared: Postroad, point: Point) -> None:
    prepared.filter("park", PARK)
    prepared.change(
        {
            "lane": {"inbound": {"stages": ["accept", "before", "park", "queue", "after", "route"]}},
            "stage": {"park": {"use": "filters/park.py"}},
            "quarantine": {"expire": "1s"},
        }
    )
    server = dies(point)
    server.send(letter("token-0-", "line\r\n" * 50_000), BOB)
    server.wait_for("worker-restarted")
    until(lambda: not _parked(server), "its end", 4 * PATIENCE)
    verify(server)
    assert server.stop() == 0
    server.start()  # which sweeps
    assert list((server.folder / "var" / "content").iterdir()) == []
    assert server.mailbox(BOB) == []


def _parked(server: Postroad) -> list[str]:
    return server.command("queue", "list", "state == 'quarantined'").stdout.splitlines()


@pytest.mark.parametrize("point", points(TAKING, every=2))
def test_the_mailboxes_die_while_mail_is_removed(dies, prepared: Postroad, point: Point) -> None:
    prepared.change({"mailboxes": {"keep_expunged": "0s"}})
    server = dies(point)
    server.send(letter("token-0-", "line\r\n" * 50_000), BOB)
    server.mail_for(BOB)
    client = poplib.POP3("127.0.0.1", server.ports["pop3"], timeout=PATIENCE)
    client.user(BOB)
    client.pass_(PASSWORD)
    client.dele(1)
    with pytest.raises(poplib.error_proto, match="some deleted messages not removed"):
        client.quit()
    server.wait_for("worker-restarted")
    committed = point is TAKING["removed, the file is left"]
    assert len(server.mailbox(BOB)) == (not committed)
    if committed:
        server.wait_for("leftovers-removed")
    assert len(server.all("leftovers-removed")) == committed
    assert len(list((server.folder / "var" / "mailbox" / "large").iterdir())) == (not committed)


@pytest.mark.parametrize("point", points(MAKING, every=0))
def test_a_worker_dies_while_its_shard_is_made(dies, prepared: Postroad, tmp_path: Path, point: Point) -> None:
    with pytest.raises(AssertionError, match="did not start"):
        dies(point)
    orphan = tmp_path / "var" / "content" / str(MessageId.new())
    orphan.touch()
    prepared.start()
    assert not orphan.exists()
    prepared.send(letter("token-0-"), BOB)
    prepared.mail_for(BOB)
