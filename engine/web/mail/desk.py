"""What the webmail of one process has: ways to the mail, and what its requests share."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, ParamSpec, TypeVar

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from engine.directory import Unavailable, asked
from engine.finding.boxes import Box, Boxes
from engine.finding.listing import Listing
from engine.finding.search import Finding, Hit
from engine.finding.words import Search
from engine.index import Index
from engine.mailbox import Access, Mailboxes, View
from engine.mailbox.commands import Begin
from engine.mailbox.layout import INBOX
from engine.net.https import Https
from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.storage.store import OnDemand
from engine.web import means
from engine.web.context import Context, context_of
from engine.web.mail.contacts import Contacts
from engine.web.mail.opened import Opener
from engine.web.mail.passes import Passes
from engine.web.mail.people import Colleagues
from engine.web.mail.pictures import Fetching
from engine.web.mail.teaching import Teaching
from engine.web.mail.uploads import Uploads
from engine.web.mail.ways import Ways
from engine.web.sessions import Session, session_of
from engine.web.turns import Turns

P = ParamSpec("P")
R = TypeVar("R")

MOST: int = 2**32 - 1
HOUR, DAY = 3600.0, 86_400.0

_SEARCHES = trio.CapacityLimiter(8)
"""Threads of this process in which searches are made: each may take long, and all else needs threads too."""


class Desk:
    """One a process. What it opens it opens when it is first asked for."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.passes = Passes(context.sessions.secret("pictures"))
        self.uploads = Uploads(context.data / "web" / "uploads")
        self.teaching = Teaching(context)
        self.ways = Ways(context)
        self.colleagues = Colleagues()
        self.waiting: dict[str, trio.Event] = {}  # what is about to be sent by this process
        self.turns = Turns()  # of accounts: at searches, and at letters that are made and sent
        self._finding: Finding | None = None
        self._fetching: Fetching | None = None
        self._contacts = OnDemand(partial(Contacts.open, context.data / "web" / "contacts", self._reserve))

    @property
    def contacts(self) -> Contacts:
        """StorageError."""
        return self._contacts.opened()

    def _reserve(self) -> int:
        return 2 * int(self.context.config.queue.reserve)

    async def tend(self) -> NoReturn:
        """Once a day, erase the contacts of accounts that are gone."""
        await trio.sleep(HOUR)  # there is more to do at the start
        while True:
            try:
                await trio.to_thread.run_sync(self.contacts.tend, self._is_there)
            except (StorageError, Unavailable) as error:
                event("erasing-stopped", error=str(error))
            await trio.sleep(DAY)

    def _is_there(self, address: str, account: int) -> bool:
        """Unavailable."""
        found = self.context.directory().account(address)
        return found is not None and found.id == account

    def close(self) -> None:
        self._contacts.close()

    @property
    def mailboxes(self) -> Mailboxes:
        """StorageError while they cannot be read."""
        return self.context.mailboxes()

    @property
    def index(self) -> Index:
        return means.index(self.context)

    @property
    def finding(self) -> Finding:
        """StorageError."""
        if self._finding is None:
            self._finding = Finding(self.mailboxes, self.index)
        return self._finding

    async def search(
        self, account: int, views: Sequence[tuple[Box, View]], search: Search, after: Hit | None
    ) -> tuple[list[Hit], Hit | None]:
        """What ``Finding.find`` finds for an account: one search at a time, so that nobody keeps others from theirs.
        TooLong."""
        async with self.turns.of(("search", account)):
            return await trio.to_thread.run_sync(
                self.finding.find, views, search.key, search.attached, after, limiter=_SEARCHES
            )

    @property
    def fetching(self) -> Fetching:
        if self._fetching is None:
            self._fetching = Fetching.by(self.context.resolver())
        return self._fetching

    @property
    def https(self) -> Https:
        """By which what letters name is asked, at public addresses alone."""
        return self.fetching.https

    async def boxes(self, request: Request) -> Boxes:
        """The mailboxes of whoever asks, which are made if this is their first use. StorageError, Unavailable."""
        account = session(request).account
        mailboxes = self.mailboxes
        if mailboxes.status(account.id, INBOX) is None:
            await self.context.change(Begin(account=account.id))
        directory = self.context.directory()
        me = await asked(directory, Access(mailboxes).identity, directory, account)
        return Boxes(mailboxes, me)

    async def box(self, request: Request, text: str) -> Box:
        """The mailbox of that Box.id. 404 where there is none that whoever asks may read."""
        found = await read((await self.boxes(request)).box, text)
        if found is None:
            raise HTTPException(404)
        return found

    def listing(self, box: Box) -> Listing:
        return Listing(self.mailboxes, self.index, (box.account, box.number), box.id, outgoing=box.outgoing)

    def opener(self, box: Box) -> Opener:
        return Opener(self.mailboxes, self.index, (box.account, box.number))


def session(request: Request) -> Session:
    """That of a request that only those come to who have signed in."""
    found = session_of(request)
    if found is None:
        raise HTTPException(401)
    return found


def desk_of(request: Request) -> Desk:
    """The desk of the site that the request came to."""
    return context_of(request).one(Desk)


async def read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Something that may block, in a thread."""
    return await trio.to_thread.run_sync(lambda: function(*args, **kwargs), abandon_on_cancel=True)


async def said(request: Request, kind: type[R]) -> R:
    """What the page says, as JSON. 400 for what no page of ours says."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise HTTPException(400, str(error)) from error


def number(text: str) -> int:
    """A UID in an address. 404 for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > MOST:
        raise HTTPException(404)
    return int(text)
