"""Letters to people whose mailboxes fill up, and to the postmaster when one is full."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from typing import NoReturn

import trio

from engine.directory import Account, Alias, Directory, Unavailable, asked
from engine.mailbox.layout import Databases, tell_key
from engine.mailbox.owner import MailboxOwner
from engine.mailbox.quota import Quota, TellRow
from engine.mailbox.quotas import Quotas
from engine.message import Envelope, Message, MessageId, Octets
from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.storage.writer import Batch
from engine.units import measured
from engine.wakeup import Wakeup

PAUSE = 60.0
"""Seconds until it is tried again when a letter could not be delivered."""

_FATE = {
    "defer": "waits with those who sent it, and goes back to them if there is no room within some days",
    "reject": "goes back to those who sent it",
}


class Warnings:
    """The task that delivers what the mailboxes' owner has put down to be told. One in the whole server."""

    def __init__(self, owner: MailboxOwner, directory: Directory, quotas: Quotas) -> None:
        self._owner = owner
        self._directory = directory
        self._quotas = quotas
        self._some = Wakeup()
        owner.fuller = self._some.wake

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.tell()
            except (StorageError, Unavailable) as error:
                event("quota-warning-failed", error=str(error))
                await trio.sleep(PAUSE)
            else:
                await self._some.wait()

    async def tell(self) -> None:
        """Deliver all letters, and none again that was delivered before a crash. StorageError, Unavailable."""
        for account, row in await trio.to_thread.run_sync(self._owner.reader.to_tell):
            try:
                await self._tell(account, row)
            except (StorageError, Unavailable):
                raise
            except Exception as error:  # one letter's trouble must not stop the others, nor the mailboxes
                event.bug("quota warning", error)
            await self._owner.writer.apply(partial(_told, self._owner.databases, account, row.id))

    async def _tell(self, account: int, row: TellRow) -> None:
        settings, identity = self._quotas.settings, MessageId(row.id)
        event("mailbox-filling", address=row.quota.address, share=row.quota.share(row.size, row.messages))
        if any(row.above < share <= row.level for share in settings.warn):
            await self._deliver(identity, to_owner(row, settings.full), {account: row.quota.address})
        if settings.tell_postmaster and row.level >= 100:
            # A message of its own, whose id follows from the first one.
            other = MessageId(row.id[:-1] + bytes([row.id[-1] ^ 1]))
            found = await asked(self._directory, self._postmasters, _domain(row.quota.address))
            await self._deliver(other, to_postmaster(row, settings.full), found)

    async def _deliver(self, identity: MessageId, letter: bytes, to: dict[int, str]) -> None:
        if to:
            await self._owner.deliver(Message(identity, Envelope("", ()), Octets(letter)), to)

    def _postmasters(self, domain: str) -> dict[int, str]:
        """The accounts here that get the postmaster's mail."""
        found = self._directory.find(f"postmaster@{domain}")
        names = found.targets if isinstance(found, Alias) else ()
        reached = [found, *map(self._directory.find, names)]
        return {one.id: one.address for one in reached if isinstance(one, Account)}


def _told(databases: Databases, account: int, identity: bytes, batch: Batch) -> None:
    octets = batch.get(databases.quota, tell_key(account))
    if octets is not None and TellRow.parse(octets).id == identity:  # there may be more to tell meanwhile
        batch.delete(databases.quota, tell_key(account))


def to_owner(row: TellRow, full: str) -> bytes:
    """The letter to the person whose mailbox fills up."""
    share = row.quota.share(row.size, row.messages)
    state = "full" if share >= 100 else f"{share} % full"
    when = "New mail is not taken any more: it" if share >= 100 else "When it is full, new mail"
    text = (
        f"Your mailbox {row.quota.address} is {state}: it holds {_uses(row)}.\n\n"
        f"{when} {_FATE[full]}.\n\n"
        "To make room, delete mail that you do not need any more, and then empty the folder Trash:\n"
        "what lies there counts as well. It goes fastest with the largest messages.\n"
    )
    return _letter(row, row.quota.address, f"Your mailbox is {state}", text)


def to_postmaster(row: TellRow, full: str) -> bytes:
    """The letter to whoever looks after the server."""
    address = row.quota.address
    text = (
        f"The mailbox {address} is full: it holds {_uses(row)}.\n"
        f"New mail for it {_FATE[full]}.\n\n"
        f"What it may hold, and who says so: postroad quota show {address}\n"
    )
    return _letter(row, f"postmaster@{_domain(address)}", f"The mailbox {address} is full", text)


def _letter(row: TellRow, to: str, subject: str, text: str) -> bytes:
    sender = f"postmaster@{_domain(row.quota.address)}"
    message = EmailMessage(policy=SMTP.clone(utf8=not to.isascii()))
    identity = MessageId(row.id)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(identity.time, localtime=True)
    message["Message-ID"] = f"<{identity}.{'postmaster' if to == sender else 'quota'}@{_domain(row.quota.address)}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's autoresponder answers
    message.set_content(text)
    return message.as_bytes()


def _uses(row: TellRow) -> str:
    return " and ".join(_parts(row, row.quota))


def _parts(row: TellRow, quota: Quota) -> Iterator[str]:
    if quota.octets:
        yield f"{measured(row.size)} of {measured(quota.octets)}"
    if quota.messages:
        yield f"{row.messages:,} of {quota.messages:,} messages"


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
