"""Who may come in, by whatever protocol: the question of a SASL exchange goes in, the account comes out."""

import trio

from engine.directory import Account, Directory
from engine.observe.events import event
from engine.protocols.sasl import Credentials, KeysWanted, Proof, Question
from engine.protocols.scram import Keys

MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
"""What is offered, the best first."""

_AT_ONCE = 2
"""Passwords checked at once: each takes 64 MiB and most of a core for a while (argon2id)."""


class Logins:
    """The logins of one process."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._checking = trio.CapacityLimiter(_AT_ONCE)

    def visitor(self, service: str, peer: str) -> "Visitor":
        """A connection from the IP address ``peer`` that may log in to ``service``: "smtp", "pop3"."""
        return Visitor(self, service, peer)

    async def account_of(self, question: Credentials | Proof) -> Account | None:
        """The account that a login is for, if what it gives is right."""
        if isinstance(question, Proof):
            return self._directory.account(question.login) if question.key else None
        return await trio.to_thread.run_sync(
            self._directory.verify, question.login, question.password, limiter=self._checking
        )

    def keys(self, login: str) -> Keys:
        return self._directory.keys(login)


class Visitor:
    """One connection, and what it tries."""

    def __init__(self, logins: Logins, service: str, peer: str) -> None:
        self._logins = logins
        self._service = service
        self._peer = peer

    async def answer(self, question: Question) -> Keys | Account | None:
        """What a SASL exchange asks: keys where it wants them, else the account; None: no.

        Unavailable when that cannot be told now.
        """
        if isinstance(question, KeysWanted):
            return self._logins.keys(question.login)
        account = await self._logins.account_of(question)
        event(
            "login", peer=self._peer, ok=account is not None, service=self._service, mechanism=question.mechanism,
            address=question.login,
        )  # fmt: skip
        return account
