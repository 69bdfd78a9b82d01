"""The mailbox that a session has selected: what its client knows of it, and what it is to be told."""

from bisect import bisect_right
from collections.abc import Iterator

from engine.imap.flags import FlagTexts
from engine.imap.place import Place
from engine.mailbox import Changes, MailboxRow, View
from engine.mailbox.records import Records
from engine.protocols.imap import codes, responses
from engine.protocols.imap.view import May, News
from engine.protocols.imap.view import View as Numbers

SOME = 5_000
"""Messages whose flags one piece of an answer tells."""


class Selected:
    """A mailbox as one session sees it; ``numbers`` are the messages as its client counts them."""

    def __init__(self, place: Place, view: View, *, read_only: bool) -> None:
        self.place = place
        self.read_only = read_only
        self.numbers = Numbers(view.uids)
        self.modseq = view.status.modseq  # all up to this has been taken in
        self.uidvalidity = view.status.uidvalidity
        self.flags = FlagTexts(view.keywords)
        self.gone = False  # the mailbox was deleted
        self._flags_told = True

    @property
    def account(self) -> int:
        return self.place.account

    @property
    def mailbox(self) -> int:
        return self.place.mailbox

    @property
    def has_news(self) -> bool:
        """Whether there is something that the client is to be told."""
        return self.numbers.has_news or not self._flags_told

    def is_at(self, status: MailboxRow | None) -> bool:
        """Whether all that has happened in the mailbox, which is so now, has been taken in."""
        return status is not None and status.modseq == self.modseq and status.uidvalidity == self.uidvalidity

    def take(self, changes: Changes) -> None:
        """What has happened in the mailbox since ``modseq``."""
        self._learn(changes.keywords)
        self.modseq = changes.status.modseq
        uids = self.numbers.uids
        known = bisect_right(changes.messages.uids, uids[-1]) if uids else 0
        self._changed(changes.messages.at(range(known)))
        self.numbers.appeared(changes.messages.uids[known:])
        self.numbers.vanished(uid for first, last in changes.vanished for uid in range(first, last + 1))

    def take_all(self, view: View | None) -> None:
        """The same where nobody knows what has happened: by comparison. None: the mailbox is no more."""
        if view is None or view.status.uidvalidity != self.uidvalidity:
            self.gone = True
            self.numbers.vanished(list(self.numbers.uids))
            return
        self._learn(view.keywords)
        there = set(view.uids)
        self.numbers.vanished([uid for uid in self.numbers.uids if uid not in there])
        self._changed(view.at([place for place, modseq in enumerate(view.modseqs) if modseq > self.modseq]))
        self.numbers.appeared(view.uids)
        self.modseq = view.status.modseq

    def _changed(self, messages: Records) -> None:
        flags = self.flags.all_of(messages.flags, messages.bits)
        self.numbers.changed(messages.uids, flags, messages.modseqs)

    def told(self, may: May, *, features: frozenset[str], rev2: bool, flags: bool = True) -> Iterator[bytes]:
        """The news as responses; without ``flags``, but for those of flags."""
        if may is not May.NOTHING and flags:
            yield from self.told_keywords()
        news = self.numbers.tell(may, flags=flags)
        if not news:
            return
        if news.expunged:
            by_uid = "QRESYNC" in features or "UIDONLY" in features
            yield responses.vanished(news.vanished) if by_uid else responses.expunged(news.expunged)
        if news.exists is not None:
            yield responses.exists(news.exists)
            if not rev2:
                yield responses.recent(0)
        yield from _changed(news, features)

    def told_keywords(self) -> Iterator[bytes]:
        """The flags of the mailbox, if keywords have come that the client does not know of."""
        if not self._flags_told:
            self._flags_told = True
            yield responses.flags(self.flags.all)
            yield codes.untagged_ok("There are new keywords", self.permanent_flags)

    @property
    def permanent_flags(self) -> bytes:
        return codes.permanent_flags([] if self.read_only else [*self.flags.all, rb"\*"])

    def _learn(self, keywords: tuple[str, ...]) -> None:
        if keywords != self.flags.keywords:
            self.flags = FlagTexts(keywords)
            self._flags_told = False


def _changed(news: News, features: frozenset[str]) -> Iterator[bytes]:
    """With CONDSTORE each says its MODSEQ, with QRESYNC its UID too (RFC 7162 3.1.4.2, 3.2.4)."""
    modseq, only = "CONDSTORE" in features, "UIDONLY" in features
    uid = "QRESYNC" in features or only
    for start in range(0, len(news.changed), SOME):
        rows = (
            (*((one.uid,) if only else (one.number, one.uid) if uid else (one.number,)), one.flags)
            + ((one.modseq,) if modseq else ())
            for one in news.changed[start : start + SOME]
        )
        yield responses.fetch_flags(rows, uid=uid, modseq=modseq, uid_only=only)
