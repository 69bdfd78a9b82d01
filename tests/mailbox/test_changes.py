"""What clients ask for, where the model does not go: limits, large content, quotas, purging."""

import os
import shutil
from pathlib import Path

import pytest
import trio
from mailbox_samples import ANN, Endless, append, written

from engine.mailbox import MailboxOwner, Outcome, Place, Quota, Recipient
from engine.mailbox.commands import (
    Answer,
    Append,
    Appended,
    Begin,
    Copy,
    Create,
    Delete,
    Expunge,
    Problem,
    Rename,
    Store,
    Subscribe,
    Undelete,
    packed,
    unpack_answer,
)
from engine.mailbox.flags import DELETED, FLAGGED, MOST_KEYWORDS, SEEN, Mode
from engine.mailbox.incoming import IncomingFile
from engine.mailbox.layout import INBOX, INLINE
from engine.mailbox.log import parse, ranges, records
from engine.mailbox.names import canonical
from engine.mailbox.opened import News
from engine.mailbox.owner import ROUND, SHORT
from engine.mailbox.views import mailbox_id
from engine.storage import writer

TO_ANN = {ANN: "ann@example.org"}


def large_files(owner: MailboxOwner) -> list[Path]:
    return list((owner.path / "large").iterdir())


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("inbox", "INBOX"),
        ("Inbox/Old", "INBOX/Old"),
        ("work/inbox", "work/inbox"),
        ("Entwu\u0308rfe", "Entw\u00fcrfe"),
        ("日本語", "日本語"),
        *[(name, None) for name in ("", "/a", "a/", "a//b", "a\nb", "a\0", "a\u2028", "x" * 401, "\ud800")],
    ],
)
def test_names_are_stored_in_one_form(name: str, stored: str | None) -> None:
    if stored is None:
        with pytest.raises(ValueError, match="name"):
            canonical(name)
    else:
        assert canonical(name) == stored


async def test_names_are_found_in_whatever_form_they_come(owner: MailboxOwner) -> None:
    made = await owner.change(Create(account=ANN, name="Entwu\u0308rfe/x"))
    assert (await owner.change(Create(account=ANN, name="Entw\u00fcrfe/x"))).problem is Problem.ALREADYEXISTS
    assert (await owner.change(Create(account=ANN, name="inBox"))).problem is Problem.ALREADYEXISTS
    assert (await owner.change(Create(account=ANN, name="a//b"))).problem is Problem.CANNOT
    found = owner.reader.folder(ANN, "Entw\u00fcrfe/x")
    assert found is not None
    assert found.number == made.mailbox
    assert mailbox_id(ANN, found.number) != mailbox_id(ANN, INBOX)


async def test_every_account_begins_with_the_special_uses(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await owner.change(Begin(account=ANN))
    folders = owner.reader.folders(ANN)
    assert {folder.name: folder.use for folder in folders} == {
        "INBOX": "", "Sent": "\\Sent", "Drafts": "\\Drafts", "Junk": "\\Junk", "Trash": "\\Trash",
        "Archive": "\\Archive",
    }  # fmt: skip
    assert all(folder.subscribed and folder.number for folder in folders)
    again = await owner.change(Create(account=ANN, name="Bin", use="\\Trash"))
    assert again.problem is Problem.USEATTR
    await owner.change(Delete(account=ANN, name="Trash"))
    assert (await owner.change(Create(account=ANN, name="Bin", use="\\Trash"))).problem is None
    assert (await owner.change(Create(account=ANN, name="All", use="\\All"))).problem is Problem.USEATTR


async def test_a_subscription_outlives_its_mailbox_and_a_deleted_parent_stays_as_a_name(owner: MailboxOwner) -> None:
    await owner.change(Create(account=ANN, name="a/b"))
    await owner.change(Subscribe(account=ANN, name="a"))
    await owner.change(Delete(account=ANN, name="a"))
    listed = {folder.name: folder for folder in owner.reader.folders(ANN)}
    assert (listed["a"].number, listed["a"].children, listed["a/b"].number > 0) == (0, True, True)
    await owner.change(Delete(account=ANN, name="a/b"))
    listed = {folder.name: folder for folder in owner.reader.folders(ANN)}
    assert "a/b" not in listed
    assert (listed["a"].exists, listed["a"].subscribed) == (False, True)


async def test_numbers_and_uidvalidities_are_never_used_again(owner: MailboxOwner, tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        made = await owner.change(Create(account=ANN, name="x"))
        seen.add((made.mailbox, made.uidvalidity))
        await owner.change(Delete(account=ANN, name="x"))
    assert len({number for number, _ in seen}) == len({validity for _, validity in seen}) == 3


async def test_a_rename_too_long_changes_nothing(owner: MailboxOwner) -> None:
    await owner.change(Create(account=ANN, name="a/" + "b" * 300))
    answer = await owner.change(Rename(account=ANN, name="a", to="c" * 200))
    assert answer.problem is Problem.CANNOT
    assert owner.reader.folder(ANN, "c" * 200) is None


async def test_keywords_have_64_bits_and_no_more(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await append(owner, b"one", b"two")

    async def store(uid: int, *keywords: str, mode: Mode = Mode.ADD) -> Answer:
        return await owner.change(Store(account=ANN, mailbox=INBOX, uids=(uid,), mode=mode, keywords=keywords))

    for number in range(MOST_KEYWORDS):
        assert (await store(1, f"k{number}")).sources == (1,)
    assert (await store(1, "K5")).sources == ()  # the same as k5
    assert (await store(1, "one-more")).problem is Problem.LIMIT
    assert (await store(1, "never-seen", mode=Mode.REMOVE)).problem is None
    view = owner.reader.select(ANN, INBOX)
    assert view is not None
    assert (view.bits[0], len(view.keywords)) == (2**64 - 1, 64)
    await owner.deliver(written(b"x"), {ANN: Recipient("a@example.org", (Place(keywords=("k7", "one-more")),))})
    assert list(owner.reader.of(ANN, INBOX, [3]).bits) == [1 << 7]


async def test_a_store_tells_what_the_client_could_not_know(owner: MailboxOwner) -> None:
    known = (await append(owner, *[b"%d" % number for number in range(3)])).modseq
    await owner.change(Store(account=ANN, mailbox=INBOX, uids=(2, 3), mode=Mode.ADD, flags=SEEN))
    store = Store(account=ANN, mailbox=INBOX, uids=(1, 2, 3), mode=Mode.REPLACE, flags=SEEN | FLAGGED, known=known)
    answer = await owner.change(store)
    assert (answer.sources, answer.unknown) == ((1, 2, 3), (2, 3))


async def test_a_conditional_store_tells_which_messages_failed(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    appended = await append(owner, b"one", b"two", b"three")
    await owner.change(Store(account=ANN, mailbox=INBOX, uids=(2,), mode=Mode.ADD, flags=SEEN))
    answer = await owner.change(
        Store(
            account=ANN, mailbox=INBOX, uids=(1, 2, 3, 9), mode=Mode.ADD, flags=FLAGGED,
            unchanged_since=appended.modseq,
        )
    )  # fmt: skip
    assert (answer.sources, answer.failed) == ((1, 3), (2,))
    status = owner.reader.status(ANN, INBOX)
    assert status is not None
    assert (status.modseq, status.unseen) == (answer.modseq, 2)


async def test_many_messages_are_changed_in_steps(owner: MailboxOwner, monkeypatch) -> None:
    for step in ("STEP", "FLAGS_STEP"):
        monkeypatch.setattr(f"engine.mailbox.owner.{step}", 3)
    await owner.change(Begin(account=ANN))
    await append(owner, *[b"x"] * 10)
    before, uids = owner.writer.changes, tuple(range(1, 11))
    answer = await owner.change(Store(account=ANN, mailbox=INBOX, uids=uids, mode=Mode.ADD, flags=DELETED))
    assert (answer.sources, owner.writer.changes - before) == (uids, 4)
    assert (await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=uids))).sources == uids


@pytest.mark.parametrize("size", [100, INLINE + 100])
async def test_a_message_comes_in_a_file_of_another_process(owner: MailboxOwner, size: int) -> None:
    await owner.change(Begin(account=ANN))
    octets = os.urandom(size)
    with IncomingFile(owner.path) as file:
        file.write(octets[:50])
        file.write(octets[50:])
        command = Append(account=ANN, mailbox=INBOX, messages=(Appended(file=file.finish(), received=1000),))
        answer = unpack_answer(await owner.answer(packed(command)))
    assert answer.uids == (1,)
    assert b"".join(owner.reader.chunks(ANN, 1)) == octets
    assert list(owner.reader.of(ANN, INBOX, [1]).received) == [1000]
    assert len(large_files(owner)) == (size > INLINE)
    assert list((owner.path / "incoming").iterdir()) == []
    for start, length in ((0, 10), (40, 30), (size - 5, 100), (size, 5), (0, size), (90, size)):
        assert owner.reader.part(ANN, INBOX, 1, start, length) == octets[start : start + length]


async def test_a_short_append_is_answered_at_once(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWIFT", 60.0)
    await owner.change(Begin(account=ANN))
    told: list[News] = []
    owner.tell = told.append
    messages = (Appended(content=b"first", flags=SEEN, received=1000), Appended(content=b"second", keywords=("a",)))
    octets = owner.answer_at_once(packed(Append(account=ANN, mailbox=INBOX, messages=messages)))
    assert octets is not None
    answer = unpack_answer(octets)
    assert (answer.problem, answer.uids, told) == (None, (1, 2), [News(ANN, INBOX, answer.modseq)])
    assert [b"".join(owner.reader.chunks(ANN, uid)) for uid in (1, 2)] == [b"first", b"second"]
    quota = Quota(messages=2)
    octets = owner.answer_at_once(packed(Append(account=ANN, mailbox=INBOX, messages=messages[:1], quota=quota)))
    assert octets is not None
    assert unpack_answer(octets).problem is Problem.OVERQUOTA
    assert owner.reader.usage(ANN).messages == 2
    assert len(told) == 1


async def test_what_takes_longer_is_not_answered_at_once(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWIFT", 60.0)
    await owner.change(Begin(account=ANN))
    with IncomingFile.holding(b"in a file", owner.path) as file:
        filed = Append(account=ANN, mailbox=INBOX, messages=(Appended(file=file.name),))
        large = Append(account=ANN, mailbox=INBOX, messages=(Appended(content=bytes(INLINE + 1)),))
        many = Append(account=ANN, mailbox=INBOX, messages=(Appended(content=bytes(INLINE)),) * (SHORT // INLINE))
        for command in (filed, large, many, Expunge(account=ANN, mailbox=INBOX, uids=(1,))):
            assert owner.answer_at_once(packed(command)) is None
    monkeypatch.setattr(writer, "SWIFT", 0.0)  # as where the disk is slow
    short = Append(account=ANN, mailbox=INBOX, messages=(Appended(content=b"short"),))
    assert owner.answer_at_once(packed(short)) is None
    assert owner.reader.usage(ANN).messages == 0


async def test_any_part_of_a_delivered_message(owner: MailboxOwner, tmp_path: Path) -> None:
    content = Endless(INLINE + 5000, tmp_path / "queued")
    content.path.write_bytes(b"".join(content.chunks()))
    await owner.deliver(written(content, prepended=b"X: " + b"y" * 5000 + b"\r\n"), TO_ANN)
    whole = b"".join(owner.reader.chunks(ANN, 1))
    for start in (0, 30, 70, 4070, 4080, 5000, 5069, 5100, len(whole) - 10):
        for length in (1, 40, 4080, 6000, 10**6):
            assert owner.reader.part(ANN, INBOX, 1, start, length) == whole[start : start + length]


@pytest.mark.parametrize("file", ["../owner.lock", "/etc/passwd", "nothing"])
async def test_only_what_lies_in_the_folder_is_appended(owner: MailboxOwner, file: str) -> None:
    await owner.change(Begin(account=ANN))
    with pytest.raises(Exception, match="cannot write"):
        await owner.change(Append(account=ANN, mailbox=INBOX, messages=(Appended(file=file),)))
    assert owner.reader.usage(ANN).messages == 0


async def test_what_is_refused_leaves_no_file(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    assert (await append(owner, b"x" * (INLINE + 1), mailbox=99)).problem is Problem.NONEXISTENT
    assert (await append(owner, b"x" * (INLINE + 1), quota=Quota(octets=INLINE))).problem is Problem.OVERQUOTA
    assert large_files(owner) == []


async def test_a_quota_is_kept_with_grace_for_one_message_that_comes(owner: MailboxOwner) -> None:
    few = {ANN: Recipient("ann@example.org", quota=Quota(messages=2))}
    outcomes = [(await owner.deliver(written(b"x"), few))[ANN] for _ in range(3)]
    assert outcomes == [Outcome.DELIVERED, Outcome.DELIVERED, Outcome.OVER_QUOTA]
    small = {ANN: Recipient("ann@example.org", quota=Quota(octets=owner.reader.usage(ANN).size + 1))}
    assert (await owner.deliver(written(b"x" * 1000), small))[ANN] is Outcome.DELIVERED
    assert (await owner.deliver(written(b"x"), small))[ANN] is Outcome.OVER_QUOTA
    quota = Quota(messages=4)
    assert (await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(1, 2), to=2, quota=quota))).problem is (
        Problem.OVERQUOTA
    )
    assert (await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(1,), to=2, quota=quota))).problem is None
    assert owner.reader.usage(ANN).messages == 4


class Wall:
    """A clock that goes with trio's."""

    def __call__(self) -> float:
        return 1_800_000_000.0 + trio.current_time()


async def test_expunged_mail_comes_back_until_it_is_purged(tmp_path: Path, autojump_clock) -> None:
    with MailboxOwner(tmp_path / "mailbox", keep_expunged=3 * ROUND, clock=Wall()) as owner:
        await owner.deliver(written(Endless(INLINE + 1)), TO_ANN)
        await owner.deliver(written(b"small"), TO_ANN)
        await owner.change(Create(account=ANN, name="work"))
        work = (await owner.change(Create(account=ANN, name="work/x"))).mailbox
        await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(1,), to=work))
        await owner.change(Store(account=ANN, mailbox=work, uids=(1,), mode=Mode.ADD, flags=DELETED, keywords=("k",)))
        await owner.change(Delete(account=ANN, name="work/x"))
        await owner.change(Delete(account=ANN, name="work"))
        await owner.remove(ANN, [1, 2])
        usage = owner.reader.usage(ANN)
        assert (usage.messages, usage.size, usage.kept) == (0, 0, 3)
        assert owner.reader.verify() == []
        assert len((await owner.change(Undelete(account=ANN, name="work/x"))).uids) == 1
        back = owner.reader.folder(ANN, "work/x")
        assert back is not None
        found = owner.reader.of(ANN, back.number, [1])
        assert (list(found.flags), list(found.bits)) == ([0], [1])
        assert (await owner.change(Undelete(account=ANN, since=int((Wall()() + 1) * 1000)))).uids == ()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.tend)
            await trio.sleep(1.5 * ROUND)
            assert owner.reader.usage(ANN).kept == 2
            while owner.reader.usage(ANN).kept:
                await trio.sleep(60)
            nursery.cancel_scope.cancel()
        assert len(large_files(owner)) == 1
        await owner.remove(ANN, [])
        assert owner.reader.verify() == []


async def test_a_broken_off_removal_of_a_mailbox_is_taken_up_again(owner: MailboxOwner, monkeypatch) -> None:
    made = await owner.change(Create(account=ANN, name="x"))
    await append(owner, b"one", b"two", mailbox=made.mailbox)

    async def nothing(account: int, mailbox: int) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(owner, "_drop", nothing)
        await owner.change(Delete(account=ANN, name="x"))
    assert owner.reader.status(ANN, made.mailbox) is None
    assert owner.reader.select(ANN, made.mailbox) is None
    assert owner.reader.usage(ANN).messages == 2
    assert owner.reader.verify() == []
    await owner._round(forget=False)
    assert owner.reader.usage(ANN).messages == 0


async def test_whoever_was_away_too_long_looks_at_all_anew(owner: MailboxOwner, monkeypatch) -> None:
    monkeypatch.setattr("engine.mailbox.log.MOST", 4)
    monkeypatch.setattr("engine.mailbox.log.AT_ONCE", 2)
    await owner.change(Begin(account=ANN))
    since = (await append(owner, *[b"x"] * 9)).modseq
    for uid in range(1, 4):
        await owner.remove(ANN, [uid])
    changes = owner.reader.changes(ANN, INBOX, since)
    assert changes is not None
    assert (changes.vanished, len(changes.messages)) == ([(1, 3)], 0)
    for uid in range(4, 7):
        await owner.remove(ANN, [uid])
    assert owner.reader.changes(ANN, INBOX, since) is None
    assert owner.reader.changes(ANN, 77, since) is None


async def test_a_store_that_was_put_back_gives_out_nothing_that_clients_have_seen(tmp_path: Path) -> None:
    path, copy = tmp_path / "mailbox", tmp_path / "backup"

    async def use(owner: MailboxOwner) -> tuple[set[object], set[str]]:
        """What clients see of messages that come, and of a mailbox that is made."""
        seen: set[object] = set()
        for _ in range(3):
            await owner.deliver(written(b"x"), TO_ANN)
        made = await owner.change(Create(account=ANN, name="new"))
        status = owner.reader.status(ANN, INBOX)
        assert status is not None
        seen |= {made.mailbox, ("validity", made.uidvalidity), ("modseq", status.modseq)}
        uidls = {entry.uidl for entry in owner.reader.messages(ANN)}
        return seen, uidls

    with MailboxOwner(path) as owner:
        await owner.deliver(written(b"x"), TO_ANN)
        old = {entry.uidl for entry in owner.reader.messages(ANN)}
        shutil.copytree(path, copy)
        seen, uidls = await use(owner)
        since = max(number for kind, number in filter(lambda one: isinstance(one, tuple), seen) if kind == "modseq")
    with MailboxOwner(copy) as owner:
        assert await owner.restored() == 1
        assert owner.reader.changes(ANN, INBOX, since) is None
        again, new_uidls = await use(owner)
        assert not seen & again
        assert uidls & new_uidls == old
        assert owner.reader.verify() == []


def test_ranges_and_records_hold_any_uids() -> None:
    uids = [5, 1, 2, 3, 9, 2**32 - 1, 10]
    assert list(ranges(uids)) == [(1, 3), (5, 5), (9, 10), (2**32 - 1, 2**32 - 1)]
    many = range(1, 2001, 2)
    found = [one for record in records(2, many) for one in parse(record)[1]]
    assert found == [(uid, uid) for uid in many]
    assert list(ranges([])) == list(records(1, [])) == []


async def test_the_email_id_goes_with_the_content(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await append(owner, b"one", b"one")
    copied = await owner.change(Copy(account=ANN, mailbox=INBOX, uids=(1,), to=2))
    found = owner.reader.of(ANN, INBOX, [1, 2])
    copy = owner.reader.of(ANN, copied.mailbox, copied.uids)
    view = owner.reader.select(ANN, INBOX)
    assert view is not None
    assert found.email_id(0) == copy.email_id(0) == view.email_id(0) != found.email_id(1) == view.email_id(1)


async def test_an_account_that_is_erased_takes_no_change(owner: MailboxOwner) -> None:
    await owner.deliver(written(b"x"), TO_ANN)
    await owner.change(Create(account=ANN, name="a/b"))
    await owner.change(Store(account=ANN, mailbox=INBOX, uids=(1,), mode=Mode.ADD, keywords=("k",)))
    await owner.erase(ANN)
    assert (await owner.change(Begin(account=ANN))).problem is Problem.GONE
    assert owner.reader.folders(ANN) == []
    with owner.reader.snapshot() as snapshot:
        databases = vars(owner.databases)
        left = {name for name, handle in databases.items() if next(snapshot.scan(handle), None) is not None}
    assert left == {"meta", "account", "delivered"}


async def test_an_account_that_never_had_mail_has_nothing(owner: MailboxOwner) -> None:
    assert owner.reader.folder(ANN, "INBOX") is None
    assert owner.reader.folders(ANN) == []
    assert owner.reader.usage(ANN).messages == 0
