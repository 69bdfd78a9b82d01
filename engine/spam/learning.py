r"""Learning from what people do with their mail: what they move into Junk is spam, what they move out of it is not.

Only what a client asks for is learnt. That the filter itself has put a message into Junk says nothing.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, NoReturn, Protocol, TypeAlias

import trio

from engine.observe.events import event
from engine.spam.controller import Controller, NotTaken
from engine.spam.lessons import lesson, teach
from engine.spam.letter import READ, Letter
from engine.spam.store import SERVER, Kind, Learnt, Lesson, Words
from engine.storage.environment import StorageError
from engine.wakeup import Wakeup

Whom: TypeAlias = Literal["nobody", "account", "server"]
"""For whom it is learnt; ``server``: for everybody, and for the account besides."""

JUNK: Final = "\\Junk"
KEYWORDS: Final[dict[str, Kind]] = {
    "$junk": "spam", "junk": "spam", "$notjunk": "ham", "notjunk": "ham", "nonjunk": "ham",
}  # fmt: skip
"""Keywords by which clients say it (the registry of IMAP keywords; Thunderbird's and Apple's own)."""

MOST: Final = 10_000
"""Messages that wait to be learnt; of more, the oldest are not."""

AT_ONCE: Final = 20
"""Messages that are read in one turn."""

_NOT_MAIL: Final = frozenset({"\\Trash", "\\Drafts"})
"""Into these people move what they are done with: that it is no spam does not follow."""


class Mailboxes(Protocol):
    """What is needed of the mailboxes."""

    def part(self, account_id: int, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """LookupError for a message that is gone."""
        ...


class Told(NamedTuple):
    """What somebody has said of a message by what he did with it."""

    account: int
    mailbox: int
    uid: int
    kind: Kind


def moved(use: str, to: str) -> Kind | None:
    r"""What a move from a mailbox of one special use into another one says of a message; None: nothing."""
    if use == to:
        return None
    if to == JUNK:
        return "spam"
    return "ham" if use == JUNK and to not in _NOT_MAIL else None


def flagged(keywords: Sequence[str]) -> Kind | None:
    """What keywords that a client sets say of a message; None: nothing, or contradictory things."""
    said = {kind for name in keywords if (kind := KEYWORDS.get(name.lower()))}
    return said.pop() if len(said) == 1 else None


class Learner:
    """Learns in the background what is told, some messages at a time. What waits when the process ends is lost."""

    def __init__(
        self,
        words: Callable[[], Words],
        mailboxes: Mailboxes,
        whom: Whom = "account",
        controller: Controller | None = None,
    ) -> None:
        self.whom = whom  # this and the next may be changed at any time
        self.controller = controller
        self._words = words
        self._mailboxes = mailboxes
        self._waiting: deque[Told] = deque(maxlen=MOST)
        self._some = Wakeup()

    def tell(self, account: int, mailbox: int, uids: Sequence[int], kind: Kind | None) -> None:
        """Somebody has said of the messages in that mailbox what they are. Returns at once."""
        if kind is not None and self.whom != "nobody":
            self._waiting.extend(Told(account, mailbox, uid, kind) for uid in uids)
            self._some.wake()

    async def run(self) -> NoReturn:
        """Learn whatever is told, until cancelled."""
        while True:
            while not self._waiting:
                await self._some.wait()
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                letters, done = await trio.to_thread.run_sync(self._learn, some)
            except (StorageError, OSError) as error:
                event("spam-not-learnt", messages=len(some), error=str(error))
                continue
            event("spam-learnt", new=done.new, changed=done.changed, known=done.known)
            await trio.to_thread.run_sync(self._pass_on, letters)

    def _learn(self, some: Sequence[Told]) -> tuple[list[tuple[bytes, Kind]], Learnt]:
        """Learn these; those that are still there, and what came of it. StorageError, OSError."""
        lessons: list[Lesson] = []
        letters: list[tuple[bytes, Kind]] = []
        for one in some:
            try:
                octets = self._mailboxes.part(one.account, one.mailbox, one.uid, 0, READ)
            except LookupError:  # expunged meanwhile
                continue
            owners = (SERVER, one.account) if self.whom == "server" else (one.account,)
            lessons += lesson(Letter((octets,)), one.kind, owners)
            letters.append((octets, one.kind))
        return letters, teach(self._words(), lessons)

    def _pass_on(self, letters: Sequence[tuple[bytes, Kind]]) -> None:
        """Tell rspamd, when all else is done: it may be away, or may not like one of them."""
        if (controller := self.controller) is None:
            return
        left, why = len(letters), ""
        try:
            for octets, kind in letters:
                try:
                    controller.learn(octets, kind)
                    left -= 1
                except NotTaken as error:
                    why = str(error)
        except OSError as error:  # the others would wait for it as long
            why = str(error)
        if left:
            event("spam-not-learnt", messages=left, error=why)
