"""Connections that are in by an account, and how they end when that by which they came in is no more."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from engine.directory import Account, Directory, Embedded, Login, NotFound, Unavailable, asked
from engine.observe.events import event
from engine.wakeup import Wakeup

EVERY = 0.25
"""Seconds between two looks at whether the directory has changed, which takes 2 µs, while anybody is in."""

AGAIN = 30.0
"""Seconds between two times at which a directory that others keep is asked for all who are in. What it says is believed
for its `cache_for`, so that is asked once a minute for each account, one after the other."""

_AT_ONCE = 200
"""Connections that are looked at before others get their turn: some 2 ms."""

GONE, SUSPENDED, CHANGED, REVOKED = (
    "the account is gone", "the account is suspended", "the password was changed", "the app password was revoked",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Stay:
    """One connection, and by what it is in."""

    service: str
    peer: str
    login: Login
    by_password: bool  # the account's own; a token or a certificate stays good where that is changed
    sent_away: Callable[[str], None]  # called once, with the reason, on the loop

    @property
    def account(self) -> Account:
        return self.login.account


class Stays:
    """Those of one process.

    The directory is asked, and not a bus: its number of the last transaction is the same for all processes, commands
    among them, and nobody can miss it. Of directories that others keep nobody tells us what was changed there: they are
    asked now and then for those who are in.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._stays: set[Stay] = set()
        self._come = Wakeup()
        self._seen: object = None  # the state of the directory in which all were looked at

    def __len__(self) -> int:
        return len(self._stays)

    def begin(self, stay: Stay) -> None:
        """Somebody is in. Sent away at once, if the directory has changed its mind since it said so."""
        self._stays.add(stay)
        self._come.wake()
        if isinstance(self._directory, Embedded):
            self._look(self._directory, stay)

    def end(self, stay: Stay) -> None:
        """It is out, by itself."""
        self._stays.discard(stay)

    async def run(self) -> None:
        """Send away who is to be, until cancelled."""
        while True:
            if not self._stays:
                await self._come.wait()
            await self.look()
            await trio.sleep(EVERY if isinstance(self._directory, Embedded) else AGAIN)

    async def look(self) -> None:
        """Send away who is to be: if our own directory has changed since the last time, or as another one says now."""
        if isinstance(self._directory, Embedded):
            await self._look_at(self._directory)
        else:
            await self._ask(self._directory)

    async def _ask(self, directory: Directory) -> None:
        """One account after the other: who looks up mail meanwhile must not wait for it."""
        of: dict[str, list[Stay]] = {}
        for stay in self._stays:
            of.setdefault(stay.account.address, []).append(stay)
        for address, stays in of.items():
            try:
                account = await asked(directory, directory.account, address)
            except Unavailable:
                return  # nobody is sent away because a server cannot be asked
            for stay in stays:
                self._weigh(stay, _refused_elsewhere(account, stay))

    async def _look_at(self, directory: Embedded) -> None:
        try:
            state = directory.state
        except Unavailable:
            return  # nobody is sent away because a disk fails
        if state == self._seen:
            return
        self._seen = state
        for number, stay in enumerate(list(self._stays), 1):
            if stay in self._stays:
                self._look(directory, stay)
            if number % _AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _look(self, directory: Embedded, stay: Stay) -> None:
        try:
            why = _refused(directory, stay)
        except Unavailable:
            return
        self._weigh(stay, why)

    def _weigh(self, stay: Stay, why: str) -> None:
        """``why`` it may not stay; empty: it may."""
        if why and stay in self._stays:
            self._stays.discard(stay)
            event("login-ended", peer=stay.peer, service=stay.service, address=stay.account.address, why=why)
            stay.sent_away(why)


def _refused(directory: Embedded, stay: Stay) -> str:
    """Why it may not stay; empty: it may. Unavailable."""
    account, used = directory.account(stay.account.address), stay.login.app_password
    if account is None or account.id != stay.account.id:
        return GONE
    if account.suspended:
        return SUSPENDED
    if used is None:
        return CHANGED if stay.by_password and account.changed != stay.account.changed else ""
    try:
        there = directory.app_passwords(account.address)
    except NotFound:
        return GONE
    return "" if used in there else REVOKED


def _refused_elsewhere(account: Account | None, stay: Stay) -> str:
    """The same of a directory that says no more than who there is, and in some that there is a password."""
    if account is None or account.id != stay.account.id:
        return GONE
    lost = stay.by_password and stay.account.has_password and not account.has_password
    return CHANGED if lost else ""
