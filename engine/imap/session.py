"""What somebody who has logged in does: the account, the mailbox that is selected, and the ways to the store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ParamSpec, TypeVar

import trio

from engine.directory import Account, asked
from engine.imap.letters import Shelf
from engine.imap.place import Place
from engine.imap.reply import Done, No
from engine.imap.selected import Selected
from engine.imap.service import ImapService
from engine.imap.wishes import Wishes
from engine.mailbox import Folder, Identity, Mailboxes, Quota, access
from engine.mailbox.commands import Answer, AnyCommand, Begin, Problem
from engine.mailbox.layout import INBOX
from engine.mailbox.metadata import LARGEST
from engine.mailbox.names import OTHERS, SEPARATOR, below, canonical, is_reserved
from engine.mailbox.quotas import NO_QUOTA
from engine.mailbox.rights import RIGHTS
from engine.protocols.imap import codes
from engine.protocols.imap.intake import Repeat
from engine.protocols.imap.mailboxes import List
from engine.protocols.imap.responses import Space
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.view import May
from engine.storage.environment import StorageError

P = ParamSpec("P")
R = TypeVar("R")


class Session:
    """From a login to the end of the connection, or to UNAUTHENTICATE.

    ``flush`` sends what is outgoing. StorageError and Unanswered of its ways to the store mean that the command could
    not be done now.
    """

    def __init__(
        self,
        service: ImapService,
        imap: ImapServer,
        account: Account,
        me: Identity,
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        self.service = service
        self.imap = imap
        self.account = account
        self.me = me
        self.flush = flush
        self.selected: Selected | None = None
        self.wishes: Wishes | None = None  # of NOTIFY

    async def begin(self) -> None:
        """Make the mailboxes that every account has, if it is used for the first time."""
        if self.mailboxes.status(self.account.id, INBOX) is None:
            await self.change(Begin(account=self.account.id))

    @property
    def mailboxes(self) -> Mailboxes:
        return self.service.mailboxes

    @property
    def mailbox(self) -> Selected:
        """The one that is selected: the protocol lets no command through that needs one where there is none."""
        assert self.selected is not None
        return self.selected

    @property
    def shelf(self) -> Shelf:
        """The messages of the mailbox that is selected."""
        return Shelf(self.mailboxes, self.service.index, self.mailbox.account, self.mailbox.mailbox)

    @property
    def spaces(self) -> tuple[list[Space], list[Space], list[Space]]:
        """What names begin with: the account's own, those of others, and public ones (RFC 2342)."""
        own, others, public = self.service.access.spaces()
        return [Space(own, SEPARATOR)], [Space(others, SEPARATOR)], [Space(public, SEPARATOR)]

    async def owner(self, place: Place) -> Account | None:
        """The account whose mailbox it is; None: a public one's, or that account is no more."""
        if place.account == self.account.id:
            return self.account
        directory = self.service.directory
        found = await asked(directory, directory.account, place.owner) if place.owner else None
        return found if found is not None and found.id == place.account else None

    async def quota(self, place: Place) -> Quota:
        """What the owner of a mailbox may have. Unavailable."""
        owner = await self.owner(place)
        return await self.service.quotas.limit(owner) if owner is not None else NO_QUOTA

    async def read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Something that may block, in a thread."""
        return await trio.to_thread.run_sync(lambda: function(*args, **kwargs))

    async def change(self, command: AnyCommand) -> Answer:
        """Have a change made."""
        return await self.service.change(command)

    def find(self, name: str) -> Place:
        """The mailbox of that name. No where there is none that can be selected."""
        place = self.look(name)
        if place is None or not place.mailbox:
            raise No("There is no such mailbox", b"NONEXISTENT")
        return place

    def look(self, name: str) -> Place | None:
        """What the name leads to: a mailbox or a level without one."""
        if not is_reserved(name):
            return self._own(name)
        found = self.service.access.place(self.me, name)
        folder = self.service.folders.named(found.account, found.name) if found is not None else None
        if found is None or folder is None:
            return None
        return self._place(name, found, folder, found.rights)

    def target(self, name: str) -> Place | None:
        """The mailbox of that name, for what looks at nothing else of it: its folder has no more than a number."""
        if is_reserved(name):
            found = self.look(name)
            return found if found is not None and found.mailbox else None
        try:
            own = canonical(name)
        except ValueError:
            return None
        number = self.mailboxes.number(self.account.id, own)
        return Place(self.account.id, self.account.address, own, Folder(own, number), RIGHTS) if number else None

    def _own(self, name: str) -> Place | None:
        try:
            folder = self.service.folders.named(self.account.id, canonical(name))
        except ValueError:
            return None
        return Place(self.account.id, self.account.address, folder.name, folder, RIGHTS) if folder is not None else None

    def _place(self, name: str, found: access.Place, folder: Folder, rights: str) -> Place:
        own = found.account == self.account.id
        owner = self.account.address if own else _owner(name, found.name)
        return Place(found.account, owner, found.name, folder, rights)

    def home(self, name: str) -> tuple[int, str]:
        """The account in which a mailbox of that name would be made, and how its owner would call it."""
        found = self.service.access.place(self.me, name)
        if found is None:
            raise No("There can be no such mailbox", b"CANNOT")
        if "k" not in found.rights:
            raise No("You may not make mailboxes there", b"NOPERM")
        return found.account, found.name

    async def listed(self) -> list[tuple[str, Place]]:
        """All names that the session may see, with what they lead to, by name."""
        own = await self.service.folders.all(self.account.id)
        me = self.account
        found = {folder.name: Place(me.id, me.address, folder.name, folder, RIGHTS) for folder in own}
        for name, folder, rights in self.shared():
            place = self.service.access.place(self.me, name)
            if place is not None:
                found[name] = self._place(name, place, folder, rights)
        return sorted(found.items())

    def shared(self) -> list[tuple[str, Folder, str]]:
        """What others share with the session, and public mailboxes: name, folder, rights."""
        return self.service.access.listed(self.me)

    def demand(self, place: Place, rights: str) -> None:
        """No where one of these rights is missing (RFC 4314 4)."""
        if not set(rights) <= set(place.rights):
            raise No("You may not do that here", b"NOPERM")

    def named(self, uids: Sequence[int], *, uid: bool) -> list[int]:
        """UIDs, or the numbers that these messages have."""
        if uid:
            return list(uids)
        numbers = self.mailbox.numbers
        if len(uids) > len(numbers) // 4:
            places = {one: number for number, one in enumerate(numbers.uids, 1)}
            return [places[one] for one in uids if one in places]
        return [number for one in uids if (number := numbers.number(one)) is not None]

    # Answers that were given before.

    def repeats(self) -> Mapping[bytes, Repeat]:
        """What was answered to STATUS and still is; nothing where there is something to be told with it."""
        selected = self.selected
        try:
            if selected is not None and (selected.has_news or not self._is_current(selected)):
                return {}
            return self.service.folders.answers(self.account.id, self.imap.features)
        except StorageError:  # said where it is asked for in the usual way
            return {}

    def keep(self, place: Place, done: Done, responses: bytes) -> None:
        """Answer the command under way just so as long as nothing changes in the account of ``place``."""
        asked = self.imap.rest
        if asked and place.account == self.account.id:
            answer = Repeat(responses, codes.status_line(b"", b"OK", done.text, done.code))
            self.service.folders.answered(place.account, self.imap.features, asked, answer)

    def told(self, command: List) -> bytes | None:
        """What LIST told of the account's own mailboxes and still would; None: that is not known."""
        return self.service.folders.told(self.account.id, self.imap.features, command)

    def keep_told(self, command: List, responses: bytes) -> None:
        """LIST has told this of the account's own mailboxes."""
        self.service.folders.keep_told(self.account.id, self.imap.features, command, responses)

    # News of the mailbox that is selected.

    async def take_in(self) -> None:
        """Learn what has happened in the mailbox; nothing is told yet."""
        selected = self.selected
        if selected is None or selected.gone:
            return
        status = self.mailboxes.status(selected.account, selected.mailbox)
        if selected.is_at(status):
            return
        if status is not None and not self._may_still_read(selected):
            status = None
        changes = None
        if status is not None and status.uidvalidity == selected.uidvalidity:
            changes = await self.service.views.changes(selected.account, selected.mailbox, selected.modseq, status)
        if changes is not None:
            selected.take(changes)
        elif status is not None:
            selected.take_all(await self.service.views.of(selected.account, selected.mailbox))
        else:
            selected.take_all(None)

    def _is_current(self, selected: Selected) -> bool:
        """Whether nothing has happened in it that has not been taken in."""
        return selected.gone or selected.is_at(self.mailboxes.status(selected.account, selected.mailbox))

    def _may_still_read(self, selected: Selected) -> bool:
        """Its owner may have taken rights away."""
        if selected.account == self.account.id:
            return True
        rights = self.service.access.rights(self.me, selected.account, selected.mailbox)
        selected.place = selected.place._replace(rights=rights)
        return "r" in rights

    def tell(self, may: May) -> None:
        """Queue the news that may be told."""
        selected = self.selected
        if selected is not None:
            features = self.imap.features
            flags = self.wishes is None or self.wishes.flags
            self.imap.send(*selected.told(may, features=features, rev2="IMAP4rev2" in features, flags=flags))

    def tell_keywords(self) -> None:
        """Queue the names of keywords that are new, before flags are told in which they stand."""
        if self.selected is not None:
            self.imap.send(*self.selected.told_keywords())

    async def catch_up(self, may: May) -> None:
        """Learn what has happened, and queue it."""
        await self.take_in()
        self.tell(may)


def _owner(name: str, end: str) -> str:
    """The address in the name of another's mailbox, which its owner calls ``end``; empty for a public one."""
    space = below(OTHERS)
    return name.removeprefix(space).removesuffix(SEPARATOR + end) if name.startswith(space) else ""


def refused(problem: Problem) -> No:
    """The answer to a change that was not made."""
    text, code = _PROBLEMS[problem]
    return No(text, code)


_PROBLEMS = {
    Problem.NONEXISTENT: ("There is no such mailbox", b"NONEXISTENT"),
    Problem.ALREADYEXISTS: ("There is such a mailbox already", b"ALREADYEXISTS"),
    Problem.CANNOT: ("That cannot be done with this mailbox", b"CANNOT"),
    Problem.HASCHILDREN: ("There are mailboxes below it", b"HASCHILDREN"),
    Problem.USEATTR: ("Another mailbox has this use", b"USEATTR"),
    Problem.OVERQUOTA: ("The mailbox is full: remove messages, or ask for more room", b"OVERQUOTA"),
    Problem.LIMIT: ("There are too many of them already", b"LIMIT"),
    Problem.GONE: ("The account is no more", b"UNAVAILABLE"),
    Problem.TOO_BIG: ("A value is too long", b"METADATA MAXSIZE %d" % LARGEST),
    Problem.TOO_MANY: ("There are too many entries", b"METADATA TOOMANY"),
}
