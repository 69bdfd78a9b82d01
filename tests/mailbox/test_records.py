"""Mailboxes in columns: what is made of an earlier view and the news is what a look at all of it gives."""

import random
from array import array

import pytest
from mailbox_samples import ANN, append

from engine.mailbox import MailboxOwner, View
from engine.mailbox.commands import Begin, Expunge, Store
from engine.mailbox.flags import DELETED, FLAGGED, SEEN, Mode
from engine.mailbox.layout import INBOX, mailbox_key
from engine.mailbox.views import renewed, restated


def seen(owner: MailboxOwner) -> View:
    view = owner.reader.select(ANN, INBOX)
    assert view is not None
    return view


@pytest.mark.parametrize("seed", range(6))
async def test_a_view_is_renewed_by_what_has_changed(owner: MailboxOwner, seed: int) -> None:
    dice = random.Random(seed)
    await owner.change(Begin(account=ANN))
    await append(owner, *[b"%d" % number for number in range(30)])
    old = seen(owner)
    for _ in range(60):
        for _ in range(dice.randrange(1, 4)):
            uids = seen(owner).uids
            some = tuple(dice.choice([uids, uids[::2], uids[5:15], uids[-1:]]))
            match dice.choice(["store", "store", "append", "expunge"]):
                case "store":
                    change = dice.choice(list(Mode)), dice.choice([SEEN, DELETED, FLAGGED | SEEN])
                    keywords = dice.choice([(), ("k",)])
                    await owner.change(
                        Store(account=ANN, mailbox=INBOX, uids=some, mode=change[0], flags=change[1], keywords=keywords)
                    )
                case "append":
                    await append(owner, b"x", b"y")
                case "expunge":
                    gone = tuple(dice.sample(list(uids), min(2, len(uids))))
                    await owner.change(Expunge(account=ANN, mailbox=INBOX, uids=gone, deleted_only=False))
        changes = owner.reader.changes(ANN, INBOX, old.status.modseq)
        assert changes is not None
        assert list(changes.messages.uids) == sorted(set(changes.messages.uids))
        assert all(modseq > old.status.modseq for modseq in changes.messages.modseqs)
        old, before = renewed(old, changes), old
        assert old == seen(owner)
        assert len(before.without(changes.vanished)) == len([uid for uid in before.uids if uid in set(old.uids)])
    assert owner.reader.verify() == []


@pytest.mark.parametrize("step", [2, 1000])
@pytest.mark.parametrize("mode", Mode)
async def test_what_a_store_changes_is_known_without_a_look(
    owner: MailboxOwner, monkeypatch, mode: Mode, step: int
) -> None:
    monkeypatch.setattr("engine.mailbox.owner.FLAGS_STEP", step)
    await owner.change(Begin(account=ANN))
    await append(owner, *[b"%d" % number for number in range(9)])
    for uids, flags, keywords in (((1, 2, 3), SEEN, ("k",)), ((3, 4), DELETED, ()), ((5,), SEEN | DELETED, ())):
        await owner.change(Store(account=ANN, mailbox=INBOX, uids=uids, mode=Mode.ADD, flags=flags, keywords=keywords))
    old = seen(owner)
    for uids in ((1, 3, 5, 8, 77), tuple(range(1, 10))):
        command = Store(account=ANN, mailbox=INBOX, uids=uids, mode=mode, flags=SEEN)
        answer = await owner.change(command)
        assert answer.since == old.status.modseq
        view = seen(owner)
        assert restated(old, command, answer, view.status) == owner.reader.changes(ANN, INBOX, answer.since)
        old = view
    assert owner.reader.verify() == []


async def test_messages_that_came_are_found_below_those_that_changed(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    since = (await append(owner, b"1", b"2")).modseq
    await append(owner, b"3", b"4", b"5")
    for uid in (1, 4):
        await owner.change(Store(account=ANN, mailbox=INBOX, uids=(uid,), mode=Mode.ADD, flags=SEEN))
    changes = owner.reader.changes(ANN, INBOX, since)
    assert changes is not None
    assert list(changes.messages.uids) == [1, 3, 4, 5]


@pytest.mark.parametrize("uids", [[], [1], [3], [9], [2, 3, 4], [1, 2, 3, 4, 5], [1, 5], [4, 77, 78], [1, 2, 4, 5, 6]])
async def test_some_of_the_messages(owner: MailboxOwner, uids: list[int]) -> None:
    """Those that are there, whether they lie close together or far apart."""
    await owner.change(Begin(account=ANN))
    await append(owner, *[b"%d" % number for number in range(6)])
    await owner.remove(ANN, [3])
    view, there = seen(owner), [uid for uid in uids if uid in {1, 2, 4, 5, 6}]
    found = owner.reader.of(ANN, INBOX, uids)
    assert list(found.uids) == there
    assert found == view.some(array("I", uids))
    assert found.content_keys() == [view.content(list(view.uids).index(uid)) for uid in there]
    with owner.reader.snapshot() as snapshot:
        keys = [key for key, _ in snapshot.numbered(owner.databases.message, mailbox_key(ANN, INBOX), uids)]
    assert [int.from_bytes(key[-4:], "big") for key in keys] == there
