"""Letters to people whose mail somebody may look at, or could: where `[oversight] notice` says so."""

import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import NoReturn

import trio

from engine.config import Oversight as Settings
from engine.mailbox import MailboxOwner
from engine.message import Envelope, Message, MessageId, Octets
from engine.observe.events import event
from engine.oversight.grants import Grant, Whose
from engine.oversight.store import Oversight
from engine.storage.environment import StorageError

EVERY = 30.0
"""Seconds between two looks."""


class Notices:
    """The task that delivers them. One in the whole server, beside the owner of the mailboxes."""

    def __init__(
        self,
        owner: MailboxOwner,
        opened: Callable[[], Oversight],
        settings: Callable[[], Settings],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._owner = owner
        self._opened = opened
        self._settings = settings
        self._clock = clock

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.tell()
            except StorageError as error:
                event("oversight-notice-failed", error=str(error))
            await trio.sleep(EVERY)

    async def tell(self) -> None:
        """Deliver all that are due, none twice: the entry that it was told follows the letters. StorageError."""
        for grant in await trio.to_thread.run_sync(lambda: self._opened().grants()):
            if self._is_due(grant):
                for whose in grant.whose:
                    letter = Message(_identity(grant, whose), Envelope("", ()), Octets(written(grant, whose)))
                    await self._owner.deliver(letter, {whose.account: whose.address})
                await trio.to_thread.run_sync(self._told, grant.number)

    def _told(self, number: int) -> None:
        self._opened().told(number)

    def _is_due(self, grant: Grant) -> bool:
        """A grant that is asked for while people are to be told is told of, whatever the settings say since."""
        if not grant.tell or grant.told or not grant.begun:
            return False
        return self._settings().notice == "begin" or self._clock() >= grant.until


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M %Z}"


def _identity(grant: Grant, whose: Whose) -> MessageId:
    """The same each time: what was delivered before a crash is not delivered again."""
    rest = hashlib.blake2b(b"%d %d" % (grant.number, whose.account), digest_size=10, person=b"notice").digest()
    return MessageId(int(grant.begun * 1000).to_bytes(6, "big") + rest)


def written(grant: Grant, whose: Whose) -> bytes:
    """The letter, in English and Vietnamese."""
    identity, domain = _identity(grant, whose), whose.address.rpartition("@")[2]
    message = EmailMessage(policy=SMTP.clone(utf8=not whose.address.isascii()))
    message["From"] = f"postmaster@{domain}"
    message["To"] = whose.address
    message["Subject"] = "Somebody was allowed to read your mail / Đã có người được phép đọc thư của bạn"
    message["Date"] = formatdate(identity.time, localtime=True)
    message["Message-ID"] = f"<{identity}.oversight@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
    begun, until = map(_shown, (grant.begun, grant.until))
    consented = grant.consented_by or "-"
    message.set_content(
        f"{grant.by} was allowed to search and read the mail of {whose.address}\n"
        f"from {begun} to {until}.\n"
        f"Reason: {grant.reason}\nConsented to by: {consented}\n"
        f"It is grant {grant.number} of this server's audit log, which says what was looked at.\n"
        "\n--\n\n"
        f"{grant.by} được phép tìm kiếm và đọc thư của {whose.address}\n"
        f"từ {begun} đến {until}.\n"
        f"Lý do: {grant.reason}\nNgười đồng ý: {consented}\n"
        f"Đây là quyền số {grant.number} trong nhật ký kiểm toán của máy chủ; nhật ký ghi lại những gì đã được xem.\n"
    )
    return message.as_bytes()
