"""Quotas in the store: one message over, however many come at once; a letter for each crossing; who may have what."""

from collections.abc import Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Quota as Settings
from engine.directory import Embedded, Limit
from engine.mailbox import MailboxOwner, Outcome, Quota, Quotas, Recipient, StorageError, Totals, Warnings
from engine.mailbox.commands import Append, Appended, Copy, Expunge, Problem, packed, unpack_command
from engine.mailbox.layout import INBOX, tell_key
from engine.mailbox.quota import TellRow, note
from engine.mailbox.warnings import to_owner
from engine.units import Size
from tests.mailbox.mailbox_samples import written

ANN, BEN, SHARES = "ann@example.org", "ben@example.org", (80, 95)


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_account(ANN)
        directory.add_account(BEN)
        yield directory


def quotas(directory: Embedded, owner: MailboxOwner, **settings: object) -> Quotas:
    return Quotas(directory, lambda: owner.reader, Settings(**settings))


def number(directory: Embedded, address: str) -> int:
    account = directory.account(address)
    assert account is not None
    return account.id


async def put(owner: MailboxOwner, account: int, quota: Quota, content: bytes = b"x") -> Outcome:
    return (await owner.deliver(written(content), {account: Recipient(quota.address or ANN, quota=quota)}))[account]


def subjects(owner: MailboxOwner, account: int) -> list[str]:
    letters = (
        message_from_bytes(b"".join(owner.reader.chunks(account, entry.uid)), policy=default)
        for entry in owner.reader.messages(account)
    )
    return [letter["Subject"] for letter in letters if letter["Subject"]]


# -- one message over


async def test_of_many_at_once_one_goes_over(owner: MailboxOwner) -> None:
    """Whatever the order in which they are written, the sum is exact when each is weighed."""
    outcomes: list[Outcome] = []

    async def deliver() -> None:
        outcomes.append(await put(owner, 1, Quota(octets=5000), b"x" * 1000))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(deliver)
    assert outcomes.count(Outcome.DELIVERED) == 5
    usage = owner.reader.usage(1)
    assert usage.messages == 5
    assert usage.size - owner.reader.messages(1)[0].size < 5000 <= usage.size


@pytest.mark.parametrize(("short", "outcome"), [(0, Outcome.OVER_QUOTA), (1, Outcome.DELIVERED)])
async def test_full_is_who_has_just_what_he_may_have(owner: MailboxOwner, short: int, outcome: Outcome) -> None:
    await put(owner, 1, Quota())
    size = owner.reader.usage(1).size
    assert await put(owner, 1, Quota(octets=size + short)) is outcome
    assert owner.reader.is_full(1, Quota(octets=owner.reader.usage(1).size))


async def test_however_large_it_is(owner: MailboxOwner) -> None:
    assert await put(owner, 1, Quota(octets=1), b"x" * 500_000) is Outcome.DELIVERED
    assert await put(owner, 1, Quota(octets=1)) is Outcome.OVER_QUOTA
    assert await put(owner, 1, Quota(octets=1, messages=9, closed=True)) is Outcome.OVER_QUOTA


async def test_what_is_kept_after_an_expunge_does_not_count(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "keeping", keep_expunged=60) as owner:
        assert await put(owner, 1, Quota(messages=1)) is Outcome.DELIVERED
        assert await put(owner, 1, Quota(messages=1)) is Outcome.OVER_QUOTA
        await owner.change(Expunge(account=1, mailbox=INBOX, uids=(1,), deleted_only=False))
        assert owner.reader.usage(1).kept == 1
        assert await put(owner, 1, Quota(messages=1)) is Outcome.DELIVERED


async def test_clients_may_not_go_over(owner: MailboxOwner) -> None:
    for quota in (Quota(messages=1), Quota(octets=5), Quota(closed=True)):
        two = (Appended(content=b"abc"), Appended(content=b"def"))
        answer = await owner.change(Append(account=1, mailbox=INBOX, messages=two, quota=quota))
        assert answer.problem is Problem.OVERQUOTA
    await owner.change(Append(account=1, mailbox=INBOX, messages=(Appended(content=b"abc"),)))
    copy = Copy(account=1, mailbox=INBOX, uids=(1,), to=2, quota=Quota(closed=True))
    assert (await owner.change(copy)).problem is Problem.OVERQUOTA


# -- a letter for each crossing


class Book:
    """What ``note`` needs of a change: an account with usage, and a database."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.account = SimpleNamespace(id=1, size=0, messages=0)
        self.batch: Any = SimpleNamespace(get=lambda _, key: self.rows.get(key), put=self._put)

    def _put(self, _: None, key: bytes, value: bytes) -> None:
        self.rows[key] = value

    def rise(self, octets: int, quota: Quota) -> bool:
        before = self.account.size, self.account.messages
        self.account.size += octets
        now = self.account.size, self.account.messages
        return note(self.batch, None, self.account.id, quota, before=before, now=now)


@given(
    st.lists(st.tuples(st.sampled_from(["store", "remove"]), st.integers(0, 60)), max_size=40),
    st.sets(st.integers(1, 100), max_size=4),
)
def test_each_crossing_is_told_once(steps: Sequence[tuple[str, int]], shares: set[int]) -> None:
    """As one would find it who looks after every change, though only what stores something looks."""
    book, quota, told = Book(), Quota(octets=100, warn=tuple(sorted(shares))), 0
    for kind, octets in steps:
        if kind == "remove":
            book.account.size = max(0, book.account.size - octets)
            told = min(told, quota.level(book.account.size, 0))
        else:
            now = quota.level(book.account.size + octets, 0)
            assert book.rise(octets, quota) == (now > told)
            told = max(told, now)


def test_what_comes_in_otherwise_is_told_with_the_next_message() -> None:
    book, quota = Book(), Quota(octets=100, warn=SHARES)
    assert not book.rise(10, quota)
    book.account.size += 80  # brought back by undelete
    assert book.rise(1, quota)


def test_two_crossings_before_the_first_letter_are_told_by_one() -> None:
    book, quota = Book(), Quota(octets=100, warn=SHARES, address=ANN)
    assert book.rise(85, quota)
    assert book.rise(11, quota)
    row = TellRow.parse(book.rows[tell_key(1)])
    assert (row.above, row.level, row.size, row.quota) == (0, 95, 96, quota)


async def test_whatever_stores_something_is_told_of(owner: MailboxOwner) -> None:
    called: list[int] = []
    owner.fuller = lambda: called.append(len(owner.reader.to_tell()))
    quota = Quota(messages=10, warn=(20, 30, 40))
    await owner.change(Append(account=1, mailbox=INBOX, messages=(Appended(content=b"a"),) * 2, quota=quota))
    assert called == [1]
    await owner.change(Copy(account=1, mailbox=INBOX, uids=(1,), to=2, quota=quota))
    await put(owner, 1, quota)
    await put(owner, 1, quota)
    assert called == [1, 1, 1]
    assert [(account, row.above, row.level) for account, row in owner.reader.to_tell()] == [(1, 0, 40)]
    await owner.erase(1)
    assert owner.reader.to_tell() == []


async def test_a_letter_comes_once_whatever_breaks_off(
    owner: MailboxOwner, directory: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.limit(ANN, Limit(messages=5))
    ann, given = number(directory, ANN), quotas(directory, owner)
    quota = await given.limit(directory.account(ANN))
    for _ in range(4):
        await put(owner, ann, quota)
    warnings = Warnings(owner, directory, given)

    def dies(*_: object) -> None:
        raise StorageError("it died here")

    with monkeypatch.context() as patched:
        patched.setattr("engine.mailbox.warnings._told", dies)
        with pytest.raises(StorageError, match="it died here"):
            await warnings.tell()
    assert len(owner.reader.to_tell()) == 1
    await warnings.tell()
    await warnings.tell()
    assert (subjects(owner, ann), owner.reader.to_tell()) == (["Your mailbox is 80 % full"], [])


async def test_a_letter_that_cannot_be_written_stops_no_other(
    owner: MailboxOwner, directory: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = quotas(directory, owner)
    for address in (ANN, BEN):
        await put(owner, number(directory, address), Quota(messages=1, warn=SHARES, address=address))

    def fails(row: TellRow, full: str, language: str) -> bytes:
        if row.quota.address == ANN:
            raise ValueError("a strange name")
        return to_owner(row, full, language)

    monkeypatch.setattr("engine.mailbox.warnings.to_owner", fails)
    await Warnings(owner, directory, given).tell()
    assert (subjects(owner, number(directory, BEN)), owner.reader.to_tell()) == (["Your mailbox is full"], [])


@pytest.mark.parametrize(("warn", "to_ann"), [(SHARES, ["Your mailbox is full"]), ((), [])])
async def test_the_postmaster_hears_of_full_ones(
    owner: MailboxOwner, directory: Embedded, warn: tuple[int, ...], to_ann: list[str]
) -> None:
    directory.add_alias("postmaster@example.org", [BEN, "far@elsewhere.test"])
    directory.limit(ANN, Limit(messages=1))
    given = quotas(directory, owner, warn=warn, tell_postmaster=True, full="reject")
    await put(owner, number(directory, ANN), await given.limit(directory.account(ANN)))
    await Warnings(owner, directory, given).tell()
    assert subjects(owner, number(directory, ANN)) == to_ann
    assert subjects(owner, number(directory, BEN)) == [f"The mailbox {ANN} is full"]


def test_a_name_that_is_not_ascii() -> None:
    row = TellRow(bytes(16), 0, 80, 900, 3, Quota(1000, warn=SHARES, address="jörg@example.org"))
    letter = message_from_bytes(to_owner(row, "defer"), policy=default)
    assert (letter["To"], letter["Subject"]) == ("jörg@example.org", "Your mailbox is 90 % full")
    assert "jörg@example.org is 90 % full: it holds 900 octets of 1 KB." in letter.get_content()


# -- who may have what


def full(given: Quotas, directory: Embedded) -> bool:
    """Whether Ann, who can be, is full."""
    account = directory.account(ANN)
    assert account is not None
    limited = given.limited(account)
    assert limited is not None
    return given.is_full(limited)


async def test_what_an_account_may_have(owner: MailboxOwner, directory: Embedded) -> None:
    given, ann = quotas(directory, owner, size=100, messages=7, warn=(95, 80)), directory.account(ANN)
    assert ann is not None
    assert await given.limit(ann) == Quota(100, 7, warn=SHARES, address=ANN)
    directory.limit(ANN, Limit(octets=0))
    assert await given.limit(ann) == Quota(0, 7, warn=SHARES, address=ANN), "by what is known of it now"
    given.use(Settings())
    assert await given.limit(ann) == Quota(address=ANN)
    assert given.limited(ann) is None
    directory.limit(ANN, Limit(messages=1))
    await owner.deliver(written(b"x"), {ann.id: ANN})
    assert full(given, directory)
    usage, quota = await given.of(ann)
    assert (usage.messages, quota.messages) == (1, 1)
    directory.remove_account(ANN)
    assert (await given.limit(ann)).messages == 0


async def test_what_the_accounts_of_a_domain_may_have_together(owner: MailboxOwner, directory: Embedded) -> None:
    given, totals, ann = quotas(directory, owner), Totals(owner, directory), directory.account(ANN)
    assert ann is not None
    directory.limit_total("example.org", Limit(messages=2))
    await totals.sum_up()
    assert not full(given, directory)
    await owner.deliver(written(b"x"), {ann.id: ANN, number(directory, BEN): BEN})
    await totals.sum_up()
    assert owner.reader.total("example.org").messages == 2
    assert full(given, directory)
    assert await put(owner, ann.id, await given.limit(ann)) is Outcome.OVER_QUOTA
    changes = owner.writer.changes
    await totals.sum_up()
    assert owner.writer.changes == changes, "nothing is written while nothing changes"
    directory.limit_total("example.org", Limit(messages=3))
    assert not full(given, directory)


def test_mailboxes_that_cannot_be_read_refuse_nobody(directory: Embedded) -> None:
    def away() -> object:
        raise StorageError("not ready")

    directory.limit("example.org", Limit(messages=1))
    directory.limit_total("example.org", Limit(messages=1))
    ann = directory.account(ANN)
    assert ann is not None
    assert not full(Quotas(directory, away), directory)
    assert Quotas().limited(ann) is None


async def test_what_is_configured_travels_to_the_owner(directory: Embedded, owner: MailboxOwner) -> None:
    account = directory.account(ANN)
    assert account is not None
    quota = await quotas(directory, owner, size=Size("5 MiB")).limit(account)
    command = Append(account=account.id, mailbox=INBOX, messages=(), quota=quota)
    assert unpack_command(packed(command)) == command
    assert quota.octets == 5 * 1024 * 1024
