"""ClamAV: messages are streamed to clamd, and nothing is written on our side."""

import re
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from engine.message import Message
from engine.net.connection import Connection, ConnectionLost
from engine.protocols.clamd import END, SIZE_LIMIT, Answer, ClamdClient, ClamdError
from engine.scanning.connections import Connections, received, send
from engine.scanning.finding import Finding
from engine.scanning.guard import Unreachable
from engine.scanning.scanner import Terms, Unjudged
from engine.scanning.where import Where
from engine.units import Duration, Size

NAME_LIMIT = 80
"""Characters of the name of a virus in a reply."""

CLEAN, INFECTED = 1, 5
"""For scripts (RFC 5235 2.2)."""

_UNPRINTABLE = re.compile(r"[^!-~]")


class ClamavSettings(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`clamav = {…}` of a stage."""

    socket: str  # "/run/clamav/clamd.ctl", or "host:port"
    time_limit: Duration = Duration("20s")  # it unpacks archives
    at_once: int = 10  # Debian's clamd has 12 threads
    infected: Literal["reject", "quarantine", "discard"] = "reject"
    max_size: Size = Size("25 MB")  # StreamMaxLength in Debian's clamd.conf is a little more
    too_large: Literal["skip", "defer", "reject"] = "skip"

    def __post_init__(self) -> None:
        super().__post_init__()
        Where.parse(self.socket)


class Clamav:
    """One clamd."""

    name = "clamav"

    def __init__(self, settings: ClamavSettings) -> None:
        self._settings = settings
        self._max_size = min(settings.max_size, SIZE_LIMIT)
        self._connections = Connections(Where.parse(settings.socket), ClamdClient)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connections.close()

    async def scan(self, message: Message) -> Finding:
        """Unreachable, Unjudged."""
        if message.size > self._max_size:
            return self._too_large()

        async def ask(connection: Connection, client: ClamdClient) -> Answer:
            with suppress(ConnectionLost):  # why it does not take it, it may have said before it closed
                await send(connection, client.begin(message.size), message, END)
            while (answer := client.receive(await received(connection))) is None:
                pass
            return answer

        try:
            answer = await self._connections.run(ask)
        except ClamdError as error:
            raise Unreachable(str(error)) from error
        if answer.too_large:
            return self._too_large()
        if answer.error:
            raise Unjudged(answer.error)
        return self._infected(answer.virus) if answer.virus else Finding(virus_level=CLEAN)

    def _infected(self, virus: str) -> Finding:
        return Finding(
            action=self._settings.infected,
            text=f"This message is infected by {_UNPRINTABLE.sub('?', virus)[:NAME_LIMIT]}",
            code="5.7.1",
            reason=f"infected by {virus}",
            virus_level=INFECTED,
            facts={"virus": virus},
        )

    def _too_large(self) -> Finding:
        action = self._settings.too_large
        return Finding(
            action="none" if action == "skip" else action,
            text="This message is too large to be scanned for viruses",
            code="5.3.4" if action == "reject" else "4.3.4",  # RFC 3463 3.4: too big for the system
            reason="too large to be scanned",
            facts={"skipped": "too large"},
        )
