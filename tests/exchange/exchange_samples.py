"""An account with some of everything, and what is to be seen of one."""

from dataclasses import dataclass

from engine.exchange.store import Store
from engine.mailbox.commands import Append, Appended, Begin, Create, Expunge, Subscribe
from engine.mailbox.flags import ANSWERED, FLAGGED, SEEN
from engine.mailbox.layout import INBOX, INLINE

ANN, BEN = 1, 2
THEN = 1_700_000_000_000
"""Unix milliseconds."""

LETTER = b"From: bob@example.net\r\nSubject: %s\r\n\r\nHello\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" + b"0123456789\r\n" * (INLINE // 8)


@dataclass(frozen=True)
class Seen:
    """One message, without what is the store's to give."""

    content: bytes
    flags: int
    keywords: frozenset[str]
    received: int


async def add(store: Store, account: int, mailbox: int, *messages: Appended) -> tuple[int, ...]:
    answer = await store.do(Append(account=account, mailbox=mailbox, messages=messages))
    return answer.uids


async def filled(store: Store, account: int = ANN) -> None:
    """INBOX with flags, keywords, a large one and a gap; folders below one another; a subscription to nothing."""
    await store.do(Begin(account=account))
    await add(
        store, account, INBOX,
        Appended(LETTER % b"one", flags=SEEN | ANSWERED, keywords=("$Forwarded", "urgent"), received=THEN),
        Appended(LETTER % b"gone", received=THEN + 1000),
        Appended(LARGE, flags=FLAGGED, received=THEN + 2000),
        Appended(LETTER % b"one", received=THEN + 3000),
    )  # fmt: skip
    await store.do(Expunge(account=account, mailbox=INBOX, uids=(2,), deleted_only=False))
    for name in ("Projekte/Grün & blau", "Archive/2026"):
        made = await store.do(Create(account=account, name=name))
        await add(store, account, made.mailbox, Appended(LETTER % name.encode(), keywords=("$MDNSent",), received=THEN))
    await store.do(Subscribe(account=account, name="Archive/2026"))
    await store.do(Subscribe(account=account, name="News"))
    await store.do(Subscribe(account=account, name="Junk", on=False))


def seen(store: Store, account: int = ANN) -> dict[str, list[Seen]]:
    """All messages by the names of their mailboxes, in the order of UIDs."""
    found = {}
    for folder in store.mailboxes.folders(account):
        if folder.number:
            view = store.mailboxes.select(account, folder.number)
            assert view is not None
            found[folder.name] = [
                Seen(
                    b"".join(store.mailboxes.chunks(account, uid, folder.number)),
                    view.flags[index],
                    frozenset(name for bit, name in enumerate(view.keywords) if view.bits[index] >> bit & 1),
                    view.received[index],
                )
                for index, uid in enumerate(view.uids)
            ]
    return found


def uids(store: Store, account: int = ANN) -> dict[str, tuple[int, list[int]]]:
    """UIDVALIDITY and UIDs of each mailbox."""
    views = {one.name: store.mailboxes.select(account, one.number) for one in store.mailboxes.folders(account)}
    return {name: (view.status.uidvalidity, list(view.uids)) for name, view in views.items() if view is not None}


def subscribed(store: Store, account: int = ANN) -> set[str]:
    return {one.name for one in store.mailboxes.folders(account) if one.subscribed}
