"""Who waits for what happens in which account: the sessions of one process that IDLE."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import zmq

from engine.links.publish import heard
from engine.mailbox.layout import PUBLIC
from engine.mailbox.opened import News
from engine.wakeup import Wakeup


class Watch:
    """One session's ear. What it has not heard yet is remembered once for each mailbox, however often it changes."""

    __slots__ = ("_all", "_changed", "_some")

    def __init__(self) -> None:
        self._changed: dict[int, int] = {}
        self._all = False
        self._some = Wakeup()

    async def wait(self) -> dict[int, int] | None:
        """Mailboxes that have changed since the last call, each with its MODSEQ; None: any may have. Waits for some.

        Mailbox 0: what others share with the account, public mailboxes, or metadata of the server.
        """
        await self._some.wait()
        while not (self._changed or self._all):  # it came before the last call had taken all
            await self._some.wait()
        changed, self._changed = self._changed, {}
        lost, self._all = self._all, False
        return None if lost else changed

    def told(self, news: News | None) -> None:
        if news is None:
            self._all = True
        else:
            self._changed[news.mailbox] = news.modseq
        self._some.wake()


class NewsDesk:
    """Hands the news of all accounts to those who watch them."""

    def __init__(self) -> None:
        self._watches: dict[int, set[Watch]] = {}
        self._followers: dict[tuple[int, int], set[Watch]] = {}

    @contextmanager
    def watching(self, account: int) -> Iterator[Watch]:
        """Hear of all that is committed in the account from now on."""
        watch = Watch()
        watches = self._watches.setdefault(account, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                self._watches.pop(account, None)

    def follow(self, watch: Watch, account: int, mailbox: int) -> None:
        """Have a watch hear of one mailbox of another account too, as if any of its own may have changed."""
        self._followers.setdefault((account, mailbox), set()).add(watch)

    def unfollow(self, watch: Watch, account: int, mailbox: int) -> None:
        followers = self._followers.get((account, mailbox), set())
        followers.discard(watch)
        if not followers:
            self._followers.pop((account, mailbox), None)

    def tell(self, news: News) -> None:
        if (news.account, news.mailbox) == (PUBLIC, 0):  # for everybody
            heard_by = [watch for watches in self._watches.values() for watch in watches]
        else:
            heard_by = [*self._watches.get(news.account, ())]
        for watch in heard_by:
            watch.told(news)
        for watch in self._followers.get((news.account, news.mailbox), ()):
            watch.told(None)

    async def listen(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        """Take what the owner of the mailboxes publishes at ``endpoint``, until cancelled."""
        async with aclosing(heard(context, endpoint)) as told:
            async for values in told:
                if values:
                    self.tell(News(*values))
                else:  # a greeting: what was said before it has not come
                    self.lost()

    def lost(self) -> None:
        """Some news may not have come: the owner was not there. Whoever watches has to look."""
        for watches in self._watches.values():
            for watch in watches:
                watch.told(None)
