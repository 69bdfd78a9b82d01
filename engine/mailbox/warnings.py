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
from engine.storage.batch import Batch
from engine.storage.environment import StorageError
from engine.units import measured
from engine.wakeup import Wakeup
from engine.wording import ENGLISH
from engine.wording.letters import LanguageOf, english, letters
from engine.wording.phrases import figure

PAUSE = 60.0
"""Seconds until it is tried again when a letter could not be delivered."""


class Warnings:
    """The task that delivers what the mailboxes' owner has put down to be told. One in the whole server."""

    def __init__(
        self, owner: MailboxOwner, directory: Directory, quotas: Quotas, language: LanguageOf = english
    ) -> None:
        self._owner = owner
        self._directory = directory
        self._quotas = quotas
        self._language = language
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
        domain = _domain(row.quota.address)
        if any(row.above < share <= row.level for share in settings.warn):
            language = await trio.to_thread.run_sync(self._language, domain, account)
            await self._deliver(identity, to_owner(row, settings.full, language), {account: row.quota.address})
        if settings.tell_postmaster and row.level >= 100:
            # A message of its own, whose id follows from the first one.
            other = MessageId(row.id[:-1] + bytes([row.id[-1] ^ 1]))
            found = await asked(self._directory, self._postmasters, domain)
            language = await trio.to_thread.run_sync(self._language, domain)
            await self._deliver(other, to_postmaster(row, settings.full, language), found)

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


def to_owner(row: TellRow, full: str, language: str = ENGLISH) -> bytes:
    """The letter to the person whose mailbox fills up."""
    words, share = letters(language).quota, row.quota.share(row.size, row.messages)
    state = words["full"] if share >= 100 else words["part"].format(share=share)
    when = words["gone" if share >= 100 else "will"]
    text = words["text"].format(
        address=row.quota.address, state=state, uses=_uses(row, language), when=when, fate=words[full]
    )  # fmt: skip
    return _letter(row, row.quota.address, words["subject"].format(state=state), text)


def to_postmaster(row: TellRow, full: str, language: str = ENGLISH) -> bytes:
    """The letter to whoever looks after the server."""
    address, words = row.quota.address, letters(language).quota
    text = words["postmaster"].format(address=address, uses=_uses(row, language), fate=words[full])
    return _letter(row, f"postmaster@{_domain(address)}", words["postmaster_subject"].format(address=address), text)


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


def _uses(row: TellRow, language: str) -> str:
    return letters(language).quota["and"].join(_parts(row, row.quota, language))


def _parts(row: TellRow, quota: Quota, language: str) -> Iterator[str]:
    words, told = letters(language).quota, partial(figure, language)
    if quota.octets:
        yield words["octets"].format(part=told(measured(row.size)), whole=told(measured(quota.octets)))
    if quota.messages:
        yield words["messages"].format(part=told(f"{row.messages:,}"), whole=told(f"{quota.messages:,}"))


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
