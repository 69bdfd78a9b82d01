"""Mailboxes that others share, and public ones: who sees them, by what name, and what becomes of that."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailbox_samples import written

from engine.directory import Embedded
from engine.mailbox import (
    Access,
    Identity,
    Mailboxes,
    MailboxOwner,
    News,
    NewsDesk,
    Place,
    Quota,
    Recipient,
    StorageError,
    verify,
)
from engine.mailbox.access import Place as Found
from engine.mailbox.commands import (
    Answer,
    Append,
    Appended,
    Begin,
    Copy,
    Create,
    Delete,
    DeleteAcl,
    Move,
    Problem,
    Rename,
    SetAcl,
    SetMetadata,
    Subscribe,
)
from engine.mailbox.layout import INBOX, MAX_DATABASES, PUBLIC, Databases, mailbox_key, shared_key, sharer_key
from engine.mailbox.names import LONGEST
from engine.mailbox.opened import OpenAccount
from engine.mailbox.rights import RIGHTS
from engine.mailbox.sharing import MOST
from engine.mailbox.snapshot import Snapshot
from engine.storage.environment import open_environment

ANN, BEN, CAT = Identity(1, "ann@example.org"), Identity(2, "ben@example.org"), Identity(3, "cat@example.org")
SALES = Identity(4, "dan@example.org", frozenset({"sales@example.org"}))


class Office:
    """A store, and what people do with it."""

    def __init__(self, owner: MailboxOwner) -> None:
        self.owner, self.reader, self.access = owner, owner.reader, Access(owner.reader)

    async def folder(self, name: str, account: int = ANN.account) -> int:
        """Its number; it is made if it is not there."""
        return (await self.owner.change(Create(account=account, name=name))).mailbox or self.number(name, account)

    def number(self, name: str, account: int = ANN.account) -> int:
        found = self.reader.folder(account, name)
        assert found is not None
        return found.number

    async def share(
        self, name: str, who: Identity | str, rights: str, *, operation: str = "", owner: Identity = ANN
    ) -> Answer:
        command = SetAcl(
            account=owner.account, mailbox=self.number(name, owner.account), rights=rights, operation=operation,
            identifier=who if isinstance(who, str) else who.address, owner=owner.address,
            grantee=0 if isinstance(who, str) else who.account,
        )  # fmt: skip
        return await self.owner.change(command)

    def seen(self, me: Identity) -> dict[str, str]:
        return {name: rights for name, _, rights in self.access.listed(me)}


@pytest.fixture
async def office(owner: MailboxOwner) -> Office:
    await owner.change(Begin(account=ANN.account))
    return Office(owner)


async def test_a_shared_mailbox_is_seen_and_found_under_its_owners_address(office: Office) -> None:
    number = await office.folder("Work/2026")
    await office.share("Work/2026", BEN, "rl")
    ((name, folder, rights),) = office.access.listed(BEN)
    assert (name, rights) == ("Other Users/ann@example.org/Work/2026", "lr")
    assert (folder.name, folder.number, folder.use, folder.subscribed, folder.children) == (
        name,
        number,
        "",
        False,
        False,
    )
    assert folder.status == office.reader.status(ANN.account, number)
    assert office.access.place(BEN, name) == Found(ANN.account, "Work/2026", number, "lr")
    assert office.access.rights(BEN, ANN.account, number) == "lr"
    assert office.access.acl(ANN.account, number) == [("ben@example.org", "lr")]
    await office.owner.change(Subscribe(account=BEN.account, name=name))
    assert [folder.subscribed for _, folder, _ in office.access.listed(BEN)] == [True]


async def test_nobody_else_sees_it_or_can_tell_that_it_is_there(office: Office) -> None:
    await office.share("INBOX", BEN, "lr")
    name = "Other Users/ann@example.org/INBOX"
    assert office.seen(CAT) == office.seen(ANN) == {}
    for me, unknown in (
        (CAT, name), (CAT, "Other Users/ann@example.org/Nothing"), (BEN, "Other Users/ann@example.org/Sent"),
        (BEN, "Other Users/eve@example.org/INBOX"), (BEN, "Other Users/ann@example.org"), (BEN, "Other Users"),
        (BEN, "Other Users/ann@example.org/"), (BEN, "Other Users//INBOX"), (BEN, "Public"), (BEN, "Public/"),
        (BEN, f"Other Users/{'x' * 600}/INBOX"), (BEN, f"Public/{'x' * 600}"), (ANN, name), (BEN, name + "\n"),
    ):  # fmt: skip
        assert office.access.place(me, unknown) is None, (me, unknown)
    assert office.access.rights(CAT, ANN.account, INBOX) == ""
    assert office.access.place(BEN, "Other Users/ann@example.org/inbox") == Found(ANN.account, "INBOX", INBOX, "lr")


async def test_own_names_have_all_rights(office: Office) -> None:
    assert office.access.place(ANN, "inbox") == Found(ANN.account, "INBOX", INBOX, RIGHTS)
    assert office.access.place(ANN, "New/one") == Found(ANN.account, "New/one", 0, RIGHTS)
    assert office.access.place(ANN, "a//b") is None
    assert office.access.rights(ANN, ANN.account, INBOX) == RIGHTS


async def test_without_lookup_it_is_not_listed_and_works_all_the_same(office: Office) -> None:
    await office.share("INBOX", BEN, "r")
    assert office.seen(BEN) == {}
    assert office.access.place(BEN, "Other Users/ann@example.org/INBOX") == Found(ANN.account, "INBOX", INBOX, "r")


async def test_where_there_is_none_the_rights_to_the_one_above_count(office: Office) -> None:
    await office.folder("Work")
    await office.share("Work", BEN, "lk")
    assert office.access.place(BEN, "Other Users/ann@example.org/Work/a/b") == Found(ANN.account, "Work/a/b", 0, "lk")
    assert office.access.place(BEN, "Other Users/ann@example.org/Other/a") is None


async def test_groups_anyone_and_negative_rights(office: Office) -> None:
    await office.share("INBOX", "group:Sales@example.org", "lrs")
    await office.share("Sent", "anyone", "lr")
    await office.share("Sent", "-" + CAT.address, "l")
    inbox, sent = "Other Users/ann@example.org/INBOX", "Other Users/ann@example.org/Sent"
    assert office.seen(SALES) == {inbox: "lrs", sent: "lr"}
    assert office.seen(BEN) == {sent: "lr"}
    assert office.seen(CAT) == {}
    assert office.access.place(CAT, sent) is not None


async def test_rights_are_replaced_added_taken_and_deleted(office: Office) -> None:
    inbox = office.number("INBOX")
    for operation, rights, left in (("", "lr", "lr"), ("+", "d", "lrte"), ("-", "re", "lt"), ("", "c", "kx")):
        await office.share("INBOX", BEN, rights, operation=operation)
        assert office.access.rights(BEN, ANN.account, inbox) == left
    await office.share("INBOX", BEN, "")
    assert office.access.acl(ANN.account, inbox) == []
    await office.share("INBOX", BEN, "lr")
    await office.share("INBOX", "-" + BEN.address, "r")
    assert office.access.rights(BEN, ANN.account, inbox) == "l"
    for identifier in ("-BEN@example.org", BEN.address, BEN.address):
        answer = await office.owner.change(DeleteAcl(account=ANN.account, mailbox=inbox, identifier=identifier))
        assert answer.problem is None
    assert office.access.acl(ANN.account, inbox) == []
    assert office.seen(BEN) == {}


async def test_what_cannot_be_given(office: Office) -> None:
    assert (await office.share("INBOX", BEN, "lz")).problem is Problem.CANNOT
    assert (await office.share("INBOX", "somebody", "l")).problem is Problem.CANNOT
    assert (await office.share("INBOX", ANN, "l")).problem is None  # the owner has all, and keeps all
    assert (await office.owner.change(
        SetAcl(account=ANN.account, mailbox=INBOX, identifier="-ann@example.org", rights="l", grantee=ANN.account)
    )).problem is Problem.CANNOT  # fmt: skip
    for command in (
        SetAcl(account=ANN.account, mailbox=99, identifier=BEN.address, rights="l"),
        DeleteAcl(account=ANN.account, mailbox=99, identifier=BEN.address),
    ):
        assert (await office.owner.change(command)).problem is Problem.NONEXISTENT
    assert (await office.owner.change(
        DeleteAcl(account=ANN.account, mailbox=INBOX, identifier="somebody")
    )).problem is Problem.CANNOT  # fmt: skip
    assert office.access.acl(ANN.account, INBOX) == []
    for number in range(MOST):
        assert (await office.share("INBOX", f"p{number}@example.org", "l")).problem is None
    assert (await office.share("INBOX", BEN, "l")).problem is Problem.LIMIT
    assert (await office.share("INBOX", "p1@example.org", "r")).problem is None


async def test_new_folders_inherit_and_renamed_ones_keep_their_rights(office: Office) -> None:
    await office.folder("Work")
    await office.share("Work", BEN, "lr")
    await office.folder("Work/a/b")
    prefix = "Other Users/ann@example.org/"
    assert list(office.seen(BEN)) == [prefix + name for name in ("Work", "Work/a", "Work/a/b")]
    assert [folder.children for _, folder, _ in office.access.listed(BEN)] == [True, True, False]
    await office.owner.change(Rename(account=ANN.account, name="Work", to="Old"))
    assert list(office.seen(BEN)) == [prefix + name for name in ("Old", "Old/a", "Old/a/b")]
    await office.owner.change(Delete(account=ANN.account, name="Old/a"))
    assert list(office.seen(BEN)) == [prefix + name for name in ("Old", "Old/a/b")]
    await office.owner.change(Rename(account=ANN.account, name="INBOX", to="Old/mail"))
    assert prefix + "Old/mail" in office.seen(BEN)


async def test_a_new_account_of_an_old_address_gets_nothing_that_the_old_one_had(office: Office) -> None:
    later = BEN._replace(account=22)
    await office.share("INBOX", BEN, "lr")
    assert office.seen(later) == {}
    await office.share("INBOX", later, "w", operation="+")
    assert office.access.rights(later, ANN.account, INBOX) == "w"
    await office.owner.change(Begin(account=22))
    await office.share("INBOX", CAT, "lr", owner=BEN._replace(account=22))
    assert office.seen(CAT) == {"Other Users/ben@example.org/INBOX": "lr"}
    await office.owner.change(Begin(account=23))
    await office.share("Sent", CAT, "lr", owner=BEN._replace(account=23))
    assert office.seen(CAT) == {"Other Users/ben@example.org/Sent": "lr"}
    assert office.access.place(CAT, "Other Users/ben@example.org/INBOX") is None


async def test_an_owner_whose_address_changes_is_found_under_the_new_one(office: Office) -> None:
    await office.share("INBOX", BEN, "lr")
    await office.share("Sent", BEN, "lr", owner=ANN._replace(address="a/b@example.org"))
    assert list(office.seen(BEN)) == [f"Other Users/a/b@example.org/{name}" for name in ("INBOX", "Sent")]
    assert office.access.place(BEN, "Other Users/a/b@example.org/INBOX") == Found(ANN.account, "INBOX", INBOX, "lr")
    assert office.access.place(BEN, "Other Users/ann@example.org/INBOX") is None


async def test_public_folders_are_for_those_who_are_given_rights(office: Office) -> None:
    number = await office.folder("News/local", PUBLIC)
    await office.share("News/local", "anyone", "lrp", owner=Identity(PUBLIC, ""))
    assert office.seen(BEN) == office.seen(ANN) == {"Public/News/local": "lrp"}
    assert office.access.place(BEN, "Public/News/local") == Found(PUBLIC, "News/local", number, "lrp")
    assert office.access.place(BEN, "Public/News") is None
    assert [folder.name for folder in office.reader.folders(PUBLIC)] == ["INBOX", "News", "News/local"]
    await office.owner.deliver(written(b"x"), {PUBLIC: Recipient("news@example.org", (Place("News/local"),))})
    status = office.reader.status(PUBLIC, number)
    assert status is not None
    assert status.messages == 1


async def test_nobody_makes_names_in_the_places_of_others_and_old_ones_stay(office: Office) -> None:
    for name in ("Public", "Public/a", "Other Users", "Other Users/a"):
        assert (await office.owner.change(Create(account=ANN.account, name=name))).problem is Problem.CANNOT
        command = Rename(account=ANN.account, name="Sent", to=name)
        assert (await office.owner.change(command)).problem is Problem.CANNOT
    await office.folder("publicity")
    await office.folder("News", PUBLIC)
    await office.share("News", "anyone", "lr", owner=Identity(PUBLIC, ""))

    def made_by_an_older_server(batch) -> None:
        account = OpenAccount.open(batch, office.owner.databases, ANN.account, now=1_800_000_000_000)
        assert account is not None
        account.create("Public")
        account.create("Public/News")
        account.save()

    await office.owner.writer.apply(made_by_an_older_server)
    own = office.number("Public/News")
    assert office.access.place(ANN, "Public/News") == Found(ANN.account, "Public/News", own, RIGHTS)
    assert office.seen(ANN) == {}
    assert office.seen(BEN) == {"Public/News": "lr"}
    await office.owner.change(Rename(account=ANN.account, name="Public", to="Mine"))
    assert office.seen(ANN) == {"Public/News": "lr"}


async def test_names_too_long_for_a_key_are_listed(office: Office) -> None:
    name = "x" * LONGEST
    await office.folder(name)
    await office.share(name, BEN, "lr")
    full = f"Other Users/ann@example.org/{name}"
    assert office.seen(BEN) == {full: "lr"}
    place = office.access.place(BEN, full)
    assert place is not None
    assert place.mailbox


async def test_any_name_is_looked_for(office: Office) -> None:
    await office.share("INBOX", BEN, "lr")

    @given(
        st.lists(
            st.sampled_from(["Other Users", "Public", "ann@example.org", "INBOX", "", "/"]) | st.text(), min_size=1
        )
    )
    def looked_for(parts: list[str]) -> None:
        place = office.access.place(BEN, "/".join(parts))
        assert place is None or place.account in {ANN.account, BEN.account}
        if place is not None and place.account == ANN.account:
            assert (place.name.partition("/")[0], place.rights) == ("INBOX", "lr")

    looked_for()


@pytest.mark.parametrize("step", [1, 500])
async def test_rights_go_with_the_folder_and_with_either_account(office: Office, monkeypatch, step: int) -> None:
    monkeypatch.setattr("engine.mailbox.owner.STEP", step)
    number = await office.folder("Work")
    await office.share("Work", BEN, "lr")
    await office.owner.change(
        SetMetadata(account=ANN.account, mailbox=number, values=(("/private/comment", b"x"),), me=BEN.account)
    )
    await office.share("INBOX", BEN, "lr")
    await office.share("INBOX", CAT, "lr")
    await office.owner.change(
        SetMetadata(account=ANN.account, mailbox=INBOX, values=(("/private/comment", b"x"),), me=BEN.account)
    )
    await office.owner.change(Delete(account=ANN.account, name="Work"))
    assert office.access.acl(ANN.account, number) == []
    assert office.reader.metadata(ANN.account, number, ["/private/comment"], me=BEN.account) == []
    await office.owner.erase(BEN.account)
    assert office.access.acl(ANN.account, INBOX) == [("cat@example.org", "lr")]
    assert office.reader.metadata(ANN.account, INBOX, ["/private/comment"], me=BEN.account) == []
    await office.owner.erase(ANN.account)
    assert office.seen(CAT) == {}
    with office.reader.snapshot() as snapshot:
        databases = office.owner.databases
        for database in (databases.acl, databases.shared, databases.sharer, databases.metadata):
            assert next(snapshot.scan(database), None) is None


async def test_a_store_from_before_gets_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "old"
    with MailboxOwner(path) as owner:
        await owner.change(Begin(account=ANN.account))
    environment = open_environment(path, map_size=2**30, databases=MAX_DATABASES)
    databases = Databases(environment, create=True)
    with environment.begin(write=True) as transaction:
        for database in (databases.acl, databases.shared, databases.sharer, databases.metadata):
            transaction.drop(database)
    environment.close()
    with pytest.raises(StorageError, match="not ready"):
        Mailboxes.open(path)
    with MailboxOwner(path) as owner:
        assert (await Office(owner).share("INBOX", BEN, "lr")).problem is None
        assert Office(owner).seen(BEN) == {"Other Users/ann@example.org/INBOX": "lr"}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        yield directory


async def test_groups_are_those_of_the_directory(office: Office, directory: Embedded) -> None:
    directory.add_account("first@example.org", None)
    dan = directory.add_account("dan@example.org", None)
    directory.add_group("sales@example.org", ["north@example.org", "ann@example.org"])
    directory.add_group("north@example.org", ["Dan+x@example.org"])
    directory.add_group("board@example.org", ["ann@example.org"])
    directory.add_group("unnamed@example.org", ["dan@example.org"])
    directory.add_alias("@example.org", ["dan@example.org"])
    await office.share("INBOX", "$sales@example.org", "lr")
    await office.share("Sent", "$sales@example.org", "lr")
    await office.share("Sent", "$board@example.org", "lr")
    await office.share("Sent", "-$north@example.org", "l")
    await office.share("Sent", "$none@example.org", "w")
    me = office.access.identity(directory, dan)
    assert me == Identity(dan.id, "dan@example.org", frozenset({"sales@example.org", "north@example.org"}))
    assert office.seen(me) == {"Other Users/ann@example.org/INBOX": "lr"}


async def test_messages_are_copied_and_moved_between_accounts(office: Office) -> None:
    append = Append(account=ANN.account, mailbox=INBOX, messages=(Appended(b"one", flags=1, keywords=("k",)),) * 3)
    await office.owner.change(append)
    await office.owner.change(Begin(account=BEN.account))
    to_ben = {"account": ANN.account, "mailbox": INBOX, "to": INBOX, "to_account": BEN.account}
    copied = await office.owner.change(Copy(**to_ben, uids=(1, 2)))
    assert (copied.problem, copied.sources, copied.uids) == (None, (1, 2), (1, 2))
    moved = await office.owner.change(Move(**to_ben, uids=(2, 3)))
    assert (moved.problem, moved.sources, moved.uids) == (None, (2, 3), (3, 4))
    view = office.reader.select(BEN.account, INBOX)
    assert view is not None
    assert moved.uidvalidity == view.status.uidvalidity
    assert (list(view.uids), list(view.flags), view.keywords, list(view.bits)) == (
        [1, 2, 3, 4],
        [1] * 4,
        ("k",),
        [1] * 4,
    )
    assert (office.reader.usage(ANN.account).messages, office.reader.usage(BEN.account).messages) == (1, 4)
    assert b"".join(office.reader.chunks(BEN.account, 4)) == b"one"
    for command in (Copy(**to_ben, uids=(1,), quota=Quota(messages=4)), Move(**to_ben, uids=(1,), quota=Quota(12))):
        assert (await office.owner.change(command)).problem is Problem.OVERQUOTA
    await office.owner.erase(BEN.account)
    for command in (Copy(**to_ben, uids=(1,)), Move(**to_ben, uids=(1,))):
        assert (await office.owner.change(command)).problem is Problem.NONEXISTENT
    same = Move(account=ANN.account, mailbox=INBOX, uids=(1,), to=2, to_account=ANN.account)
    assert (await office.owner.change(same)).sources == (1,)


async def test_owner_and_holders_hear_of_rights(office: Office) -> None:
    told: list[News] = []
    office.owner.tell = told.append
    answer = await office.share("INBOX", BEN, "lr")
    assert set(told) == {News(ANN.account, INBOX, answer.modseq), News(BEN.account, 0, answer.modseq)}
    told.clear()
    assert (await office.share("INBOX", BEN, "lr")).modseq == 0
    assert told == []
    await office.share("INBOX", BEN.address, "w", operation="+")  # without his number
    assert office.access.rights(BEN, ANN.account, INBOX) == "lrw"
    assert BEN.account in {news.account for news in told}
    await office.share("INBOX", "anyone", "l")
    assert (told.pop().account, told.pop().account) == (PUBLIC, ANN.account)
    desk = NewsDesk()
    with desk.watching(CAT.account) as watch, desk.watching(BEN.account) as other:
        desk.tell(News(PUBLIC, 0, 9))
        desk.tell(News(PUBLIC, 5, 10))
        assert await watch.wait() == await other.wait() == {0: 9}
        desk.follow(watch, ANN.account, INBOX)
        desk.tell(News(ANN.account, INBOX, 10))
        assert await watch.wait() is None
        desk.unfollow(watch, ANN.account, INBOX)
        desk.unfollow(watch, ANN.account, INBOX)
        for news in (News(ANN.account, INBOX, 11), News(CAT.account, INBOX, 12)):
            desk.tell(news)
        assert await watch.wait() == {INBOX: 12}


async def test_a_check_finds_what_does_not_agree(office: Office) -> None:
    await office.share("INBOX", BEN, "lr")
    databases = office.owner.databases

    def problems(damage) -> list[str]:
        transaction = office.owner.environment.begin(write=True)
        try:
            damage(transaction)
            return list(verify.problems(Snapshot(transaction), databases, office.owner.path))
        finally:
            transaction.abort()

    key = mailbox_key(ANN.account, INBOX)
    nowhere = mailbox_key(ANN.account, 99)
    for damage, said in (
        (lambda t: t.delete(shared_key(BEN.address, 1, INBOX), db=databases.shared), "does not find it"),
        (lambda t: t.delete(key + BEN.address.encode(), db=databases.acl), "has no rights to it"),
        (lambda t: t.put(key + BEN.address.encode(), bytes(8) + b"rl", db=databases.acl), "has rights 'rl'"),
        (lambda t: t.put(nowhere + b"anyone", bytes(8) + b"l", db=databases.acl), "which is not there"),
        (lambda t: t.delete(sharer_key(ANN.account), db=databases.sharer), "known by one name"),
        (lambda t: t.put(nowhere + bytes(8) + b"/shared/x", bytes(8) + b"\1", db=databases.metadata), "has metadata"),
    ):
        assert any(said in one for one in problems(damage)), said


async def test_commands_travel(office: Office) -> None:
    for command in (
        SetAcl(account=1, mailbox=1, identifier="anyone", rights="l", operation="+", grantee=3, owner="a@b.org"),
        DeleteAcl(account=1, mailbox=1, identifier="anyone"),
        SetMetadata(account=1, mailbox=0, values=(("/private/a", b"\xff\0"), ("/private/b", None)), me=4),
        Move(account=1, mailbox=1, uids=(1,), to=2, to_account=PUBLIC),
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=type(command)) == command
