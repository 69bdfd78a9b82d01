"""Connections that are in by an account, and how they end when that by which they came in is no more."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from engine.directory import Account, Directory, Embedded, Login, NotFound, Unavailable
from engine.observe.events import event
from engine.wakeup import Wakeup

EVERY = 0.25
"""Seconds between two looks at whether the directory has changed, which takes 2 µs, while anybody is in."""

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
    among them, and nobody can miss it. Of directories that others keep nobody tells us what was changed there.
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
        if not isinstance(self._directory, Embedded):
            return
        self._stays.add(stay)
        self._come.wake()
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
            await trio.sleep(EVERY)

    async def look(self) -> None:
        """Send away who is to be, if the directory has changed since the last time."""
        directory = self._directory
        if not isinstance(directory, Embedded):
            return
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
        if why:
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
