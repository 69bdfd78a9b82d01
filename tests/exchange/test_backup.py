"""The backup of one mailbox: what comes back, with which numbers, and what a damaged file does."""

from pathlib import Path

import pytest
import trio
from exchange_samples import ANN, BEN, LETTER, add, filled, seen, subscribed, uids

from engine.exchange.backing_up import back_up
from engine.exchange.backup import Backup
from engine.exchange.backup_file import Damaged, Writer
from engine.exchange.restoring import offer, replace, restore_into, restore_whole
from engine.exchange.store import Refused, Store
from engine.mailbox import Access, Identity, MailboxOwner
from engine.mailbox.commands import (
    Appended,
    Begin,
    Create,
    Delete,
    DeleteAcl,
    Expunge,
    Rename,
    SetAcl,
    SetMetadata,
    Undelete,
)
from engine.mailbox.commands import Store as SetFlags
from engine.mailbox.flags import DELETED, SEEN, Mode
from engine.mailbox.layout import INBOX
from engine.mailbox.putback import SECTIONS, content_of

MINE = "ann@example.org"


def quiet(_done: int, _total: int) -> None:
    """No progress."""


def backed_up(store: Store, path: Path, account: int = ANN) -> Backup:
    back_up(store.mailboxes, account, "ann@example.org", path, step=quiet)
    return Backup.opened(path)


def other_store(folder: Path) -> MailboxOwner:
    return MailboxOwner(folder / "other", keep_expunged=1e6)


async def test_an_account_comes_back_whole_in_a_new_store(store: Store, tmp_path: Path) -> None:
    await filled(store)
    later = SetFlags(account=ANN, mailbox=INBOX, uids=(3, 4), mode=Mode.ADD, flags=SEEN, keywords=("later",))
    await store.do(later)
    backup = backed_up(store, tmp_path / "ann.backup")
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await filled(new, BEN)  # who has, by chance, the same UIDVALIDITYs
        await restore_whole(new, ANN, backup, step=quiet)
        assert seen(new) == seen(store)
        assert subscribed(new) == subscribed(store)
        assert {one.name: one.use for one in new.mailboxes.folders(ANN)} == {
            one.name: one.use for one in store.mailboxes.folders(ANN)
        }
        assert [numbers for _, numbers in uids(new).values()] == [numbers for _, numbers in uids(store).values()]
        assert new.mailboxes.usage(ANN) == store.mailboxes.usage(ANN)
        await new.do(Undelete(account=ANN))
        assert LETTER % b"gone" in [one.content for one in seen(new)["INBOX"]]
        with pytest.raises(Refused, match="in use"):
            await restore_whole(new, ANN, backup, step=quiet)
        assert owner.reader.verify() == []


async def test_numbers_that_clients_know_stay_and_new_ones_are_new(store: Store, tmp_path: Path) -> None:
    await filled(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    uidls = [entry.uidl for entry in store.mailboxes.messages(ANN)]
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await new.do(Begin(account=ANN))  # a client was quicker than the restore
        await restore_whole(new, ANN, backup, step=quiet)
        assert uids(new) == uids(store)
        assert [entry.uidl for entry in new.mailboxes.messages(ANN)] == uidls
        before = store.mailboxes.select(ANN, INBOX)
        (uid,) = await add(new, ANN, INBOX, Appended(b"new"))
        after = new.mailboxes.select(ANN, INBOX)
        assert before is not None
        assert after is not None
        assert uid > before.status.uidnext + 1000
        assert after.status.modseq > before.status.modseq + 1000
        made = await new.do(Create(account=ANN, name="Made later"))
        assert made.uidvalidity not in {validity for validity, _ in uids(store).values()}
        assert owner.reader.verify() == []


async def test_replace_makes_it_what_it_was_and_keeps_the_uids_of_what_is_there(store: Store, tmp_path: Path) -> None:
    await filled(store)
    before, names = seen(store), subscribed(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    flags = SetFlags(account=ANN, mailbox=INBOX, uids=(1,), mode=Mode.REPLACE, flags=DELETED, keywords=("other",))
    await store.do(flags)
    await store.do(Expunge(account=ANN, mailbox=INBOX, uids=(3,), deleted_only=False))
    await add(store, ANN, INBOX, Appended(b"came since"))
    await store.do(Create(account=ANN, name="Made since"))
    await store.do(Delete(account=ANN, name="Projekte/Grün & blau"))
    await store.do(Rename(account=ANN, name="Archive/2026", to="Elsewhere"))
    assert await replace(store, ANN, backup, step=quiet) == 2
    after = seen(store)
    assert {name: sorted(found, key=repr) for name, found in after.items()} == {
        name: sorted(found, key=repr) for name, found in before.items()
    }
    assert subscribed(store) == names
    assert uids(store)["INBOX"][1] == [1, 4, 6]
    assert uids(store)["Archive/2026"][1] == [1]
    assert await replace(store, ANN, backup, step=quiet) == 0
    await store.do(Undelete(account=ANN))
    assert b"came since" in [one.content for one in seen(store)["INBOX"]]


async def shared(store: Store) -> None:
    """Rights and metadata, of which some is nobody else's business."""
    for identifier, rights, who in (("ben@example.org", "lrs", BEN), ("$all@example.org", "lr", 0)):
        await store.do(
            SetAcl(account=ANN, mailbox=INBOX, identifier=identifier, rights=rights, grantee=who, owner=MINE)
        )
    values = (("/shared/comment", b"of all"), ("/private/comment", b"my own"))
    await store.do(SetMetadata(account=ANN, mailbox=INBOX, values=values))
    await store.do(SetMetadata(account=ANN, mailbox=INBOX, values=(("/private/comment", b"of Ben"),), me=BEN))
    await store.do(SetMetadata(account=ANN, mailbox=0, values=(("/private/vendor/colour", b"red"),)))


def noted(store: Store, account: int, mailbox: int = INBOX, me: int | None = None) -> dict[str, bytes]:
    return dict(store.mailboxes.metadata(account, mailbox, ("/private", "/shared"), None, me=me))


def visible(store: Store, account: int = BEN) -> list[str]:
    """What others share with ben@example.org, whose number this is."""
    return [name for name, _, _ in Access(store.mailboxes).listed(Identity(account, "ben@example.org"))]


async def test_rights_and_metadata_come_back_whole(store: Store, tmp_path: Path) -> None:
    await filled(store)
    await shared(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    assert backup.holders() == {"ben@example.org"}
    backup.regrant({"ben@example.org": 7})
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await restore_whole(new, 5, backup, owner=MINE, step=quiet)
        assert Access(new.mailboxes).acl(5, INBOX) == [("$all@example.org", "lr"), ("ben@example.org", "lrs")]
        assert (visible(new, 7), visible(new, BEN)) == ([f"Other Users/{MINE}/INBOX"], [])
        assert noted(new, 5) == {"/private/comment": b"my own", "/shared/comment": b"of all"}
        assert noted(new, 5, 0) == {"/private/vendor/colour": b"red"}
        assert noted(new, 5, me=BEN) == {"/shared/comment": b"of all"}
        assert owner.reader.verify() == []


async def test_rights_of_who_is_nobody_now_stay_away(store: Store, tmp_path: Path) -> None:
    await filled(store)
    await shared(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    backup.regrant({})
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await restore_whole(new, ANN, backup, owner=MINE, step=quiet)
        assert Access(new.mailboxes).acl(ANN, INBOX) == [("$all@example.org", "lr")]


async def test_replace_makes_rights_and_metadata_what_they_were(store: Store, tmp_path: Path) -> None:
    await filled(store)
    await shared(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    backup.regrant({"ben@example.org": BEN})
    await store.do(DeleteAcl(account=ANN, mailbox=INBOX, identifier="ben@example.org"))
    await store.do(SetAcl(account=ANN, mailbox=INBOX, identifier="anyone", rights="lr"))
    values = (("/shared/comment", None), ("/private/other", b"since"))
    await store.do(SetMetadata(account=ANN, mailbox=INBOX, values=values))
    await replace(store, ANN, backup, owner=MINE, step=quiet)
    assert Access(store.mailboxes).acl(ANN, INBOX) == [("$all@example.org", "lr"), ("ben@example.org", "lrs")]
    assert visible(store) == [f"Other Users/{MINE}/INBOX"]
    assert noted(store, ANN) == {"/private/comment": b"my own", "/shared/comment": b"of all"}
    assert noted(store, ANN, me=BEN)["/private/comment"] == b"of Ben"


async def test_a_backup_of_an_older_postroad_leaves_rights_and_metadata_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(store)
    with monkeypatch.context() as patch:
        patch.setattr("engine.mailbox.putback.SECTIONS", SECTIONS[: SECTIONS.index("acl")])
        patch.setattr("engine.exchange.backing_up.SECTIONS", ())
        backup = backed_up(store, tmp_path / "ann.backup")
    await shared(store)
    before = noted(store, ANN)
    await replace(store, ANN, backup, owner=MINE, step=quiet)
    assert (visible(store), noted(store, ANN)) == ([f"Other Users/{MINE}/INBOX"], before)
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await restore_whole(new, ANN, backup, owner=MINE, step=quiet)
        assert (seen(new), Access(new.mailboxes).acl(ANN, INBOX)) == (seen(store), [])


async def test_into_a_folder_puts_what_is_missing_there_and_touches_nothing_else(store: Store, tmp_path: Path) -> None:
    await filled(store)
    await filled(store, BEN)
    backup = backed_up(store, tmp_path / "ann.backup")
    bens = seen(store, BEN)
    assert await restore_into(store, BEN, backup, "From Ann", step=quiet) == 5
    assert await restore_into(store, BEN, backup, "From Ann", step=quiet) == 0
    found = seen(store, BEN)
    assert {name: found.pop(f"From Ann/{name}") for name in seen(store)} == seen(store)
    assert found.pop("From Ann") == []
    assert found == bens


async def test_what_goes_while_the_backup_is_made_is_left_out_and_named(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:  # keeps nothing
        store = Store(owner.reader, owner.path, owner.change)
        await filled(store)
        gone: list[int] = []

        def expunge(done: int, _total: int) -> None:
            if done == 1 and not gone:
                gone.append(trio.from_thread.run(owner.remove, ANN, [3]))

        path = tmp_path / "ann.backup"
        counts = await trio.to_thread.run_sync(
            lambda: back_up(owner.reader, ANN, "ann@example.org", path, step=expunge)
        )
        assert counts == (4, 1)
        backup = Backup.opened(path)
        assert len(backup.gone) == 1
        await restore_whole(store, BEN, backup, step=quiet)
        assert seen(store, BEN) == seen(store, ANN)
        assert owner.reader.verify() == []


async def test_a_damaged_file_is_known_wherever_it_is_damaged(store: Store, tmp_path: Path) -> None:
    await filled(store)
    path = tmp_path / "ann.backup"
    backed_up(store, path)
    octets = path.read_bytes()
    for at in {0, 9, 20, 40, len(octets) // 2, len(octets) - 1}:
        path.write_bytes(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :])
        with pytest.raises(Damaged):
            Backup.opened(path)
        path.write_bytes(octets[:at])
        with pytest.raises(Damaged):
            Backup.opened(path)
    path.write_bytes(octets + b"x")
    with pytest.raises(Damaged):
        Backup.opened(path)


async def test_what_a_newer_postroad_wrote_is_named_and_the_rest_comes_back(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "ann.backup"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.put("about", {"format": 2, "address": "ann@example.org", "made": 1}, 0)
        writer.put("holograms", [b"key", b"value"], 8)
        writer.end([])
    assert Backup.opened(path).unknown == {"holograms"}
    with path.open("wb") as file:
        writer = Writer(file)
        writer.put("about", {"format": 99, "address": "ann@example.org", "made": 1}, 0)
        writer.end([])
    with pytest.raises(Damaged, match="format 99"):
        Backup.opened(path)


async def test_contents_that_nobody_came_to_refer_to_go_at_the_next_start(store: Store, tmp_path: Path) -> None:
    await filled(store)
    backup = backed_up(store, tmp_path / "ann.backup")
    keys = {content_of(row) for row in backup.rows} - {b""}
    with other_store(tmp_path) as owner:
        new = Store(owner.reader, owner.path, owner.change)
        await offer(new, ANN, backup, keys, step=quiet)
        await offer(new, ANN, backup, keys, step=quiet)
        assert owner.reader.missing(keys) == set()
        assert len(list((owner.path / "large").iterdir())) == 1
        assert owner.reader.verify() == []
    with other_store(tmp_path) as owner:
        assert owner.reader.missing(keys) == keys
        assert list((owner.path / "large").iterdir()) == []
        assert owner.reader.verify() == []
        await restore_whole(Store(owner.reader, owner.path, owner.change), ANN, backup, step=quiet)
    with other_store(tmp_path) as owner:
        assert owner.reader.missing(keys) == set()
