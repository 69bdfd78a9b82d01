"""Building the index: all that is in the mailboxes gets into it, whatever happens meanwhile."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq

from engine.index import Found, Index, Text, reading
from engine.index.background import GATHER, PATIENCE, Background
from engine.index.builder import Builder
from engine.index.digests import Digests
from engine.index.fulltext import FullText, Worded, file_of, search
from engine.index.layout import DIGESTS, Damaged
from engine.links.publish import Publisher
from engine.mailbox import Mailboxes, MailboxOwner
from engine.mailbox.commands import Copy, Create, Expunge, Move
from engine.mailbox.layout import INBOX
from engine.observe.events import event
from engine.storage.environment import Full
from tests.support.messages import message

ANN, BEN, CAL = 1, 2, 3


def letter(number: int, text: str = "") -> bytes:
    return f"Subject: letter{number}\r\n\r\nnumber {number} of many {text}\r\n".encode()


async def deliver(owner: MailboxOwner, *contents: bytes, to: tuple[int, ...] = (ANN,)) -> None:
    for content in contents:
        await owner.deliver(message(content=content), dict.fromkeys(to, "ann@example.org"))


@contextmanager
def builder(owner: MailboxOwner, path: Path, **options: Any) -> Iterator[Builder]:
    with closing(Builder(owner.reader, path, **{"full_text": True, **options})) as found:
        yield found


def finish(builder: Builder) -> int:
    turns = 1
    while builder.work():
        turns += 1
    return turns


def age(file: Path) -> None:
    """Let a file of full text be one of an older format."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 1")


def sweep(builder: Builder) -> None:
    for _ in builder.sweep():
        pass
    finish(builder)


def build(owner: MailboxOwner, path: Path, **options: Any) -> None:
    with builder(owner, path, **options) as found:
        finish(found)


def contents(owner: MailboxOwner, account: int = ANN, mailbox: int = INBOX) -> list[bytes]:
    return [row.content for _, row in owner.reader.arrivals(account, mailbox, 0, 10**6)]


def found(path: Path, text: str, account: int = ANN) -> Found:
    return search(file_of(path, account), Text(text))


def known(owner: MailboxOwner, path: Path, account: int = ANN, mailbox: int = INBOX) -> bool:
    """Whether the index knows all of a mailbox."""
    with closing(Index.open(path)) as index:
        keys = contents(owner, account, mailbox)
        assert keys
        status = owner.reader.status(account, mailbox)
        assert status is not None
        upto = index.search(account, Text("many")).known(mailbox, status.uidvalidity)
        return None not in index.envelopes(keys) and upto == status.uidnext - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(type(event), "__call__", lambda _, name, **values: said.append(name))
    return said


async def test_all_mail_gets_into_the_index(owner: MailboxOwner, path: Path, letters: list[bytes]) -> None:
    await deliver(owner, *map(letter, range(450)))
    await deliver(owner, *letters, to=(BEN, CAL))
    with builder(owner, path) as made:
        assert finish(made) > 2
    for account in (ANN, BEN, CAL):
        assert known(owner, path, account)
    assert found(path, "letter449").sure == set(contents(owner)[449:])
    assert found(path, "ETTER44").sure == {key for n, key in enumerate(contents(owner)) if "etter44" in f"letter{n}"}
    assert len(found(path, "many").sure) == 450
    assert not found(path, "letter449", BEN).sure
    assert found(path, "ann@example.org").unsure == set(contents(owner))  # in Delivered-To


async def test_what_comes_later_is_told(owner: MailboxOwner, path: Path) -> None:
    with builder(owner, path) as made:
        finish(made)
        await deliver(owner, letter(1))
        assert not made.work()
        assert not found(path, "letter1").sure
        made.told(ANN, INBOX)
        finish(made)
        assert found(path, "letter1").sure == set(contents(owner))
        await deliver(owner, letter(2))
        made.look()
        finish(made)
        assert found(path, "letter2").sure == set(contents(owner)[1:])


async def test_what_is_moved_or_copied_is_found_where_it_is(owner: MailboxOwner, path: Path) -> None:
    await deliver(owner, letter(1), letter(2))
    build(owner, path)
    other = (await owner.change(Create(account=ANN, name="Other"))).mailbox
    await owner.change(Move(account=ANN, mailbox=INBOX, uids=(1,), to=other))
    await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(2,), to=other))
    build(owner, path)
    assert known(owner, path)
    assert known(owner, path, mailbox=other)
    assert found(path, "letter1").sure == set(contents(owner, mailbox=other)[:1])
    assert found(path, "letter2").sure == set(contents(owner))


async def test_a_content_is_read_once_for_all_who_got_it(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    content = Mailboxes.content
    monkeypatch.setattr(Mailboxes, "content", lambda self, key: (read.append(key), content(self, key))[1])
    await deliver(owner, letter(1), to=(ANN, BEN, CAL))
    build(owner, path)
    assert len(read) == 1
    for account in (ANN, BEN, CAL):
        assert found(path, "letter1", account).sure == set(contents(owner))
    build(owner, path)
    assert len(read) == 1


async def test_what_has_gone_from_the_mailboxes_goes_from_the_index(owner: MailboxOwner, path: Path) -> None:
    await deliver(owner, letter(1), letter(2))
    first, second = contents(owner)
    with builder(owner, path) as made:
        finish(made)
        await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=(1,), deleted_only=False))
        sweep(made)
        assert made._digests.missing([first, second]) == {first}
        assert found(path, "letter1").sure == set()
        await owner.erase(ANN)
        sweep(made)
        assert made._digests.missing([second]) == {second}
        assert not made._digests.marked()
        assert not file_of(path, ANN).exists()


async def test_a_text_of_which_most_is_gone_is_built_anew(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.index.builder.GARBAGE", 3)
    await deliver(owner, *map(letter, range(10)))
    with builder(owner, path) as made:
        finish(made)
        await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=tuple(range(1, 9)), deleted_only=False))
        sweep(made)
    with FullText(file_of(path, ANN)) as text:
        assert not text.is_mostly_gone(0)
    assert found(path, "many").sure == set(contents(owner))
    assert known(owner, path)


@pytest.mark.parametrize("lost", ["digests", "one text", "all", "a damaged text", "a damaged text in use"])
async def test_what_is_lost_or_damaged_is_built_anew(
    owner: MailboxOwner, path: Path, lost: str, events: list[str]
) -> None:
    await deliver(owner, letter(1), to=(ANN, BEN))
    await deliver(owner, letter(2))
    build(owner, path)
    if lost == "digests":
        shutil.rmtree(path / DIGESTS)
    elif lost == "one text":
        file_of(path, ANN).unlink()
    elif lost == "all":
        shutil.rmtree(path)
    else:
        file_of(path, ANN).write_bytes(b"x" * 100_000)
        if lost == "a damaged text in use":
            await deliver(owner, letter(3))
    with builder(owner, path) as made:
        finish(made)
        if lost == "a damaged text":  # nobody needs it before something comes
            sweep(made)
    assert known(owner, path)
    assert known(owner, path, BEN)
    assert found(path, "letter1").sure == set(contents(owner)[:1])
    assert ("index-damaged" in events) == lost.startswith("a damaged")


@pytest.mark.parametrize("error", [Damaged("a page is not what it should be"), Full("no room")])
async def test_what_could_not_be_kept_is_done_again(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str], error: Exception
) -> None:
    await deliver(owner, letter(1))
    with builder(owner, path) as made:
        finish(made)
        await deliver(owner, letter(2))
        add = Digests.add
        broken = [error]

        def failing(self: Digests, *arguments: Any) -> None:
            if broken:
                raise broken.pop()
            add(self, *arguments)

        monkeypatch.setattr(Digests, "add", failing)
        made.told(ANN, INBOX)
        with pytest.raises(Full) if isinstance(error, Full) else nullcontext():
            made.work()
        finish(made)
    assert ("index-damaged" in events) == isinstance(error, Damaged)
    assert known(owner, path)


async def test_after_an_older_store_was_put_back_all_of_it_is_known(tmp_path: Path, path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await deliver(owner, letter(1), letter(2))
    shutil.copytree(tmp_path / "mailbox", tmp_path / "backup")
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=(1, 2), deleted_only=False))
        await deliver(owner, letter(3))
        with builder(owner, path) as made:
            finish(made)
            sweep(made)
        assert found(path, "many").sure == set(contents(owner))
    shutil.copy(tmp_path / "backup" / "data.mdb", tmp_path / "mailbox" / "data.mdb")  # the same file, another time
    with MailboxOwner(tmp_path / "mailbox") as owner:
        with builder(owner, path) as made:
            assert not found(path, "many").marks
            finish(made)
        assert len(contents(owner)) == 2
        assert known(owner, path)
        assert found(path, "letter1").sure == set(contents(owner)[:1])


async def test_a_damaged_text_beside_another_store_is_built_anew(
    owner: MailboxOwner, path: Path, events: list[str]
) -> None:
    await deliver(owner, letter(1))
    build(owner, path)
    shutil.rmtree(path / DIGESTS)
    file_of(path, ANN).write_bytes(b"x" * 100_000)
    build(owner, path)
    assert "index-damaged" in events
    assert known(owner, path)


async def test_without_full_text_there_are_digests_alone(owner: MailboxOwner, path: Path) -> None:
    await deliver(owner, letter(1))
    with builder(owner, path, full_text=False) as made:
        finish(made)
        assert made._digests.missing(contents(owner)) == set()
        assert not file_of(path, ANN).exists()
        made.full_text = True
        finish(made)
        assert found(path, "letter1").sure == set(contents(owner))
        made.full_text = False
        finish(made)
        sweep(made)
        assert not file_of(path, ANN).exists()
        made.full_text = True
        finish(made)
        assert found(path, "letter1").sure == set(contents(owner))


@pytest.mark.parametrize("account", [ANN, None])
async def test_it_is_built_anew_where_somebody_wants_that(owner: MailboxOwner, path: Path, account: int | None) -> None:
    await deliver(owner, letter(1), to=(ANN, BEN))
    with builder(owner, path) as made:
        finish(made)
        for each in (ANN, BEN):
            with FullText(file_of(path, each)) as text:
                text.add([Worded(bytes(24), [], ["strange"])], [])
        made.rebuild(account)
        finish(made)
        assert [bool(found(path, "strange", each).sure) for each in (ANN, BEN)] == [False, account is not None]
    assert known(owner, path)
    assert known(owner, path, BEN)


async def test_one_message_that_cannot_be_read_stops_no_other(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str]
) -> None:
    row_of = reading.row_of

    def failing(octets: Any, received: float) -> Any:
        if b"letter1" in (octets.held or b""):
            raise RecursionError("too deep")
        return row_of(octets, received)

    monkeypatch.setattr(reading, "row_of", failing)
    await deliver(owner, letter(0), letter(1), letter(2))
    build(owner, path)
    assert events.count("bug") == 1
    assert found(path, "many").sure == {contents(owner)[0], contents(owner)[2]}
    assert found(path, "many").unsure == {contents(owner)[1]}  # whoever searches looks at it


async def test_a_large_message_is_found_by_its_last_word(owner: MailboxOwner, path: Path) -> None:
    text = b"some words in a line\r\n" * 60_000
    await deliver(owner, b"Subject: large\r\n\r\n" + text + b"the lastword\r\n")
    build(owner, path)
    assert found(path, "lastword").sure == set(contents(owner))


async def test_a_disk_that_is_full_stops_the_builder_alone(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str], autojump_clock: Any
) -> None:
    await deliver(owner, letter(1))
    with builder(owner, path, reserve=2**62) as made:
        with pytest.raises(Full):
            made.work()
        background = Background(made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(background.run)
            while "index-stopped" not in events:
                await trio.sleep(1)
            await trio.sleep(300)
            assert events.count("index-stopped") == 1
            made.reserve = 0
            while "index-resumed" not in events:
                await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert events.count("index-resumed") == 1


async def test_digests_that_have_no_room_are_written_later(
    owner: MailboxOwner, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.index.builder.Digests", lambda path: Digests(path, map_size=64 * 1024))
    await deliver(owner, *(letter(number, "x" * 2000) for number in range(100)))
    with builder(owner, path) as made, pytest.raises(Full):
        finish(made)
    monkeypatch.undo()
    build(owner, path)
    assert known(owner, path)


async def test_news_set_it_to_work(owner: MailboxOwner, path: Path, tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{tmp_path}/news"
    publisher = Publisher(context, endpoint)
    owner.tell = lambda news: publisher.tell(*news)
    await deliver(owner, letter(1))
    with builder(owner, path) as made:
        background = Background(made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.serve)
            nursery.start_soon(background.run)
            nursery.start_soon(background.listen, context, endpoint)
            for number in (1, 2):
                with trio.fail_after(60):
                    while not found(path, f"letter{number}").sure:
                        await trio.sleep(0.02)
                await deliver(owner, letter(2))
            nursery.cancel_scope.cancel()
    context.term()


class Swept:
    """A builder with a sweep without end. It knows when it was asked to work, and something had come."""

    def __init__(self) -> None:
        self.worked: list[float] = []
        self.swept = 0
        self._told = False

    def work(self) -> bool:
        if self._told:
            self.worked.append(trio.current_time())
        self._told = False
        return False

    def sweep(self) -> Iterator[None]:
        while True:
            self.swept += 1
            yield

    def rebuild(self, account: int | None) -> None:
        self._told = True


async def test_mail_that_streams_in_is_waited_for_in_the_midst_of_a_sweep_too(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Any
) -> None:
    async def in_a_while(function: Callable[..., Any], *arguments: Any) -> Any:
        await trio.sleep(0.01)  # a thread would take real time, which this clock knows nothing of
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", in_a_while)
    swept = Swept()
    background = Background(swept)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(background.run)
        await trio.sleep(GATHER)
        assert swept.swept > 5
        for _ in range(100):
            await background.rebuild(None)
            await trio.sleep(GATHER / 2)
        swept.swept = 0
        await trio.sleep(3 * GATHER)
        assert swept.swept > 5  # it goes on
        nursery.cancel_scope.cancel()
    pauses = [after - before for before, after in pairwise(swept.worked[:-1])]  # the last one came when it was calm
    assert len(pauses) > 2
    assert min(pauses) >= PATIENCE


KILLED = """
import sys
from pathlib import Path
from engine.index.builder import Builder
from engine.mailbox import Mailboxes
import engine.index.builder
engine.index.builder.MESSAGES = 3
builder = Builder(Mailboxes.open(Path(sys.argv[1])), Path(sys.argv[2]), full_text=True)
print("began", flush=True)
while builder.work():
    print("turn", flush=True)
print("done", flush=True)
"""


async def test_a_builder_that_is_killed_again_and_again_gets_it_done(tmp_path: Path, path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await deliver(owner, *map(letter, range(24)))
    done = False
    for turns in range(60):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "mailbox"), str(path)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(1 + turns // 2):
            done = process.stdout.readline() == "done\n"
            if done:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if done:
            break
    assert done
    with MailboxOwner(tmp_path / "mailbox") as owner:
        assert known(owner, path)
        assert found(path, "many").sure == set(contents(owner))
        for number in (0, 12, 23):
            assert found(path, f"letter{number}").sure >= {contents(owner)[number]}


async def test_a_file_of_an_older_format_is_built_anew(owner: MailboxOwner, tmp_path: Path) -> None:
    await deliver(owner, letter(1, "apples"))
    with builder(owner, tmp_path) as building:
        finish(building)
    file = file_of(tmp_path, ANN)
    age(file)
    assert search(file, Text("apples")) == Found()
    with builder(owner, tmp_path) as building:
        finish(building)
        sweep(building)
    assert len(search(file, Text("apples")).sure) == 1
