"""The IMAP connections of a process."""

import trio

from engine.imap.connection import Visit
from engine.imap.service import ImapService
from engine.net.connection import Connection
from engine.net.serving import to_its_end


class Visits:
    """Serves connections, and knows those that there are."""

    def __init__(self, service: ImapService) -> None:
        self.service = service
        self._visits: set[Visit] = set()

    async def serve(self, connection: Connection, *, implicit_tls: bool = False) -> None:
        """Serve one connection to its end and close it. Never raises, but for cancellation."""
        visit = Visit(self.service, connection)
        self._visits.add(visit)
        try:
            with to_its_end(connection, "imap"):
                await visit.run(implicit_tls=implicit_tls)
        finally:
            visit.close()
            self._visits.discard(visit)

    async def drain(self, grace: float = 2.0) -> None:
        """Have all clients told that the server ends, and wait for those that take it in time."""
        for visit in self._visits:
            visit.leave()
        with trio.move_on_after(grace):
            while self._visits:
                await trio.sleep(0.02)
