"""Milter: ask a mail filter that speaks Sendmail's milter protocol, and do what it says. A pure stage."""

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from engine import Defer, Discard, Duration, Each, Message, Recipient, Reject, Verdict, domain_of
from engine.message import PARK, RELEASED
from engine.net.names import Hostname
from engine.net.targets import address_of
from engine.protocols.milter import (
    AddRecipient,
    ChangeSender,
    Client,
    Decision,
    DeleteRecipient,
    Macros,
    Path,
    Refusal,
    Transaction,
)
from engine.scanning import Guard
from engine.scanning.milter_changes import Seen
from engine.scanning.milter_connections import MilterConnections, where
from engine.scanning.recipients import Wanted, address
from engine.verdict import Changed

_BITS = re.compile(r"(?:AES_?(128|256)|CHACHA)")


@dataclass
class Milter:
    """Tells one milter of each message, when it is whole. What does not answer is left to ``on_error``."""

    asks_others: ClassVar = True

    hostname: Hostname
    _: KW_ONLY
    # "unix:/run/opendkim/opendkim.sock", "127.0.0.1:8891", or as Postfix and Sendmail write it.
    connect: str
    # For one message; as long again it may wait for its turn. The engine's own `timeout` must not be shorter than both.
    time_limit: Duration = Duration("25s")
    # Messages at the same time, of each worker: a milter has a thread for each.
    at_once: int = 50
    # How long a connection is kept for the next message.
    idle: Duration = Duration("30s")
    # Then a new one. 1: one for each message.
    messages_per_connection: int = 1000
    # The macro {daemon_name}, by which milters tell listeners from each other. Empty: the hostname, as with Postfix.
    daemon_name: str = ""
    _connections: MilterConnections = field(init=False, repr=False)
    _guard: Guard = field(init=False, repr=False)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        try:
            where(settings.get("connect", ""))
        except ValueError:
            yield 'connect: write it like "unix:/run/opendkim/opendkim.sock" or "127.0.0.1:8891"'
        for name in ("at_once", "messages_per_connection"):
            if settings.get(name, 1) < 1:
                yield f"{name} must be at least 1"

    def __post_init__(self) -> None:
        self._connections = MilterConnections(
            where(self.connect),
            idle=self.idle,
            keep=self.at_once,
            messages_per_connection=self.messages_per_connection,
        )
        self._guard = Guard(f"the milter {self.connect}", time_limit=self.time_limit, at_once=self.at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.close()

    async def __call__(self, message: Message) -> Verdict | Changed:
        seen = Seen(message)
        transaction = self._transaction(message, seen)
        decision = await self._guard.call(lambda: self._connections.ask(transaction, seen.body))
        if len(decision.refused) == len(message.recipients):
            return Each({to: self._refusal(decision.refused[place]) for place, to in enumerate(message.recipients)})
        if decision.refusal is not None:
            return self._refusal(decision.refusal)
        if decision.outcome == "discard":
            return self._discarded(message, decision)
        return self._applied(message, seen, decision)

    # -- what the milter is told

    def _transaction(self, message: Message, seen: Seen) -> Transaction:
        envelope = message.envelope
        parameters = [f"BODY={envelope.body}"] * (envelope.body != "7BIT") + ["SMTPUTF8"] * envelope.smtputf8
        macros = {
            "i": str(message.id),
            "{mail_addr}": message.sender,
            "{mail_host}": domain_of(message.sender) if message.sender else "",
            "{mail_mailer}": "smtp",
            "{msg_id}": next((_text(value) for name, value in seen.fields if name.lower() == b"message-id"), ""),
        }
        return Transaction(
            self._client(message),
            Path(message.sender, tuple(parameters)),
            [_recipient(one) for one in envelope.recipients],
            seen.fields,
            macros,
        )

    def _client(self, message: Message) -> Client:
        session = message.session
        if not session.peer:  # it began here: as other servers do, it is said to have come from this machine
            return Client("localhost", "127.0.0.1", self.hostname, self._macros("localhost", "127.0.0.1"))
        address = str(address_of(session.peer))
        name = str(message.fact("iprev.name") or "unknown")
        tls, _, cipher = session.tls.partition(" ")
        macros = {
            **self._macros(name, address),
            "{tls_version}": tls,
            "{cipher}": cipher,
            "{cipher_bits}": _bits(cipher),
            "{auth_authen}": session.login,
            "{auth_type}": "SASL" if session.login else "",  # by which mechanism is not known here
        }
        return Client(name, address, session.helo, macros)

    def _macros(self, name: str, address: str) -> Macros:
        return {
            "j": self.hostname,
            "{daemon_name}": self.daemon_name or self.hostname,
            "v": "Postroad",
            "_": f"{name} [{address}]",
            "{client_name}": name,
            "{client_ptr}": name,
            "{client_addr}": address,
        }

    # -- what becomes of the message

    def _refusal(self, said: Refusal) -> Reject | Defer:
        log = f"the milter {self.connect}"
        if said.permanent:
            return Reject(said.text or "Command rejected", said.code or "5.7.1", log)
        return Defer(said.text or "Service unavailable, please try again later", said.code or "4.7.1", log)

    def _discarded(self, message: Message, decision: Decision) -> Verdict:
        """It vanishes, but not for recipients who were refused before: of them its sender hears."""
        gone = Discard(f"the milter {self.connect}")
        refused = self._refused(message, decision)
        return Each({to: refused.get(to, gone) for to in message.recipients}) if refused else gone

    def _applied(self, message: Message, seen: Seen, decision: Decision) -> Verdict | Changed:
        changed = seen.changed(decision.changes, leading_space=decision.leading_space)
        for change in decision.changes:
            if isinstance(change, ChangeSender):
                changed = changed.with_sender(address(message, change.path, sender=True))
        if decision.quarantine is not None and not self._was_released(message):
            changed = changed.with_fact(PARK, f"the milter {self.connect}: {decision.quarantine}")
        verdicts = self._recipients(message, decision)
        return Changed(changed, Each(verdicts)) if verdicts else changed

    def _was_released(self, message: Message) -> bool:
        """Whatever the reasons that this milter gave, and it may give other ones each time."""
        released = message.fact(RELEASED)
        by_us = f"the milter {self.connect}: "
        return isinstance(released, list) and any(str(reason).startswith(by_us) for reason in released)

    def _refused(self, message: Message, decision: Decision) -> dict[str, Reject | Defer]:
        """Each recipient who was refused at RCPT."""
        return {message.recipients[place]: self._refusal(said) for place, said in decision.refused.items()}

    def _recipients(self, message: Message, decision: Decision) -> dict[str, Any]:
        """The verdicts on those that do not simply go on."""
        wanted = Wanted(message, f"the milter {self.connect}")
        for change in decision.changes:
            if isinstance(change, AddRecipient):
                wanted.add(change.path)
            elif isinstance(change, DeleteRecipient):
                wanted.remove(change.path)
        return wanted.verdicts(self._refused(message, decision))


def _recipient(recipient: Recipient) -> Path:
    parameters = [f"NOTIFY={recipient.notify}"] * bool(recipient.notify)
    macros = {
        "{rcpt_addr}": recipient.address,
        "{rcpt_host}": domain_of(recipient.address),
        "{rcpt_mailer}": recipient.lane or "smtp",
    }
    return Path(recipient.address, tuple(parameters), macros)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()


def _bits(cipher: str) -> str:
    found = _BITS.search(cipher)
    return (found[1] or "256") if found else ""
