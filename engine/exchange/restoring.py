"""Puts the backup of one mailbox back: whole into an account that is unused, else message by message."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain

import msgpack

from engine.exchange.backup import Backup, Saved
from engine.exchange.store import Refused, Store
from engine.mailbox import Access, Folder, View
from engine.mailbox.commands import (
    Delete,
    DeleteAcl,
    Expunge,
    Offer,
    Offered,
    Problem,
    PutBack,
    Rename,
    Restore,
    Returned,
    SetAcl,
    SetMetadata,
    Subscribe,
)
from engine.mailbox.commands import Store as SetFlags
from engine.mailbox.flags import Mode
from engine.mailbox.layout import INLINE
from engine.mailbox.names import INBOX_NAME, SEPARATOR, canonical
from engine.mailbox.putback import content_of
from engine.mailbox.rows import MessageRow

AT_ONCE = 4 * 2**20
"""Octets of content in one question to the owner."""

MESSAGES = 500
"""Messages in one question to the owner."""

Step = Callable[[int, int], None]
"""Is told how many contents are done, and of how many."""


async def restore_whole(store: Store, account: int, backup: Backup, *, owner: str = "", step: Step) -> int:
    """Put it back with the UIDs that it had, in one change; how many messages. ``owner``: the account's address.

    Refused when the account has been used. Broken off before the end, nothing is to be seen of it.
    """
    rows = list(backup.there())
    await offer(store, account, backup, (content_of(row) for row in rows), step=step)
    with store.handed(msgpack.packb(row) for row in rows) as name:
        answer = await store.change(Restore(account=account, file=name, owner=owner))
    if answer.problem is Problem.ALREADYEXISTS:
        raise Refused(
            "the account is in use; put it below a folder, with --into, or in place of what is there, --replace"
        )
    if answer.problem is not None:
        raise Refused(f"not restored: {answer.problem.value}")
    return sum(section == "message" for section, _, _ in rows)


async def offer(store: Store, account: int, backup: Backup, contents: Iterable[bytes], *, step: Step) -> None:
    """See to it that these contents are in the store."""
    missing = store.mailboxes.missing(set(contents) - {b""})
    number = 0
    batch: list[Offered] = []
    size = 0
    for number, (key, pieces) in enumerate(backup.contents(missing)):
        octets = b""
        for piece in pieces:
            octets += piece
            if len(octets) > INLINE:
                break
        if len(octets) > INLINE:
            with store.handed(chain((octets,), pieces)) as name:
                await store.do(Offer(account=account, contents=(Offered(key, file=name),)))
        else:
            batch.append(Offered(key, octets))
            size += len(octets)
        if size >= AT_ONCE:
            await store.do(Offer(account=account, contents=tuple(batch)))
            batch, size = [], 0
        step(number + 1, len(missing))
    if batch:
        await store.do(Offer(account=account, contents=tuple(batch)))


async def restore_into(store: Store, account: int, backup: Backup, folder: str, *, step: Step) -> int:
    """Put what is not there yet into mailboxes below ``folder``, as new messages; how many. Refused."""
    wanted = backup.mailboxes()
    await offer(
        store, account, backup, (row.content for one in wanted.values() for row in one.messages.values()), step=step
    )
    total = 0
    for name, saved in sorted(wanted.items()):
        target = await store.made(account, canonical(folder + SEPARATOR + name))
        total += await _put(store, account, target, saved, _lacking(saved, _view(store, account, target)))
    return total


async def replace(store: Store, account: int, backup: Backup, *, owner: str = "", step: Step) -> int:
    """Make the account what it was; how many messages came back. ``owner``: the account's address. Refused.

    What came since is expunged, mailboxes made since are deleted: both can be undeleted, as long as that is kept. What
    is still there keeps its UID; what had gone gets a new one, for clients have been told that the old one went.
    Broken off, it can be done again: each step brings the account nearer, and none is wrong for a client.
    """
    wanted = backup.mailboxes()
    targets = [(await _target(store, account, saved), saved) for _, saved in sorted(wanted.items())]
    work = []
    for target, saved in targets:
        view = _view(store, account, target)
        work.append((target, saved, _lacking(saved, view), view.status.uidnext))
    contents = (saved.messages[uid].content for _, saved, uids, _ in work for uid in uids)
    await offer(store, account, backup, contents, step=step)
    total = 0
    for target, saved, uids, uidnext in work:
        total += await _put(store, account, target, saved, uids)
        await _settle(store, account, target, saved, uidnext)
        if "acl" in backup.sections:
            await _share(store, account, target, saved, owner)
        if "metadata" in backup.sections:
            await _note(store, account, target, saved)
    await _names(store, account, set(wanted), backup.subscribed())
    return total


async def _target(store: Store, account: int, saved: Saved) -> Folder:
    """The mailbox that it was, renamed back if its name is free; else the one of that name; else a new one."""
    name = saved.status.name
    for one in store.mailboxes.folders(account):
        same = one.status is not None and one.status.uidvalidity == saved.status.uidvalidity
        if same and one.number == saved.number and one.name != name and INBOX_NAME not in (one.name, name):
            await store.change(Rename(account=account, name=one.name, to=name))
    return await store.made(account, name, use=saved.use)


def _view(store: Store, account: int, target: Folder) -> View:
    view = store.mailboxes.select(account, target.number)
    if view is None:
        raise LookupError(f"the mailbox {target.name} went meanwhile; do it again")
    return view


def _matched(saved: Saved, view: View) -> dict[int, int]:
    """Messages that are there, UID in the mailbox → UID in the backup: by UID and content, else by content alone."""
    contents = {uid: view.content(index) for index, uid in enumerate(view.uids)}
    matched: dict[int, int] = {}
    if view.status.uidvalidity == saved.status.uidvalidity:
        matched = {
            uid: uid
            for uid, key in contents.items()
            if (row := saved.messages.get(uid)) is not None and row.content == key
        }
    left: defaultdict[bytes, list[int]] = defaultdict(list)
    for uid in sorted(saved.messages.keys() - matched.keys(), reverse=True):
        left[saved.messages[uid].content].append(uid)
    for uid, key in contents.items():
        if uid not in matched and left[key]:
            matched[uid] = left[key].pop()
    return matched


def _lacking(saved: Saved, view: View) -> list[int]:
    """The UIDs in the backup of messages that are not there."""
    return sorted(saved.messages.keys() - set(_matched(saved, view).values()))


async def _put(store: Store, account: int, target: Folder, saved: Saved, uids: list[int]) -> int:
    for start in range(0, len(uids), MESSAGES):
        rows = [saved.messages[uid] for uid in uids[start : start + MESSAGES]]
        messages = tuple(
            Returned(row.content, row.flags, _keywords(saved, row), row.size, row.received, row.heading) for row in rows
        )
        await store.do(PutBack(account=account, mailbox=target.number, messages=messages))
    return len(uids)


async def _settle(store: Store, account: int, target: Folder, saved: Saved, uidnext: int) -> None:
    """Flags as they were; what is not in the backup goes, but for what came while we were at it."""
    view = _view(store, account, target)
    matched = _matched(saved, view)
    changed: defaultdict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
    surplus = []
    for index, uid in enumerate(view.uids):
        if uid not in matched:
            surplus += [uid] if uid < uidnext else []
            continue
        row = saved.messages[matched[uid]]
        now = tuple(name for bit, name in enumerate(view.keywords) if view.bits[index] >> bit & 1)
        then = _keywords(saved, row)
        if view.flags[index] != row.flags or {*map(str.casefold, now)} != {*map(str.casefold, then)}:
            changed[row.flags, then].append(uid)
    for (flags, keywords), uids in changed.items():
        await store.do(
            SetFlags(
                account=account,
                mailbox=target.number,
                uids=tuple(uids),
                mode=Mode.REPLACE,
                flags=flags,
                keywords=keywords,
            )
        )
    if surplus:
        await store.do(Expunge(account=account, mailbox=target.number, uids=tuple(surplus), deleted_only=False))


async def _share(store: Store, account: int, target: Folder, saved: Saved, owner: str) -> None:
    """Rights as they were."""
    then = {grant.identifier for grant in saved.grants}
    for identifier, _ in Access(store.mailboxes).acl(account, target.number):
        if identifier not in then:
            await store.do(DeleteAcl(account=account, mailbox=target.number, identifier=identifier))
    for grant in saved.grants:
        await store.do(
            SetAcl(
                account=account,
                mailbox=target.number,
                identifier=grant.identifier,
                rights=grant.rights,
                grantee=grant.who,
                owner=owner,
            )
        )


async def _note(store: Store, account: int, target: Folder, saved: Saved) -> None:
    """Metadata as it was."""
    now = store.mailboxes.metadata(account, target.number, ("/private", "/shared"), None)
    values = {**dict.fromkeys(name for name, _ in now), **saved.metadata}
    await store.do(SetMetadata(account=account, mailbox=target.number, values=tuple(values.items())))


async def _names(store: Store, account: int, wanted: set[str], subscribed: set[str]) -> None:
    """Mailboxes and subscriptions as they were."""
    for one in reversed(store.mailboxes.folders(account)):
        if one.number and one.name not in wanted and one.name != INBOX_NAME:
            await store.change(Delete(account=account, name=one.name))
        if one.subscribed != (one.name in subscribed):
            await store.do(Subscribe(account=account, name=one.name, on=one.name in subscribed))
    known = {one.name for one in store.mailboxes.folders(account) if one.subscribed}
    for name in subscribed - known:
        await store.do(Subscribe(account=account, name=name))


def _keywords(saved: Saved, row: MessageRow) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(saved.keywords) if row.keywords >> bit & 1) if row.keywords else ()
