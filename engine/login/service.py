"""Who may come in, by whatever protocol: the question of a SASL exchange goes in, the account comes out."""

import contextlib
import hmac
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeAlias

import trio

from engine.directory import Account, Directory, Embedded, Login, Unavailable, asked, split
from engine.login.guard import NETWORK, Ban, Guard
from engine.login.oidc import Issuer
from engine.login.stays import Stay, Stays
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.protocols.sasl import EXTERNAL, Certificate, Credentials, KeysWanted, Proof, Question, Token
from engine.protocols.scram import Key, Keys

_LOGINS = Counter(
    "postroad_logins_total", "Tries to log in, by how they ended: `ok`, `wrong` or `banned`.", ("protocol", "result")
)

WITH_KEYS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
"""What is offered where the directory holds keys."""

WITH_ISSUER = ("OAUTHBEARER", "XOAUTH2")
"""What is offered where tokens of an issuer are taken."""

WITH_PASSWORDS = ("PLAIN", "LOGIN")
"""What is offered in any case."""

LONGEST = 8.0
"""Seconds that a wrong guess waits for its answer at most: a person bears it, and the client's time-out is far."""

_REPEATED = 10_000
"""Wrong passwords that are remembered, so that a program which tries one again and again counts as one guess."""


Decided: TypeAlias = tuple[Login | None, str, float]
"""The login; else why there is none, and the seconds that the answer waits."""

BANNED = "the network is banned"
SHIELDED = "the account is banned for networks that it is not known from"
SUSPENDED = "the account is suspended"
AWAITED = "the second factor is awaited"


class Logins:
    """The logins of one process."""

    def __init__(self, directory: Directory, guard: Guard, issuer: Issuer | None = None) -> None:
        self.directory = directory
        self.guard = guard
        self.issuer = issuer  # may be replaced at any time, as the guard's settings
        self.stays = Stays(directory)
        self._checking = trio.CapacityLimiter(directory.checks)
        self._turns: dict[str, trio.Lock] = {}
        self._secret = os.urandom(32)
        self._wrong: dict[bytes, None] = {}  # in the order in which they came

    def visitor(self, service: str, peer: str, *, asks_code: bool = False) -> "Visitor":
        """A connection from the IP address ``peer`` that may log in to ``service``: "smtp", "pop3".

        ``asks_code``: the password of an account with a second factor is not all that it is asked for, as mail programs
        cannot ask.
        """
        return Visitor(self, service, peer, asks_code=asks_code)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What is offered, the best first."""
        by_keys = WITH_KEYS if self.directory.holds_keys else ()
        by_tokens = WITH_ISSUER if self.issuer else ()
        possible = (EXTERNAL, *by_keys, *by_tokens, *WITH_PASSWORDS)
        return tuple([name for name in possible if name in self.guard.settings.mechanisms])

    def limiter(self, question: Question) -> trio.CapacityLimiter | None:
        """What bounds how many questions of this kind are answered at once; None: as many as there are threads."""
        return self._checking if isinstance(question, Credentials) else None

    @contextlib.asynccontextmanager
    async def turn(self, network: str) -> AsyncIterator[None]:
        """One at a time of each network: a guesser with many connections stands in line behind itself alone."""
        lock = self._turns.setdefault(network, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._turns.pop(network, None)

    def is_repeated(self, network: str, question: Question) -> bool:
        """Whether just this has been wrong before; from now on it has."""
        if not isinstance(question, Credentials):
            return False
        return self._is_known_wrong(f"{network}\0{question.login}\0{question.password}")

    def _is_known_wrong(self, text: str) -> bool:
        digest = hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256")
        known = digest in self._wrong
        self._wrong[digest] = None
        if len(self._wrong) > _REPEATED:
            self._wrong.pop(next(iter(self._wrong)), None)
        return known

    def keeps_out(self, peer: str) -> bool:
        """Whether nobody may log in from there, whatever they show. Unavailable."""
        return self.guard.standing(peer, "", None).network

    def guessed(self, peer: str, shown: str) -> None:
        """A token came from there that is none: count it, once for each text. Blocks."""
        try:
            network = self.guard.network(peer)
            if not self.guard.standing(peer, "", None).counts or self._is_known_wrong(f"{network}\0\0{shown}"):
                return
            bans = self.guard.guessed(peer)
        except Unavailable as error:
            event("guess-not-counted", peer=peer, error=str(error))
            return
        for ban in bans:
            _tell(ban)


class Visitor:
    """One connection, and what it tries."""

    def __init__(self, logins: Logins, service: str, peer: str, *, asks_code: bool = False) -> None:
        self._logins = logins
        self._service = service
        self._peer = peer
        self._asks_code = asks_code
        self._in: tuple[Login, bool] | None = None  # who has come in, and whether by the account's own password
        self._stay: Stay | None = None

    def stay(self, sent_away: Callable[[str], None]) -> None:
        """It is in, by the last answer: have it told, with the reason, when that does not hold any more."""
        self.leave()
        assert self._in is not None  # or nobody is in
        self._stay = Stay(self._service, self._peer, *self._in, sent_away)
        self._logins.stays.begin(self._stay)

    def leave(self) -> None:
        """It is out again, if it was in."""
        if self._stay is not None:
            self._logins.stays.end(self._stay)
        self._stay = None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What it may be offered, the best first."""
        return self._logins.mechanisms

    async def answer(self, question: Question) -> Keys | Account | None:
        """What a SASL exchange asks: keys where it wants them, else the account; None: no, and some seconds later.

        Unavailable when that cannot be told now.
        """
        if isinstance(question, KeysWanted):
            return await asked(self._logins.directory, self._keys, question.login)
        if isinstance(question, Token):
            login, why, delay = await self._by_token(question)
        elif isinstance(question, Certificate):
            login, why, delay = await self._by_certificate(question)
        else:
            login, why, delay = await self._by_password(question)
        app_password = login.app_password.name if login and login.app_password else None
        if login is not None and self._awaits_code(login.account):
            why = AWAITED
        self._in = (login, isinstance(question, Credentials | Proof)) if login else None
        address = question.login or (login.account.address if login else "")
        await self._told(question.mechanism, address, why, delay, app_password=app_password)
        return login.account if login else None

    async def _told(
        self, mechanism: str, address: str, why: str, delay: float = 0.0, *, app_password: str | None = None
    ) -> None:
        """Say how it ended, and wait if that is what it deserves. ``why``: it was refused."""
        event(
            "login", peer=self._peer, ok=not why, service=self._service, mechanism=mechanism, address=address,
            app_password=app_password, why=why or None,
        )  # fmt: skip
        if why != AWAITED:
            result = "ok" if not why else "banned" if why in (BANNED, SHIELDED) else "wrong"
            _LOGINS.of(self._service, result).value += 1
        if delay:
            await trio.sleep(delay)

    # The second factor, and what needs none

    async def code(self, account: Account, given: str) -> bool:
        """Whether this is the code of now (RFC 6238) of an account whose password was right. Unavailable.

        What is wrong counts as a guess.
        """
        question = Credentials("TOTP", account.address, given)
        async with self._logins.turn(self._logins.guard.network(self._peer)):
            why, delay = await trio.to_thread.run_sync(self._coded, question, account)
        await self._told(question.mechanism, account.address, why, delay)
        return not why

    def _coded(self, question: Credentials, account: Account) -> tuple[str, float]:
        """Why it is not the code, empty if it is, and the seconds to wait. In a thread: it waits for the disk."""
        guard, directory = self._logins.guard, self._logins.directory
        standing = guard.standing(self._peer, account.address, account.id)
        if standing.network or standing.account:
            return BANNED if standing.network else SHIELDED, LONGEST
        if isinstance(directory, Embedded) and directory.verify_totp(account.address, question.password):
            with contextlib.suppress(Unavailable):
                guard.succeeded(self._peer, account.id)
            return "", 0.0
        return "wrong", self._count(question, account.id) if standing.counts else 0.0

    async def proven(self, account: Account, mechanism: str, *, is_enough: bool = True) -> bool:
        """Whether somebody may come in who has proved by other means to be the account. Nobody can guess at these.

        Unless that ``is_enough``, a code is asked for besides, and nobody is in yet.
        """
        guard = self._logins.guard
        banned = guard.standing(self._peer, account.address, account.id).network
        why = BANNED if banned else SUSPENDED if account.suspended else "" if is_enough else AWAITED
        await self._told(mechanism, account.address, why, LONGEST if banned else 0.0)
        if not why:
            with contextlib.suppress(Unavailable):
                await trio.to_thread.run_sync(guard.succeeded, self._peer, account.id)
        return why in ("", AWAITED)

    def _awaits_code(self, account: Account) -> bool:
        return self._asks_code and account.has_totp

    async def _by_token(self, question: Token) -> Decided:
        """As ``_decided``. Nobody can guess at tokens, and each runs out some day, so wrong ones are not counted."""
        logins = self._logins
        if logins.guard.standing(self._peer, question.login, None).network:
            return None, BANNED, LONGEST
        assert logins.issuer is not None  # or it would not have been offered
        address = await logins.issuer.login_of(question.token)
        account = await asked(logins.directory, self._of_token, address, question.login) if address else None
        return (Login(account), "", 0.0) if account else (None, "wrong", 1.0)

    def _of_token(self, address: str, login: str) -> Account | None:
        """The account of ``address``, if it is that of ``login`` too, where one is named."""
        directory = self._logins.directory
        account = directory.account(address)
        wanted = directory.account(login) if login else account
        if account is None or wanted is None or account.suspended:
            return None
        return account if account.id == wanted.id else None

    async def _by_certificate(self, question: Certificate) -> Decided:
        """As ``_decided``. Nobody can guess at certificates, so wrong ones are not counted."""
        logins = self._logins
        if logins.guard.standing(self._peer, question.login, None).network:
            return None, BANNED, LONGEST
        account = await asked(logins.directory, self._of_certificate, question)
        return (Login(account), "", 0.0) if account else (None, "wrong", 1.0)

    def _of_certificate(self, question: Certificate) -> Account | None:
        """The account of the address that is wanted; where none is, that of the only one which has an account."""
        wanted = split(question.login)
        if question.login and wanted is None:
            return None
        addresses = [one for one in question.addresses if wanted is None or split(one) == wanted]
        accounts = map(self._logins.directory.account, addresses)
        found = {account.id: account for account in accounts if account and not account.suspended}
        return next(iter(found.values())) if len(found) == 1 else None

    async def _by_password(self, question: Credentials | Proof) -> Decided:
        if isinstance(question, Credentials) and (decided := self._at_once(question)) is not None:
            return decided
        logins = self._logins
        async with logins.turn(logins.guard.network(self._peer)):
            return await trio.to_thread.run_sync(self._decided, question, limiter=logins.limiter(question))

    def _at_once(self, question: Credentials) -> Decided | None:
        """As ``_decided``, where it is right and that takes no time: no slow hash, and nothing to be written down.

        A guesser wins nothing by it: what is wrong waits for its turn, and an app password has 140 random bits.
        """
        directory, guard = self._logins.directory, self._logins.guard
        login = directory.verify_app_password(question.login, question.password, self._service)
        if login is None or login.app_password is None:
            return self._decided(question) if directory.recalls(question.login, question.password) else None
        account = login.account.id
        if guard.standing(self._peer, question.login, account).network:
            return None, BANNED, LONGEST
        return (login, "", 0.0) if guard.has_noted(self._peer, account, login.app_password.created) else None

    def _keys(self, login: str) -> Keys:
        standing = self._logins.guard.standing(self._peer, login, self._id_of(login))
        keys = self._logins.directory.keys(login, self._service, main=not standing.account)
        if standing.network:
            # The salt stays: another one would tell an account that exists from one that does not.
            return replace(keys, keys=(Key(os.urandom(32), os.urandom(32)),))
        return keys

    def _decided(self, question: Credentials | Proof) -> Decided:
        """The login, if this is right; else why not, and the seconds to wait. In a thread: it may take long."""
        guard, known = self._logins.guard, self._id_of(question.login)
        standing = guard.standing(self._peer, question.login, known)
        if standing.network:
            return None, BANNED, LONGEST
        login = self._right(question, main=not standing.account)
        if login is not None:
            if not self._awaits_code(login.account):  # else it is not in yet
                with contextlib.suppress(Unavailable):  # a full disk is no reason to refuse the right password
                    self._note(login)
            return login, "", 0.0
        if standing.account:
            return None, SHIELDED, LONGEST
        return None, "wrong", self._count(question, known) if standing.counts else 0.0

    def _right(self, question: Credentials | Proof, *, main: bool) -> Login | None:
        """The login; without ``main`` only by an app password, at which nobody can guess."""
        directory = self._logins.directory
        if isinstance(question, Proof):
            return directory.proven(question.login, question.key, self._service, main=main) if question.key else None
        login = directory.verify_app_password(question.login, question.password, self._service)
        if login is None and main:
            account = directory.verify(question.login, question.password)
            # No mail program can ask for a second factor.
            login = Login(account) if account and (self._asks_code or not account.has_totp) else None
        return login

    def _note(self, login: Login) -> None:
        self._logins.guard.succeeded(self._peer, login.account.id)
        if login.app_password:
            self._logins.guard.used(login.account.id, login.app_password.created)

    def _count(self, question: Credentials | Proof, known: int | None) -> float:
        """Count a wrong guess; the seconds that it waits, twice as many each time."""
        guard = self._logins.guard
        try:
            if self._logins.is_repeated(guard.network(self._peer), question):
                guesses, bans = guard.guesses(self._peer), list[Ban]()
            else:
                guesses, bans = guard.failed(self._peer, question.login, known)
        except Unavailable as error:
            event("guess-not-counted", peer=self._peer, error=str(error))
            return LONGEST
        for ban in bans:
            _tell(ban)
        return min(2.0 ** (guesses - 1), LONGEST) if guesses else 0.0

    def _id_of(self, login: str) -> int | None:
        account = self._logins.directory.account(login)
        return account.id if account else None


def _tell(ban: Ban) -> None:
    network = ban.name if ban.kind == NETWORK else None
    address = ban.name if ban.kind != NETWORK else None
    event("banned", network=network, address=address, guesses=ban.guesses, until=round(ban.until))
