"""The mailbox store: exactly once, one content for many, bounded memory, nothing half done."""

import errno
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from mailbox_samples import HEADING, Endless, written

from engine import Message, MessageId
from engine.mailbox import Full, Mailboxes, MailboxOwner, MessageGone, Outcome, StorageError
from engine.mailbox.layout import CHUNK, INLINE, MAX_DATABASES, Databases, erasing_key
from engine.mailbox.owner import REMEMBER, ROUND
from engine.mailbox.reader import first_lines
from engine.mailbox.removal import Condemn
from engine.storage.environment import open_environment

ANN, BEN, CAT = 1, 2, 2**40
TO_ANN = {ANN: "ann@example.org"}


def read(owner: MailboxOwner, account: int, uid: int) -> bytes:
    return b"".join(owner.reader.chunks(account, uid))


class Wall:
    """A clock that goes with trio's, and can be set."""

    ahead = 0.0  # seconds

    def __call__(self) -> float:
        return 1_800_000_000.0 + trio.current_time() + self.ahead


def files(owner: MailboxOwner) -> list[Path]:
    return sorted((owner.path / "large").iterdir())


async def test_a_delivered_message_is_read_back_with_its_two_header_fields(owner: MailboxOwner) -> None:
    message = written(b"Subject: hi\r\n\r\nHello\r\n", prepended=b"Received: x\r\n")
    assert await owner.deliver(message, TO_ANN) == {ANN: Outcome.DELIVERED}
    assert read(owner, ANN, 1) == HEADING + b"Received: x\r\nSubject: hi\r\n\r\nHello\r\n"
    (entry,) = owner.reader.messages(ANN)
    assert (entry.uid, entry.size) == (1, len(read(owner, ANN, 1)))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, INLINE, INLINE + 1, 3 * INLINE])
async def test_every_size_comes_back_whole(owner: MailboxOwner, size: int) -> None:
    octets = os.urandom(size)
    await owner.deliver(written(octets), TO_ANN)
    assert read(owner, ANN, 1) == HEADING + octets
    assert len(files(owner)) == (size > INLINE)


async def test_the_null_sender_and_no_injected_field(owner: MailboxOwner) -> None:
    message = written(b"\r\n")
    bounce = Message(message.id, type(message.envelope)("", message.envelope.recipients), message.content)
    await owner.deliver(bounce, {ANN: "ann@example.org\r\nEvil: yes"})
    assert read(owner, ANN, 1).splitlines()[:2] == [b"Return-Path: <>", b"Delivered-To: ann@example.orgEvil: yes"]


@pytest.mark.parametrize("size", [100, INLINE + 100])
async def test_a_message_is_delivered_to_an_account_once(owner: MailboxOwner, size: int) -> None:
    message = written(Endless(size))
    await owner.deliver(message, TO_ANN)
    assert await owner.deliver(message, TO_ANN) == {ANN: Outcome.ALREADY}
    assert await owner.deliver(message, {**TO_ANN, BEN: "ben@example.org"}) == {
        ANN: Outcome.ALREADY,
        BEN: Outcome.DELIVERED,
    }
    assert [len(owner.reader.messages(account)) for account in (ANN, BEN)] == [1, 1]
    assert len(files(owner)) == (size > INLINE)


@pytest.mark.parametrize("size", [100, INLINE + 100])
async def test_even_when_it_was_read_and_removed_in_between(owner: MailboxOwner, size: int) -> None:
    message = written(Endless(size))
    await owner.deliver(message, TO_ANN)
    assert await owner.remove(ANN, [1]) == 1
    assert await owner.deliver(message, TO_ANN) == {ANN: Outcome.ALREADY}
    assert owner.reader.messages(ANN) == []
    assert files(owner) == []


async def test_once_among_many_that_try_at_the_same_time(owner: MailboxOwner) -> None:
    message, outcomes = written(b"\r\n"), []

    async def deliver() -> None:
        outcomes.append((await owner.deliver(message, TO_ANN))[ANN])

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(deliver)
    assert outcomes.count(Outcome.DELIVERED) == 1
    assert len(owner.reader.messages(ANN)) == 1


async def test_deliveries_that_wait_together_share_a_commit(owner: MailboxOwner) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(owner.deliver, written(b"\r\n"), TO_ANN)
    assert owner.writer.changes == 200
    assert owner.writer.commits < 200
    assert [entry.uid for entry in owner.reader.messages(ANN)] == list(range(1, 201))


@pytest.mark.parametrize("size", [20_000, INLINE + 100])
async def test_content_is_stored_once_and_goes_with_its_last_message(owner: MailboxOwner, size: int) -> None:
    message = written(Endless(size))
    everybody = {account: f"user{account}@example.org" for account in range(1, 11)}
    await owner.deliver(message, everybody)
    assert len(stored(owner, "content")) == 1
    for account in range(1, 10):
        await owner.remove(account, [1])
        assert owner.reader.verify() == []
    assert b"Delivered-To: user10@example.org\r\n" in read(owner, 10, 1)
    await owner.remove(10, [1])
    assert stored(owner, "content") == stored(owner, "chunk") == []
    assert files(owner) == []


async def test_header_fields_that_a_late_filter_added_for_some_stay_with_them(owner: MailboxOwner) -> None:
    message = written(b"\r\nHello\r\n")
    await owner.deliver(message, TO_ANN)
    await owner.deliver(message.with_header("X-Only", "Ben"), {BEN: "ben@example.org"})
    assert b"X-Only" not in read(owner, ANN, 1)
    assert b"X-Only: Ben" in read(owner, BEN, 1)


async def test_uids_and_uidls_are_never_used_again(owner: MailboxOwner) -> None:
    seen = set()
    for _ in range(3):
        await owner.deliver(written(b"\r\n"), TO_ANN)
        (entry,) = owner.reader.messages(ANN)
        seen.add(entry.uidl)
        await owner.remove(ANN, [entry.uid])
    assert len(seen) == 3
    for uidl in seen:
        assert len(uidl) <= 70
        assert all("!" <= character <= "~" for character in uidl)


async def test_mailboxes_made_in_the_same_second_differ_in_uidvalidity(owner: MailboxOwner) -> None:
    await owner.deliver(written(b"\r\n"), dict.fromkeys((ANN, BEN, CAT), "x@example.org"))
    assert len({owner.reader.messages(account)[0].uidl for account in (ANN, BEN, CAT)}) == 3


async def test_a_mailbox_is_one_range_even_beside_neighbours(owner: MailboxOwner) -> None:
    for account in (1, 2, 255, 256, 257, 2**63):
        for _ in range(account % 4 + 1):
            await owner.deliver(written(b"\r\n"), {account: "x@example.org"})
    for account in (1, 2, 255, 256, 257, 2**63):
        assert [entry.uid for entry in owner.reader.messages(account)] == list(range(1, account % 4 + 2))
    assert owner.reader.messages(3) == []


async def test_unknown_uids_are_ignored_and_sums_are_kept(owner: MailboxOwner) -> None:
    for _ in range(3):
        await owner.deliver(written(b"\r\n"), TO_ANN)
    assert await owner.remove(ANN, [2, 2, 9]) == 1
    assert await owner.remove(BEN, [1]) == 0
    assert [entry.uid for entry in owner.reader.messages(ANN)] == [1, 3]
    with pytest.raises(MessageGone):
        read(owner, ANN, 2)


async def test_an_erased_account_loses_all_and_gets_nothing_more(owner: MailboxOwner, monkeypatch) -> None:
    monkeypatch.setattr("engine.mailbox.owner.STEP", 4)
    shared = written(Endless(INLINE + 1))
    await owner.deliver(shared, {**TO_ANN, BEN: "ben@example.org"})
    for _ in range(10):
        await owner.deliver(written(b"\r\n"), TO_ANN)
    assert await owner.erase(ANN) == 11
    assert owner.reader.messages(ANN) == []
    assert await owner.deliver(written(b"\r\n"), TO_ANN) == {ANN: Outcome.GONE}
    assert stored(owner, "mailbox") == [key for key in stored(owner, "mailbox") if key[:8] == BEN.to_bytes(8, "big")]
    assert len(read(owner, BEN, 1)) == owner.reader.messages(BEN)[0].size


async def test_a_broken_off_erasure_is_taken_up_again(owner: MailboxOwner, autojump_clock) -> None:
    await owner.deliver(written(b"\r\n"), TO_ANN)
    await owner.writer.apply(Condemn(owner.databases, ANN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.tend)
        while erasing_key(ANN) in stored(owner, "meta"):
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert owner.reader.messages(ANN) == []


ERASER = """
import os, signal, sys
from pathlib import Path
import trio
sys.path.insert(0, sys.argv[2])
from mailbox_samples import Endless, written
from engine.mailbox import MailboxOwner, owner as module

async def main():
    owner = MailboxOwner(Path(sys.argv[1]))
    module.STEP = 2
    for size in (10, 200_000) * 3:
        await owner.deliver(written(Endless(size)), {1: "x@example.org"})
    async def die(files):
        os.kill(os.getpid(), signal.SIGKILL)
    owner._discard = die
    await owner.erase(1)

trio.run(main)
"""


async def test_kill_9_in_mid_erasure(tmp_path: Path, autojump_clock) -> None:
    path = tmp_path / "mailbox"
    subprocess.run([sys.executable, "-c", ERASER, str(path), str(Path(__file__).parent)], check=False)
    with MailboxOwner(path) as owner:
        assert len(owner.reader.messages(ANN)) == 4
        assert len(files(owner)) == 2
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            while owner.reader.messages(ANN) or files(owner) or owner.reader.verify():  # what goes in steps
                await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert await owner.deliver(written(b"\r\n"), TO_ANN) == {ANN: Outcome.GONE}


async def test_a_round_that_fails_is_logged_and_the_next_one_works(
    owner: MailboxOwner, monkeypatch, autojump_clock, caplog
) -> None:
    monkeypatch.setattr(owner, "_clock", Wall())
    await owner.deliver(written(b"\r\n", now=1.0), TO_ANN)
    forget = owner.forget

    async def broken(before: float) -> int:
        monkeypatch.setattr(owner, "forget", forget)
        raise Full("no room")

    monkeypatch.setattr(owner, "forget", broken)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.tend)
        while stored(owner, "delivered"):
            await trio.sleep(600)
        nursery.cancel_scope.cancel()
    assert "no room" in caplog.text


async def test_old_deliveries_are_forgotten_after_thirty_days(tmp_path: Path, monkeypatch, autojump_clock) -> None:
    monkeypatch.setattr("engine.mailbox.owner.STEP", 3)
    wall = Wall()
    old, young = wall() - REMEMBER, wall() - REMEMBER + 1.5 * ROUND
    with MailboxOwner(tmp_path / "mailbox", clock=wall) as owner:
        for made in [old] * 7 + [young] * 2:
            await owner.deliver(written(b"\r\n", now=made), TO_ANN)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            await trio.sleep(ROUND - 1)
            assert len(stored(owner, "delivered")) == 9  # at the start nobody knows what the clock did before
            while len(stored(owner, "delivered")) > 2:
                await trio.sleep(1)  # little: the clock jumps while the disk is busy, and the young must stay young
            while stored(owner, "delivered"):
                await trio.sleep(60)
            nursery.cancel_scope.cancel()
        assert len(owner.reader.messages(ANN)) == 9
        assert owner.reader.verify() == []


@pytest.mark.parametrize("days", [2, 40, -40])
async def test_a_second_delivery_is_seen_after_the_clock_jumped_and_came_back(
    tmp_path: Path, mock_clock, days: int
) -> None:
    wall = Wall()

    async def sleep(seconds: float) -> None:
        mock_clock.autojump_threshold = 0.05  # for only here time passes, and not while a commit is waited for
        await trio.sleep(seconds)
        mock_clock.autojump_threshold = math.inf

    with MailboxOwner(tmp_path / "mailbox", clock=wall) as owner:
        message = written(b"\r\n", now=wall())
        await owner.deliver(message, TO_ANN)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            await sleep(1.5 * ROUND)
            wall.ahead = days * 86400.0
            await sleep(ROUND)
            assert await owner.deliver(message, TO_ANN) == {ANN: Outcome.ALREADY}
            await owner.deliver(written(b"\r\n", now=wall()), {ANN: "ann@example.org", BEN: "ben@example.org"})
            wall.ahead = 0.0
            await sleep(ROUND)
            nursery.cancel_scope.cancel()
        assert await owner.deliver(message, TO_ANN) == {ANN: Outcome.ALREADY}
        await owner.deliver(written(b"\r\n", now=wall()), TO_ANN)
        assert [entry.uid for entry in owner.reader.messages(ANN)] == [1, 2, 3]
        assert owner.reader.verify() == []


async def test_the_queues_own_file_is_linked_not_copied(owner: MailboxOwner, tmp_path: Path) -> None:
    content = Endless(300_000, tmp_path / "queued")
    content.path.write_bytes(b"".join(content.chunks()))
    await owner.deliver(written(content, prepended=b"Received: x\r\n"), TO_ANN)
    (file,) = files(owner)
    assert file.samefile(content.path)
    content.path.unlink()
    assert read(owner, ANN, 1) == HEADING + b"Received: x\r\n" + b"".join(content.chunks())
    await owner.remove(ANN, [1])
    assert files(owner) == []


@pytest.mark.parametrize("size", [100, 300_000])
async def test_each_has_the_content_that_was_made_for_it(owner: MailboxOwner, size: int) -> None:
    """Of one message, of one size, and with no header fields of ours: nothing else tells them apart."""
    message = written(b"\r\n" + b"." * size)
    for account, letter in ((ANN, b"a"), (BEN, b"b")):
        await owner.deliver(message.with_content(b"\r\n" + letter * size), {account: "x"})
    for account, letter in ((ANN, b"a"), (BEN, b"b")):
        assert read(owner, account, 1).endswith(b"\r\n" + letter * size)


@pytest.mark.parametrize("size", [100, 300_000])
async def test_header_fields_that_are_left_out_are_not_delivered(
    owner: MailboxOwner, tmp_path: Path, size: int
) -> None:
    field = b"X: " + b"x" * 73 + b"\r\n"
    content = Endless(size * len(field), tmp_path / "queued", field)
    content.path.write_bytes(b"".join(content.chunks()))
    whole = written(content)
    left = iter([True, False])
    without = whole.without_fields("X", lambda _: next(left, False))
    await owner.deliver(whole, {BEN: "ben@example.org"})
    await owner.deliver(without, TO_ANN)
    assert read(owner, ANN, 1) == HEADING + b"".join(content.chunks()).removeprefix(field)
    assert read(owner, BEN, 1).endswith(b"".join(content.chunks()))
    assert owner.reader.verify() == []


async def test_a_file_that_is_not_the_content_or_cannot_be_linked_is_copied(
    owner: MailboxOwner, tmp_path: Path
) -> None:
    (tmp_path / "short").write_bytes(b"not this")
    for number, path in enumerate([tmp_path / "short", tmp_path / "missing", Path("/proc/self/stat")], 1):
        content = Endless(200_000, path)
        await owner.deliver(written(content), TO_ANN)
        assert read(owner, ANN, number) == HEADING + b"".join(content.chunks())


async def test_orphan_files_go_at_the_next_start_and_others_stay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mailbox"
    with MailboxOwner(path) as owner:
        await owner.deliver(written(Endless(INLINE + 1)), TO_ANN)
        (kept,) = files(owner)
    (path / "large" / f"{MessageId.new()}-{'0' * 16}").write_bytes(b"orphan")
    (path / "large" / "README").write_bytes(b"not ours")
    with MailboxOwner(path) as owner:
        assert files(owner) == sorted([kept, path / "large" / "README"])
        assert owner.reader.verify() == []
    MailboxOwner(path).close()
    (said,) = capfd.readouterr().err.splitlines()
    assert '"event":"leftovers-removed","process":"","files":1,"why":"content that no message in a mailbox' in said


class Breaking(Endless):
    """Content whose disk breaks in the middle."""

    def chunks(self) -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_disk_that_fills_up_while_a_large_message_is_written_leaves_nothing(owner: MailboxOwner) -> None:
    with pytest.raises(Full):
        await owner.deliver(written(Breaking(INLINE + 1)), TO_ANN)
    assert files(owner) == stored(owner, "message") == stored(owner, "delivered") == []


async def fill(owner: MailboxOwner) -> int:
    for delivered in range(100):
        try:
            await owner.deliver(written(b"x" * 100_000), TO_ANN)
        except Full:
            return delivered
    raise AssertionError("it never filled up")


async def test_a_full_map_leaves_nothing_and_room_is_found_again(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox", map_size=2**21) as owner:
        delivered = await fill(owner)
        assert len(owner.reader.messages(ANN)) == delivered > 5
        content = Endless(INLINE + 1, tmp_path / "queued")
        content.path.write_bytes(b"".join(content.chunks()))
        with pytest.raises(Full):  # the file is linked by then
            await owner.deliver(written(content, prepended=b"X: y\r\n" * 50_000), TO_ANN)
        assert files(owner) == []
        assert owner.reader.verify() == []
        for uid in range(1, 6):  # LMDB gives pages out again two commits after they were freed
            await owner.remove(ANN, [uid])
        assert await owner.deliver(written(b"x" * 100_000), TO_ANN) == {ANN: Outcome.DELIVERED}


async def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox", reserve=2**60) as owner:
        with pytest.raises(Full, match="nearly full"):
            await owner.deliver(written(b"\r\n"), TO_ANN)
        assert owner.writer.changes == 0


async def test_cancelling_a_large_delivery_leaves_no_orphan(owner: MailboxOwner) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await owner.deliver(written(Endless(INLINE + 1)), TO_ANN)
    assert len(files(owner)) == len(stored(owner, "message"))


async def test_thirty_megabytes_go_in_and_out_in_bounded_memory(owner: MailboxOwner) -> None:
    tracemalloc.start()
    await owner.deliver(written(Endless(30_000_000)), TO_ANN)
    size = sum(map(len, owner.reader.chunks(ANN, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == owner.reader.messages(ANN)[0].size == 30_000_000 + len(HEADING)
    assert peak < 2_000_000


async def test_a_message_removed_while_it_is_read_is_gone_or_whole(owner: MailboxOwner) -> None:
    for size in (INLINE, 4 * INLINE):
        await owner.deliver(written(Endless(size)), TO_ANN)
    inline, filed = owner.reader.chunks(ANN, 1), owner.reader.chunks(ANN, 2)
    next(inline)
    begun = len(next(filed))
    await owner.remove(ANN, [1, 2])
    with pytest.raises(MessageGone):
        list(inline)
    assert begun + sum(map(len, filed)) == len(HEADING) + 4 * INLINE


async def test_only_one_owner(owner: MailboxOwner, tmp_path: Path) -> None:
    program = f"import trio, sys\nfrom pathlib import Path\nfrom engine.mailbox import MailboxOwner\n\
async def main(): MailboxOwner(Path({str(owner.path)!r}))\ntrio.run(main)"
    result = await trio.run_process([sys.executable, "-c", program], capture_stderr=True, check=False)
    assert result.returncode == 1
    assert b"in use by another process" in result.stderr


async def test_a_store_of_a_later_format_is_refused(tmp_path: Path) -> None:
    environment = open_environment(tmp_path / "mailbox", map_size=2**20, databases=MAX_DATABASES)
    databases = Databases(environment, create=True)
    with environment.begin(write=True) as transaction:
        transaction.put(b"format", b"\x63", db=databases.meta)
    environment.close()
    with pytest.raises(StorageError, match="format 99"):
        MailboxOwner(tmp_path / "mailbox")


def test_a_reader_before_the_owner_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Mailboxes.open(tmp_path / "mailbox")


READER = """
import sys
from pathlib import Path
from engine.mailbox import Mailboxes
mailboxes = Mailboxes.open(Path(sys.argv[1]))
for line in sys.stdin:
    print(len(mailboxes.messages(int(line))), b"".join(mailboxes.chunks(int(line), 1))[-7:], flush=True)
"""


async def test_a_reader_in_another_process_sees_deliveries_at_once(owner: MailboxOwner) -> None:
    await owner.deliver(written(b"\r\nHello\r\n"), TO_ANN)
    arguments = [sys.executable, "-c", READER, str(owner.path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for number in (1, 2, 3):
            print(ANN, file=reader.stdin, flush=True)
            assert reader.stdout.readline() == f"{number} b'Hello\\r\\n'\n"
            await owner.deliver(written(b"\r\n"), TO_ANN)
        reader.stdin.close()


OWNER = """
import os, sys
from pathlib import Path
import trio
sys.path.insert(0, sys.argv[2])
from mailbox_samples import Endless, written
from engine.mailbox import MailboxOwner

async def main():
    owner = MailboxOwner(Path(sys.argv[1]))
    async def deliver(account):
        for turn in range(100_000):
            message = written(Endless(200_000 if turn % 5 == 4 else 3_000))
            await owner.deliver(message, {account: "x@example.org", account + 100: "y@example.org"})
            os.write(1, f"{message.id} {account}\\n".encode())
            if turn % 3 == 2:
                await owner.remove(account, [turn - 1])
    async with trio.open_nursery() as nursery:
        for account in range(1, 9):
            nursery.start_soon(deliver, account)

trio.run(main)
"""


@pytest.mark.parametrize("acknowledged", [1, 60, 300])
async def test_kill_9_in_mid_load_loses_nothing_and_doubles_nothing(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "mailbox"
    arguments = [sys.executable, "-c", OWNER, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    with MailboxOwner(path) as owner:
        assert owner.reader.verify() == []
        for line in lines:
            message_id, account = line.split()
            message = written(b"\r\n")
            again = Message(MessageId.parse(message_id), message.envelope, message.content)
            assert await owner.deliver(again, {int(account): "x@example.org"}) == {int(account): Outcome.ALREADY}


MESSAGE = b"Subject: dots\r\nX: y\r\n\r\none\r\n\r\ntwo\r\nthree"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, b"Subject: dots\r\nX: y\r\n\r\n"),
        (1, b"Subject: dots\r\nX: y\r\n\r\none\r\n"),
        (2, b"Subject: dots\r\nX: y\r\n\r\none\r\n\r\n"),
        (4, MESSAGE),
        (99, MESSAGE),
    ],
)
@given(st.data())
def test_top_in_any_pieces(lines: int, expected: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(MESSAGE)), max_size=9)))
    pieces = [MESSAGE[a:b] for a, b in zip([0, *cuts], [*cuts, len(MESSAGE)], strict=True)]
    assert b"".join(first_lines(iter(pieces), lines)) == expected


async def test_top_of_a_stored_message(owner: MailboxOwner) -> None:
    await owner.deliver(written(b"Subject: x\r\n\r\n" + b"line\r\n" * 30_000), TO_ANN)
    assert b"".join(owner.reader.top(ANN, 1, 2)) == HEADING + b"Subject: x\r\n\r\nline\r\nline\r\n"


async def test_verify_finds_what_is_wrong(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await owner.deliver(written(b"x" * 20_000, now=1.0), {**TO_ANN, BEN: "ben@example.org"})
        await owner.deliver(written(Endless(INLINE + 1), now=2.0), TO_ANN)
        for file in files(owner):
            file.write_bytes(b"cut short")
        for name in ("chunk", "content", "message"):
            key = stored(owner, name)[0]
            await owner.writer.apply(
                lambda batch, name=name, key=key: batch.delete(getattr(owner.databases, name), key)
            )
        found = "\n".join(owner.reader.verify())
    for complaint in ("belongs to no content", "has no content", "counts 2 messages", "octets instead of"):
        assert complaint in found


def stored(owner: MailboxOwner, name: str) -> list[bytes]:
    with owner.reader.snapshot() as snapshot:
        return [key for key, _ in snapshot.scan(getattr(owner.databases, name))]
