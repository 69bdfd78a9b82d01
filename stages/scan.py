"""Scan: what rspamd, ClamAV and our own filter think of a message, asked side by side. A pure stage."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import KW_ONLY, dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from engine import Defer, Discard, Message, Reject, Verdict
from engine.message import PARK, RELEASED
from engine.net.names import Hostname
from engine.observe.events import event
from engine.scanning import Guarded, decisive, facts, scanned
from engine.scanning.clamav import Clamav, ClamavSettings
from engine.scanning.counting import count
from engine.scanning.rspamd import Rspamd, RspamdSettings
from engine.spam import Spam, SpamTerms

REFUSED = "This message is not wanted here"
LATER = "Please send this message again later"


@dataclass(slots=True)
class Scan:
    """Refuse, put off, park or mark a message as its scanners want, and leave what they found as facts."""

    leaves: ClassVar = ("scan.", "spam.percent", "virus.level")

    hostname: Hostname
    filters: Spam = field(default_factory=Spam)
    _: KW_ONLY
    rspamd: RspamdSettings | None = None
    clamav: ClamavSettings | None = None
    spam: SpamTerms | None = None
    _scanners: list[Guarded] = field(init=False, repr=False)
    _open: AsyncExitStack = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """OSError or ValueError for settings that cannot work."""
        self._scanners = list(
            self._configured(self.hostname, self.filters, rspamd=self.rspamd, clamav=self.clamav, spam=self.spam)
        )

    @property
    def asks_others(self) -> bool:
        """Not our own filter."""
        return bool(self.rspamd or self.clamav)

    @staticmethod
    def _configured(
        hostname: str,
        filters: Spam,
        *,
        rspamd: RspamdSettings | None = None,
        clamav: ClamavSettings | None = None,
        spam: SpamTerms | None = None,
    ) -> Iterator[Guarded]:
        """One row for each scanner that there is."""
        if rspamd is not None:
            yield Guarded(Rspamd(rspamd, hostname), rspamd)
        if clamav is not None:
            yield Guarded(Clamav(clamav), clamav)
        if spam is not None:
            yield Guarded(filters.scanner(spam), spam)

    @classmethod
    def check(cls, **settings: object) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        try:
            if not list(cls._configured("", Spam(), **settings)):  # type: ignore[arg-type]
                known = ('rspamd = { url = "http://127.0.0.1:11333" }', 'clamav = { socket = "/path" }', "spam = {}")
                yield f"name a scanner: {', '.join(known[:-1])} or {known[-1]}"
        except (OSError, ValueError) as error:
            yield str(error)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for one in self._scanners:
                await stack.enter_async_context(one.scanner)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, traceback)

    async def __call__(self, message: Message) -> Verdict:
        found = await scanned(self._scanners, message)
        told = {name: str(one) for name, one in found.items()}
        known = facts(found)
        event("scanned", id=message.id, action=known["scan.action"], score=known.get("scan.score"), found=told)
        count(found)
        decides = decisive(found)
        match decides.action:
            case "reject":
                return Reject(decides.text or REFUSED, code=decides.code or "5.7.1", log=_log(told))
            case "defer":
                return Defer(decides.text or LATER, code=decides.code or "4.7.1", log=_log(told))
            case "discard":
                return Discard(_log(told))
        for one in found.values():
            message = one.edits.applied(message)
        if decides.action == "quarantine" and decides.reason not in _released(message):
            known[PARK] = decides.reason
        return message.with_facts(known)


def _log(told: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {one}" for name, one in told.items())


def _released(message: Message) -> list[object]:
    """The reasons for which an operator has let it go on."""
    released = message.fact(RELEASED)
    return list(released) if isinstance(released, list) else []
