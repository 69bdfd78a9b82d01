"""Accept mail by SMTP or LMTP: who may come in, and one session for each."""

from dataclasses import dataclass
from typing import ClassVar

import trio

from engine.net.connection import Connection, ConnectionLost
from engine.net.crowd import Crowd
from engine.net.targets import network_of
from stages.accept.session import SHUTTING_DOWN, Session
from stages.accept.terms import Terms


@dataclass
class Accept(Terms):
    """ESMTP server (RFC 5321) with the extensions that `SmtpServer` has.

    Or an LMTP server (RFC 2033) with the same, for software that we trust to bring mail.
    """

    source: ClassVar[bool] = True
    leaves: ClassVar = ("door.early_talker",)
    listens: ClassVar[tuple[str, ...]] = ("smtp",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._crowd = Crowd(self.max_connections, self.max_connections_per_network)
        self._sessions: set[Session] = set()

    async def serve(self, connection: Connection, _listener: str) -> None:
        """One connection, from the greeting to its end."""
        peer = connection.peer
        if not peer:
            return
        network = network_of(peer, self.network_ipv4, self.network_ipv6)
        trusted = self.trusts(peer)
        crowded = SHUTTING_DOWN if self.draining else self._crowd.refusal(network, trusted=trusted)
        session = Session(self, connection, peer, trusted)
        self._sessions.add(session)
        try:
            with self._crowd.joined(network):
                await session.run(crowded)
        except ConnectionLost:
            pass  # the client hung up; what it had not finished was never ours
        finally:
            session.end()
            self._sessions.discard(session)

    async def drain(self) -> None:
        """Tell clients that are between messages to come again; those in the midst of one finish it first.

        Returns when all are gone. Cancelled, it sends the rest away.
        """
        self.draining = True
        for session in self._sessions:
            session.nudge()
        try:
            while self._sessions:
                await trio.sleep(0.02)
        finally:
            for session in self._sessions:
                session.cut()
