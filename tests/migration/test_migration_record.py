"""The record, cut off at any octet that was not synced, with the appends that it speaks of done or not."""

import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.store import Store
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Append, Appended, Begin
from engine.mailbox.layout import INBOX
from engine.migration import Left, Record
from engine.migration.record import FOLDER, digest_of
from tests.support.examples import examples

ACCOUNT = 3

END = st.sampled_from(["goes on", "dies before the append", "dies behind the append", "is refused"])
BATCHES = st.lists(
    st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=4), END, st.integers(0, 200)), min_size=1, max_size=8
)
"""Of each batch: which contents (so that some are alike), how it ends, and how many octets the disk has lost."""


@given(BATCHES)
@examples(60)
def test_what_is_known_is_what_is_there(batches: list[tuple[list[int], str, int]]) -> None:
    """Whoever takes what is not known, whenever it was killed, ends with each message of the source once."""
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_taken, Path(folder), batches)


async def _taken(folder: Path, batches: list[tuple[list[int], str, int]]) -> None:
    source = dict(enumerate((content for contents, _, _ in batches for content in contents), 1))
    with MailboxOwner(folder / "mailbox", keep_expunged=1e6) as owner:
        store = Store(owner.reader, owner.path, owner.change)
        await store.do(Begin(account=ACCOUNT))
        for contents, end, lost in batches:
            await _some(store, source, len(contents), end, lost)
        await _some(store, source, len(source), "goes on", 0)
        with closing(Record(store.path, ACCOUNT, "key", store.mailboxes)) as record:
            known = record.folder(b"INBOX", 7, INBOX)
            assert sorted(known.uids) == sorted(source)
            for uid, target in zip(known.uids, known.targets, strict=True):
                assert b"".join(store.mailboxes.chunks(ACCOUNT, target, INBOX)) == b"%d" % source[uid]
            assert record.all_digests() == {digest_of(b"%d" % content).digest() for content in source.values()}
        view = store.mailboxes.select(ACCOUNT, INBOX)
        assert view is not None
        held = Counter(int(b"".join(store.mailboxes.chunks(ACCOUNT, uid, INBOX))) for uid in view.uids)
        assert held == Counter(source.values())


async def _some(store: Store, source: dict[int, int], count: int, end: str, lost: int) -> None:
    """Take so many that are not known."""
    record = Record(store.path, ACCOUNT, "key", store.mailboxes)
    known = record.folder(b"INBOX", 7, INBOX)
    uids = [uid for uid in source if uid not in set(known.uids)][:count]
    if not uids:
        record.close()
        return
    contents = [b"%d" % source[uid] for uid in uids]
    record.before(known, uids, [digest_of(content).digest() for content in contents])
    synced = store.path / FOLDER / f"{ACCOUNT}-key"
    size = synced.stat().st_size
    if end in ("goes on", "dies behind the append"):
        answer = await store.do(
            Append(account=ACCOUNT, mailbox=INBOX, messages=tuple(map(Appended, contents)))
        )  # fmt: skip
        if end == "goes on":
            record.after(answer.uids)
    elif end == "is refused":
        record.after(())
    record.close()
    with synced.open("r+b") as file:  # what was not synced may be gone, wholly or in part
        file.truncate(max(size, synced.stat().st_size - lost))


@given(st.binary(max_size=300))
@examples(50)
def test_what_is_no_record_is_none(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_read, Path(folder), octets)


async def _read(folder: Path, octets: bytes) -> None:
    with MailboxOwner(folder / "mailbox", keep_expunged=1e6) as owner:
        path = owner.path / FOLDER
        path.mkdir()
        (path / "3-key").write_bytes(octets)
        with closing(Record(owner.path, ACCOUNT, "key", owner.reader)) as record:
            assert len(record.folders) <= len(octets)


async def test_what_was_left_is_known_until_it_comes(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox", keep_expunged=1e6) as owner:
        with closing(Record(owner.path, ACCOUNT, "key", owner.reader)) as record:
            known = record.folder(b"INBOX", 7, INBOX)
            for uid in (4, 5):
                record.leave(known, Left("INBOX", uid, "too large", 10**9))
        with closing(Record(owner.path, ACCOUNT, "key", owner.reader)) as record:
            known = record.folder(b"INBOX", 7, INBOX)
            assert known.left == {uid: Left("INBOX", uid, "too large", 10**9) for uid in (4, 5)}
            record.there(known, [4], [bytes(16)])
            assert list(known.left) == [5]


async def test_a_mailbox_of_ours_that_was_made_anew_has_no_old_numbers(tmp_path: Path) -> None:
    with (
        MailboxOwner(tmp_path / "mailbox", keep_expunged=1e6) as owner,
        closing(Record(owner.path, ACCOUNT, "key", owner.reader)) as record,
    ):
        known = record.folder(b"Work", 7, 20)
        known.took([1, 2], [11, 12])
        again = record.folder(b"Work", 7, 21)
        assert (list(again.uids), list(again.targets), again.mailbox) == ([1, 2], [0, 0], 21)
