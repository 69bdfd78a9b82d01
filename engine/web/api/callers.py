"""Who asks: the token of a request, what it allows, and who is kept out for guessing at tokens."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import trio

from engine.directory.addresses import a_label
from engine.login import Logins, Token, Tokens
from engine.observe.events import event
from engine.operations.reach import Reach
from engine.shaping.allowances import Allowances
from engine.storage.environment import StorageError
from engine.units import Rate
from engine.web.api.problems import Problem

_CHALLENGE = 'Bearer realm="postroad"'  # RFC 6750 3
_LONGEST = 256
"""Characters of an Authorization field that are looked at: ours have 63."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks, and what may be asked."""

    id: str
    name: str
    scopes: frozenset[str]
    domains: frozenset[str] | None = None  # A-labels that it is limited to; None: it is not
    auditor: str = ""  # by whose grants it may look at people's mail
    peer: str = ""  # the IP address that it asks from

    @property
    def by(self) -> str:
        """Who that is, for the log: no operator can be called so."""
        return f"token:{self.name}"

    def reach_on(self, is_local: Callable[[str], bool]) -> Reach:
        """Whose mail it may know of, where these domains are local."""
        return Reach(self.domains, is_local)

    def needs(self, scope: str, *, by_domain: bool) -> None:
        """Problem when the token does not allow that; nor what has no domains, if it is limited to some."""
        if scope and scope not in self.scopes:
            text = f"it needs the scope {scope}"
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            raise Problem(403, text, headers={"www-authenticate": challenge})
        if self.domains is not None and not by_domain:
            raise Problem(403, "a token that is limited to domains cannot ask for what is about the whole server")

    def may_know(self, domain: str) -> bool:
        """Whether that domain is one that it may see and change things of."""
        return self.domains is None or a_label(domain) in self.domains


@dataclass(slots=True)
class Callers:
    """Finds out who asks. One object a process."""

    logins: Logins
    tokens: Tokens
    allowances: Allowances  # the rates of tokens, of all processes together
    clock: Callable[[], float] = time.time

    async def of(self, headers: Mapping[str, str], peer: str) -> Caller:
        """Whoever sends these. Problem; StorageError, Unavailable."""
        kind, _, shown = headers.get("authorization", "")[:_LONGEST].partition(" ")
        shown = shown.strip()
        if kind.lower() != "bearer" or not shown:
            raise Problem(401, "show a token: Authorization: Bearer …", headers={"www-authenticate": _CHALLENGE})
        if self.logins.keeps_out(peer):
            raise Problem(403, "your network is kept out for guessing; `postroad ban list` shows until when")
        token = self.tokens.of(shown)
        if token is None:
            await trio.to_thread.run_sync(self.logins.guessed, peer, shown)
        if token is None or token.is_over(self.clock()) or not token.is_for(peer):
            self._refuse(token, peer)
        await self._note(token)
        domains = frozenset(map(a_label, token.domains)) or None
        return Caller(token.id, token.name, frozenset(token.scopes), domains, token.auditor, peer)

    def _refuse(self, token: Token | None, peer: str) -> NoReturn:
        why = "wrong" if token is None else "over" if token.is_over(self.clock()) else "from elsewhere"
        event("token-refused", peer=peer, why=why, token=token.name if token else None)
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        # The same text for all: who has found a token is not told how it could be used.
        raise Problem(401, "this token is not good, or not here", headers={"www-authenticate": challenge})

    async def _note(self, token: Token) -> None:
        """Count the request, and write the use down. Problem when there are too many."""
        wait = 0.0
        with contextlib.suppress(StorageError):  # a full disk is no reason to refuse the right token
            wait = await self.allowances.take([(f"token/{token.id}", Rate(token.rate), 1)])
        if wait:
            raise Problem(429, f"more than {token.rate}", headers={"retry-after": str(math.ceil(wait))})
        if not self.tokens.has_noted(token):
            with contextlib.suppress(StorageError):
                await trio.to_thread.run_sync(self.tokens.use, token)
