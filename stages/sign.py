"""Sign: DKIM (RFC 6376) for the author's domain, ARC (RFC 8617) for what an alias of ours sends on. A pure stage.

Every key of the domain that is in force signs.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self

import trio

from engine import Message, Session, Verdict
from engine.authentication import results
from engine.authentication.author import author_domains
from engine.authentication.dkim import sign
from engine.authentication.fields import Fields, split_message
from engine.authentication.outcome import Result
from engine.authentication.sealer import seal
from engine.authentication.signer import Signer
from engine.directory import split
from engine.message import EDITED
from engine.net.dns import Resolver, a_labels
from engine.observe.events import event
from engine.signing import Keyring
from engine.signing.publishing import take_up

LOOK = 5.0
"""Seconds between two looks at the files of the keys."""

LARGE = 256 * 1024
"""Octets of a message from which on it is signed in a thread: to go there costs as much as to hash 100 KB."""

ASK = 60.0
"""Seconds between two questions whether keys that wait have been published."""

SIGNED = "sign.domain"
"""The fact that says by whom: a message is signed once, in whatever lanes this stage stands."""

SEALED = "sign.sealed"
"""The same of the seal on forwarded mail."""


@dataclass
class Sign:
    """Put a signature by each key of the author's domain on top of mail that begins here, and a seal on forwarded mail.

    What cannot be signed goes on unsigned: a signature helps the receiver, and its lack is no fault of the message.
    """

    leaves: ClassVar = ("sign.",)

    keyring: Keyring
    resolver: Resolver
    _: KW_ONLY
    # Whose mail a login vouches for: that of its account's domain and those below it, also that of the envelope
    # sender's, or anybody's.
    authors: Literal["login", "sender", "any"] = "login"
    _stack: AsyncExitStack = field(init=False, repr=False, default_factory=AsyncExitStack)
    _threads: trio.CapacityLimiter = field(init=False, repr=False)
    _said: dict[Path, str] = field(init=False, repr=False, default_factory=dict)

    async def __aenter__(self) -> Self:
        self._threads = trio.CapacityLimiter(os.cpu_count() or 1)
        await self._look()
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        nursery.start_soon(self._keep_looking)
        nursery.start_soon(self._keep_asking)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def promptly(self, message: Message) -> Verdict | None:
        """The message as it is, where nobody has a key; else None."""
        return None if self.keyring else message

    async def __call__(self, message: Message) -> Verdict:
        if not self.keyring:
            return message
        begins_here = _begins_here(message.session) and not message.fact(EDITED)
        if message.fact(SIGNED if begins_here else SEALED):
            return message
        try:
            return await (self._signed(message) if begins_here else self._sealed(message))
        except ValueError as error:
            event("unsigned", id=message.id, why=str(error))
            return message

    async def _signed(self, message: Message) -> Message:
        fields, body = split_message(message.chunks())
        signers = self._signers(message, fields)
        if not signers:
            return message
        own = await self._made(message, partial(sign, fields, body, signers, time.time()))
        return own.with_fact(SIGNED, signers[0].domain)

    async def _sealed(self, message: Message) -> Message:
        """With what `authenticate` found, so that the next server need not refuse what it can no longer prove."""
        status, found = message.fact("arc.result"), _own_results(message)
        signers = self.keyring.signers(_forwarder(message))
        if not signers or status is None or found is None:
            return message
        fields, body = split_message(message.chunks())
        make = partial(seal, fields, body, signers[0], found, chain=Result(str(status)), now=time.time())
        return (await self._made(message, make)).with_fact(SEALED, signers[0].domain)

    async def _made(self, message: Message, make: Callable[[], bytes]) -> Message:
        """The message with header fields on top that take as long to make as to hash all of it."""
        octets = await trio.to_thread.run_sync(make, limiter=self._threads) if message.size > LARGE else make()
        for own in reversed(Fields.parse(octets).all):
            message = message.with_field(own.octets)
        return message

    def _signers(self, message: Message, fields: Fields) -> Sequence[Signer]:
        """Who signs; nobody where we have no key of the author's domain. ValueError says why nobody may."""
        if fields.flaw:
            raise ValueError(fields.flaw)
        if len(fields.named("from")) != 1:  # RFC 5322 3.6
            raise ValueError(f"the message has {len(fields.named('from'))} From fields")
        domains = set(author_domains(fields))
        if len(domains) != 1:
            raise ValueError(f"From names {len(domains)} domains")
        (domain,) = domains
        signers = self.keyring.signers(domain)
        if signers and not self._vouched(message, domain):
            raise ValueError(f"the login {message.session.login} does not vouch for authors of {domain}")
        return signers

    def _vouched(self, message: Message, domain: str) -> bool:
        """Whether the client may speak for authors of a domain. Networks that are trusted may speak for all."""
        if not message.session.login or self.authors == "any":
            return True
        addresses = [message.session.login] + [message.sender] * (self.authors == "sender")
        own = [a_labels(address.rpartition("@")[2]) for address in addresses if address]
        return any(f".{domain}".endswith(f".{one}") for one in own)  # who has a domain has those below it

    # -- keys

    async def _keep_looking(self) -> None:
        while True:
            await trio.sleep(LOOK)
            await self._look()

    async def _look(self) -> None:
        await trio.to_thread.run_sync(self.keyring.look)
        for path, why in self.keyring.troubles.items():
            if self._said.get(path) != why:
                event("key-trouble", key=path, why=why)
        self._said = dict(self.keyring.troubles)

    async def _keep_asking(self) -> None:
        while True:
            for domain in self.keyring.waiting:
                await self._take_up(domain)
            await trio.sleep(ASK)

    async def _take_up(self, domain: str) -> None:
        try:
            taken = await take_up(self.keyring.store, self.resolver.ask, domain)
        except (OSError, ValueError) as error:
            event("key-trouble", key=self.keyring.store.folder / domain, why=str(error))
        else:
            if taken:
                event("keys-in-force", domain=domain, selectors=[key.selector for key in taken])
                await self._look()


def _begins_here(session: Session) -> bool:
    """Whether the message was submitted by those who may, or is a report of our own, which nobody brought."""
    return session.trusted or bool(session.login) or not session.peer


def _forwarder(message: Message) -> str:
    """The domain of ours that sends a message on, in A-labels: that of the address for which it came."""
    originals = [recipient.original_address for recipient in message.envelope.recipients]
    name = next(filter(None, map(split, originals)), None)
    return name[1] if name else ""


def _own_results(message: Message) -> str | None:
    """What we said of the message in Authentication-Results: an authserv-id and results."""
    own = Fields.parse(message.envelope.prepended).named(results.NAME.lower())
    return own[0].value.decode().strip() if own else None
