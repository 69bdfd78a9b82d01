"""The letter to the postmaster about an account whose mail is parked."""

from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import NoReturn

import trio

from engine.abuse.habits import Habits, Suspect, suspect
from engine.message import Envelope, Message, MessageId, Octets, Recipient, Session
from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.verdict import Defer, Verdict
from engine.wording import ENGLISH
from engine.wording.letters import LanguageOf, english, letters
from engine.wording.phrases import said

LOOK = 20.0
"""Seconds between two looks for somebody who is new among the suspects."""


class Letters:
    """The task that writes them. One in the whole server."""

    def __init__(
        self, habits: Habits, submit: Callable[[Message], Awaitable[Verdict]], language: LanguageOf = english
    ) -> None:
        """``submit`` takes a message to the queue."""
        self._habits = habits
        self._submit = submit
        self._language = language

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.tell()
            except StorageError as error:
                event("habits-unknown", error=str(error))
            await trio.sleep(LOOK)

    async def tell(self) -> None:
        """Write about all whom nobody has been told of. StorageError."""
        for _, value in self._habits.tables["suspects"].local.entries():
            found = suspect(value)
            if not found.told and not isinstance(
                await self._submit(letter(found, self._language(_domain(found)))), Defer
            ):
                await self._habits.told(found.account)


def _domain(found: Suspect) -> str:
    return found.account.rpartition("@")[2]


def letter(found: Suspect, language: str = ENGLISH) -> Message:
    """From the null sender (RFC 5321 4.5.5): if it cannot be delivered, nobody hears of that."""
    postmaster, words = f"postmaster@{_domain(found)}", letters(language).suspect
    identity = MessageId.new(found.since)
    message = EmailMessage(policy=SMTP.clone(utf8=not found.account.isascii()))
    message["From"] = message["To"] = postmaster
    message["Subject"] = words["subject"].format(account=found.account)
    message["Date"] = formatdate(found.since, localtime=True)
    message["Message-ID"] = f"<{identity}.suspect@{postmaster.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
    reasons = "".join(f"  {said(language, reason)}\n" for reason in found.reasons)
    message.set_content(words["text"].format(account=found.account, reasons=reasons, peer=found.peer))
    envelope = Envelope(
        "",
        (Recipient(postmaster, notify="NEVER"),),
        Session(protocol="", trusted=True),
        arrived=found.since,
        smtputf8=not postmaster.isascii(),
    )
    return Message(identity, envelope, Octets(message.as_bytes()))
