"""Who hears of actions: webhooks, the bounce log, and the postmaster by a letter."""

from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import NoReturn

import trio

from engine.bounces.journal import Entry
from engine.message import Envelope, Message, MessageId, Octets, Recipient, Session
from engine.observe.events import event
from engine.shaping.actions import Action, ActionStore
from engine.storage.environment import StorageError
from engine.units import spelled
from engine.verdict import Verdict
from engine.wording import ENGLISH
from engine.wording.letters import LanguageOf, english, letters
from engine.wording.phrases import figure

LOOK = 2.0
"""Seconds between two looks for actions that nobody has been told of."""


class Telling:
    """The task that tells. One in the whole server.

    ``note`` takes an entry to the bounce log and to webhooks, ``submit`` a letter to the queue.
    """

    def __init__(
        self,
        store: ActionStore,
        note: Callable[[Entry], None],
        submit: Callable[[Message], Awaitable[Verdict]],
        postmaster: Callable[[], str],
        language: LanguageOf = english,
    ) -> None:
        self._store = store
        self._note = note
        self._submit = submit
        self._postmaster = postmaster
        self._language = language
        self._seen = -1

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.tell()
            except StorageError as error:
                event("shaping-actions-unknown", error=str(error))
            await trio.sleep(LOOK)

    async def tell(self) -> None:
        """Tell of all that is new. StorageError."""
        if not await trio.to_thread.run_sync(self._store.has_news):
            return
        begun, ended = await trio.to_thread.run_sync(self._store.news)
        for action in begun:
            self._note(_entry("action", action))
            if action.notify:
                postmaster = self._postmaster()
                await self._submit(letter(action, postmaster, self._language(postmaster.rpartition("@")[2])))
        for action in ended:
            event("shaping-action-over", id=action.id, name=action.name, site=action.site)
            self._note(_entry("lifted", action))


def _entry(what: str, action: Action) -> Entry:
    return Entry(
        time=action.since,
        event=what,
        id=action.id,
        site=action.site,
        source=action.source,
        tenant=action.tenant,
        reply=action.reply,
        text=action.act,
        again=action.until,
        by=action.name,
    )


def letter(action: Action, postmaster: str, language: str = ENGLISH) -> Message:
    """From the null sender (RFC 5321 4.5.5): if it cannot be delivered, nobody hears of that."""
    identity = MessageId.new(action.since)
    message = EmailMessage(policy=SMTP.clone(utf8=not postmaster.isascii()))
    message["From"] = message["To"] = postmaster
    where = action.site if len(action.site) <= 60 else f"{action.site[:57]}..."
    message["Subject"] = f"{action.act}: {where} ({action.name})"
    message["Date"] = formatdate(action.since, localtime=True)
    message["Message-ID"] = f"<{identity}.action@{postmaster.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
    about = "".join(
        f"  {name}: {value}\n"
        for name, value in (("site", action.site), ("source", action.source), ("tenant", action.tenant))
        if value
    )
    words, lasts = letters(language).action, figure(language, spelled(action.until - action.since))
    message.set_content(
        words["text"].format(
            name=action.name, about=about, reply=action.reply, does=words[action.act], time=lasts, id=action.id
        )
    )
    envelope = Envelope(
        "",
        (Recipient(postmaster, notify="NEVER"),),
        Session(protocol="", trusted=True),
        arrived=action.since,
        smtputf8=not postmaster.isascii(),
    )
    return Message(identity, envelope, Octets(message.as_bytes()))
