"""What a scanner is, and how several are asked about a message at the same time."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import trio
from msgspec import Struct

from engine.message import Message
from engine.scanning.finding import FINAL, Finding
from engine.scanning.guard import Guard, Unreachable
from engine.units import Duration


class Unjudged(Exception):
    """It has answered, but cannot say anything of this message. With others it may have no trouble."""


class Scanner(AbstractAsyncContextManager[Any], Protocol):
    """Judges messages. Opened and closed with its stage; asked about many messages at once."""

    name: str

    async def scan(self, message: Message) -> Finding:
        """What it finds. Unreachable, which its guard counts, or Unjudged, when it cannot say."""
        ...


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that every scanner has."""

    time_limit: Duration = Duration("10s")  # of one message; as long again it may wait for its turn
    at_once: int = 50  # messages at the same time, of each worker
    on_error: Literal["defer", "skip", "reject", "quarantine"] = "defer"  # what becomes of mail without its answer

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError("at_once must be at least 1")
        if self.time_limit <= 0:
            raise ValueError("time_limit must be more than nothing")


class Guarded:
    """A scanner behind its guard. ``ask`` always has an answer: where there is none, that of ``on_error``."""

    def __init__(self, scanner: Scanner, terms: Terms) -> None:
        self.scanner = scanner
        self.name = scanner.name
        self._on_error = terms.on_error
        self._guard = Guard(scanner.name, time_limit=terms.time_limit, at_once=terms.at_once)

    async def ask(self, message: Message) -> Finding:
        try:
            return await self._guard.call(lambda: self.scanner.scan(message))
        except Unreachable as error:
            return unscanned(self.name, self._on_error, str(error))
        except Unjudged as error:  # three such messages, and nobody would be asked about others
            return unscanned(self.name, self._on_error, f"{self.name}: {error}")


def unscanned(name: str, on_error: str, why: str) -> Finding:
    """What becomes of a message of which the scanner could say nothing."""
    facts = {"error": why}
    match on_error:
        case "skip":
            return Finding(reason=why, facts=facts)
        case "reject":
            return Finding(
                action="reject", text="This message cannot be scanned", code="5.3.0", reason=why, facts=facts
            )
        case "quarantine":
            return Finding(action="quarantine", reason=f"not scanned by {name}", facts=facts)
    text = "This message cannot be scanned now, please try again later"
    return Finding(action="defer", text=text, code="4.3.0", reason=why, facts=facts)


async def scanned(scanners: Sequence[Guarded], message: Message) -> dict[str, Finding]:
    """What all say, by name, in their order; asked side by side. Who is still busy when another has said what
    is final is left out.
    """
    if len(scanners) == 1:
        return {scanners[0].name: await scanners[0].ask(message)}
    found: dict[str, Finding] = {}
    errors: list[Exception] = []

    async def ask(one: Guarded) -> None:
        try:
            found[one.name] = await one.ask(message)
        except Exception as error:  # out of the nursery it would come as a group, in which nobody looks for it
            errors.append(error)
        if errors or found[one.name].action in FINAL:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for one in scanners[1:]:
            nursery.start_soon(ask, one)
        await ask(scanners[0])
    if errors:
        raise errors[0]
    return {one.name: found[one.name] for one in scanners if one.name in found}
