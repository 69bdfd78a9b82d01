"""Entries of mailboxes and of the server (RFC 5464)."""

from engine.mailbox import Access, Identity, MailboxOwner, News
from engine.mailbox.commands import Answer, Begin, Problem, Rename, SetMetadata
from engine.mailbox.layout import INBOX, PUBLIC
from engine.mailbox.metadata import LARGEST, LONGEST, MOST

ANN, BEN = Identity(1, "ann@example.org"), Identity(2, "ben@example.org")


async def put(
    owner: MailboxOwner, mailbox: int = INBOX, *, account: int = 1, me: int = 0, **values: bytes | None
) -> Answer:
    named = tuple((name.replace("_", "/"), value) for name, value in values.items())
    return await owner.change(SetMetadata(account=account, mailbox=mailbox, values=named, me=me))


async def test_entries_are_set_read_and_removed(owner: MailboxOwner) -> None:
    read = owner.reader.metadata
    await put(owner, _shared_comment=b"all", _private_comment=b"\0mine")
    assert read(1, INBOX, ["/shared/comment", "/private/comment"]) == [
        ("/shared/comment", b"all"), ("/private/comment", b"\0mine"),
    ]  # fmt: skip
    await put(owner, _SHARED_Comment=None, _private_comment=b"")
    assert read(1, INBOX, ["/shared/comment", "/private/comment", "/private/none"]) == [("/private/comment", b"")]
    assert read(1, INBOX, ["/private/" + "x" * 600]) == []
    folder = owner.reader.folder(1, "Sent")
    assert folder is not None
    await put(owner, folder.number, _private_comment=b"sent")
    await owner.change(Rename(account=1, name="Sent", to="Gone"))
    assert read(1, folder.number, ["/private/comment"]) == [("/private/comment", b"sent")]


async def test_depth_counts_levels_below(owner: MailboxOwner) -> None:
    await put(owner, _private_a=b"0", _private_a_b=b"1", _private_a_b_c=b"2", _private_ab=b"x")
    for depth, found in ((0, [b"0"]), (1, [b"0", b"1"]), (None, [b"0", b"1", b"2"])):
        assert [value for _, value in owner.reader.metadata(1, INBOX, ["/private/a"], depth)] == found
    assert len(owner.reader.metadata(1, INBOX, ["/private"], None)) == 4
    assert owner.reader.metadata(1, INBOX, ["/private/a/b", "/private/a"], 1) == [
        ("/private/a/b", b"1"), ("/private/a/b/c", b"2"), ("/private/a", b"0"),
    ]  # fmt: skip


async def test_private_ones_are_each_ones_own(owner: MailboxOwner) -> None:
    access = Access(owner.reader)
    await put(owner, _private_comment=b"ann", _shared_comment=b"all")
    await put(owner, _private_comment=b"ben", me=BEN.account)
    entries = ["/private/comment", "/shared/comment"]
    for me, private in ((ANN, b"ann"), (BEN, b"ben")):
        assert [value for _, value in access.metadata(me, 1, INBOX, entries)] == [private, b"all"]
    assert access.metadata(Identity(3, ""), 1, INBOX, entries) == [("/shared/comment", b"all")]


async def test_the_server_has_entries_and_an_administrator(owner: MailboxOwner) -> None:
    access = Access(owner.reader, admin="mailto:postmaster@example.org")
    await put(owner, 0, _private_vendor_x=b"ann")
    await put(owner, 0, account=PUBLIC, _shared_comment=b"closed on Sundays")
    entries = ["/Private/vendor/x", "/shared/comment", "/shared/admin"]
    assert access.metadata(ANN, ANN.account, 0, entries) == [
        ("/private/vendor/x", b"ann"), ("/shared/comment", b"closed on Sundays"),
        ("/shared/admin", b"mailto:postmaster@example.org"),
    ]  # fmt: skip
    assert dict(access.metadata(BEN, BEN.account, 0, entries)).keys() == {"/shared/comment", "/shared/admin"}
    await put(owner, 0, account=PUBLIC, _shared_admin=b"tel:+1-555-0100")
    assert access.metadata(BEN, BEN.account, 0, ["/shared/admin"]) == [("/shared/admin", b"tel:+1-555-0100")]
    assert Access(owner.reader).metadata(BEN, BEN.account, 0, ["/shared/comment"])
    assert (await put(owner, 0, account=PUBLIC, _private_x=b"x")).problem is Problem.CANNOT


async def test_all_or_nothing_within_limits(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=1))
    many = {f"_private_{number}": b"x" for number in range(MOST)}
    for problem, values in (
        (Problem.TOO_BIG, {"_private_a": b"x", "_private_b": b"x" * (LARGEST + 1)}),
        (Problem.TOO_MANY, {**many, "_private_a": b"x"}),
        (Problem.CANNOT, {"_private_a": b"x", "_other_b": b"x"}),
        (Problem.CANNOT, {"_private_" + "x" * LONGEST: b"x"}),
    ):
        assert (await put(owner, **values)).problem is problem
        assert owner.reader.metadata(1, INBOX, ["/private/a"]) == []
    assert (await put(owner, 99, _private_a=b"x")).problem is Problem.NONEXISTENT
    assert (await put(owner, **many)).problem is None
    assert (await put(owner, _shared_a=b"x" * LARGEST)).problem is None
    assert (await put(owner, _private_a=b"x")).problem is Problem.TOO_MANY
    assert (await put(owner, _private_0=None, _private_a=b"x")).problem is None
    for number in range(1, MOST):
        await put(owner, **{f"_private_{number}": None, f"_private_n{number}": b"x"})
    with owner.reader.snapshot() as snapshot:  # the marks of removed ones do not pile up
        assert sum(1 for _ in snapshot.scan(owner.databases.metadata)) == MOST + 1


async def test_what_has_changed_is_told_and_can_be_asked_for(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=1))
    told: list[News] = []
    owner.tell = told.append
    first = await put(owner, _private_a=b"x", _shared_b=b"x")
    assert told == [News(1, INBOX, first.modseq)]
    told.clear()
    assert (await put(owner, _private_a=b"x", _private_never=None)).modseq == 0
    assert told == []
    await put(owner, _private_a=None)
    changes = owner.reader.metadata_changes
    assert changes(1, INBOX, first.modseq) == ["/private/a"]
    assert changes(1, INBOX, first.modseq - 1) == ["/private/a", "/shared/b"]
    assert changes(1, INBOX, first.modseq - 1, me=2) == ["/shared/b"]
    status = owner.reader.status(1, INBOX)
    assert status is not None
    assert changes(1, INBOX, status.modseq) == []
    assert owner.reader.changes(1, INBOX, first.modseq - 1) is not None
    told.clear()
    answer = await put(owner, 0, _private_a=b"x")
    assert told == [News(1, 0, answer.modseq)]
    told.clear()
    await put(owner, 0, account=PUBLIC, _shared_a=b"x")
    assert News(PUBLIC, 0, told[0].modseq) in told
