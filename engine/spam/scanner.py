"""The spam filter as a scanner: what becomes of a message by its score, and the fields that say so."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Literal, Self

import trio

from engine.directory import Directory, Unavailable, asked
from engine.message import Message
from engine.scanning import ALL, Edits, Finding, Terms, Unreachable
from engine.spam.judge import SYMBOLS, Judgement, judged
from engine.spam.letter import Letter
from engine.spam.rules import Case
from engine.spam.store import SERVER, Words
from engine.storage.environment import StorageError
from engine.units import Duration

FIELDS: Final = ("X-Spam-Flag", "X-Spam-Score", "X-Spam-Status")
"""Ours alone: a message that comes with them was told so by its sender."""


class SpamTerms(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the filter. A threshold of 0 is never reached."""

    time_limit: Duration = Duration("10s")
    at_once: int = 4  # it computes: more at the same time only wait for one another
    on_error: Literal["defer", "skip", "reject", "quarantine"] = "skip"  # a store that is broken stays so for long
    mark: float = 5.0  # from this score on a message says that it is spam, and goes into Junk
    reject: float = 15.0  # from this score on it is refused
    per_account: bool = True  # whether what was learnt for an account counts for mail to that account alone
    weights: Mapping[str, float] = {}  # by symbol; 0: the rule is left out

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(self.weights.keys() - SYMBOLS)
        if unknown:
            raise ValueError(f"weights: there is no symbol {', '.join(unknown)}")


class SpamFilter:
    """Judges messages by rules and by what was learnt. It computes in threads, some milliseconds for each message."""

    name = "spam"

    def __init__(self, words: Callable[[], Words], directory: Directory | None, terms: SpamTerms) -> None:
        self._words = words
        self._directory = directory
        self._terms = terms
        self._threads = trio.CapacityLimiter(terms.at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def scan(self, message: Message) -> Finding:
        """Unreachable when what was learnt cannot be read."""
        account = await self._account(message) if self._terms.per_account else SERVER
        try:
            found = await trio.to_thread.run_sync(self._judged, message, account, limiter=self._threads)
        except StorageError as error:
            raise Unreachable(str(error)) from error
        return finding(message, found, self._terms)

    async def _account(self, message: Message) -> int:
        """Of one recipient; for several, all get what is right for everybody."""
        if self._directory is None or len(message.recipients) != 1:
            return SERVER
        try:
            account = await asked(self._directory, self._directory.account, message.recipients[0])
        except Unavailable:
            return SERVER
        return account.id if account is not None else SERVER

    def _judged(self, message: Message, account: int) -> Judgement:
        # As it was received: what we have put on top since is no sign of anything.
        letter = Letter(message.content.chunks())
        case = Case(letter, message.session, message.envelope.facts, message.envelope.arrived)
        return judged(case, self._words(), account, self._terms.weights)


def finding(message: Message, found: Judgement, terms: SpamTerms) -> Finding:
    """What is to be done with a message of that score."""
    is_spam = 0 < terms.mark <= found.score
    facts = {"probability": round(found.opinion.probability, 4), "junk": is_spam}
    forged = {name: ALL for name in FIELDS if message.header(name) is not None}
    if 0 < terms.reject <= found.score:
        return Finding(
            action="reject", text="This message looks like spam", code="5.7.1", reason="spam", score=found.score,
            symbols=found.symbols, facts=facts,
        )  # fmt: skip
    edits = Edits(remove=forged, add=_told(found, terms, is_spam=is_spam))
    percent = min(max(100 * found.score / terms.reject, 0.0), 100.0) if terms.reject else None
    return Finding(score=found.score, percent=percent, symbols=found.symbols, facts=facts, edits=edits)


def _told(found: Judgement, terms: SpamTerms, *, is_spam: bool) -> tuple[tuple[str, str], ...]:
    """The fields that mail programs and other filters know; X-Spam-Flag only where it is spam."""
    tests = ",".join(f"{symbol}={points:g}" for symbol, points in found.symbols.items()) or "none"
    verdict = "Yes" if is_spam else "No"
    status = f"{verdict}, score={found.score:.1f} required={terms.mark:.1f} tests={tests}"
    fields = (("X-Spam-Score", f"{found.score:.1f}"), ("X-Spam-Status", status))
    return (("X-Spam-Flag", "YES"), *fields) if is_spam else fields
