"""What the server asks of a directory, wherever that is kept, and how it asks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar, TypeVarTuple

import trio

from engine.directory.entries import Account, Alias, Login
from engine.directory.limits import Layers, Limit
from engine.protocols import scram

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Directory(Protocol):
    """Domains, accounts and aliases. Threads share it.

    All methods are synchronous; ask by ``asked`` on the loop. Each may raise Unavailable: then nothing is known, not
    even that there is nobody, so mail waits and logins are put off.
    """

    @property
    def limiter(self) -> trio.CapacityLimiter | None:
        """What bounds look-ups, each in a thread; None: they take microseconds, and are made at once."""
        ...

    @property
    def checks(self) -> int:
        """Passwords that may be checked at once."""
        ...

    @property
    def holds_keys(self) -> bool:
        """Whether there are keys for SCRAM, and not only passwords to compare with."""
        ...

    @property
    def state(self) -> object:
        """Another one when anything may have changed. What was found since it was read is as new."""
        ...

    def set_local(self, local_domains: Iterable[str]) -> None:
        """Other domains are local by configuration from now on. Invalid when one of them is no domain name."""
        ...

    def is_local(self, domain: str) -> bool:
        """Whether mail for ``domain`` (in any case, as U-label or A-label) stays here."""
        ...

    def find(self, address: str, *, subaddress: str = "+") -> Account | Alias | None:
        """Who gets mail for ``address``: the exact name, else the name without its tag, else the catch-all.

        ``subaddress`` is the character before a tag ("user+tag", RFC 5233), empty for no tags. The postmaster of a
        local domain is always somebody (RFC 5321 4.5.1).
        """
        ...

    def account(self, address: str) -> Account | None:
        """The account of exactly this address, in a domain that is local."""
        ...

    def verify(self, address: str, password: str) -> Account | None:
        """The account, if ``password`` is its own. In a thread: it may take long."""
        ...

    def recalls(self, address: str, password: str) -> bool:
        """Whether ``verify`` would say yes and take no time: the password was right a moment ago, and is still."""
        ...

    def verify_app_password(self, address: str, password: str, service: str) -> Login | None:
        """The login, if ``password`` is an app password of the account that is good for ``service``."""
        ...

    def keys(self, address: str, service: str = "", *, main: bool = True) -> scram.Keys:
        """What may prove a login to ``service`` by SCRAM (RFC 5802): keys that nothing fits where nothing may.

        Without ``main`` the account's own password is not among it. Nobody can tell by the salt and the count whether
        there is such an account.
        """
        ...

    def proven(self, address: str, key: scram.Key, service: str = "", *, main: bool = True) -> Login | None:
        """The login, if ``key`` is one of those that ``keys`` gives for it."""
        ...

    def limits(self, account: Account) -> Layers:
        """What was said about how much the account may hold, the nearest first."""
        ...

    def totals(self) -> Mapping[str, Limit]:
        """By domain, what its accounts may hold all together, where that is said."""
        ...

    def numbers(self, domain: str) -> list[int]:
        """The ids of all accounts of a domain that has a total."""
        ...

    def leavers(self) -> list[int]:
        """The ids of accounts that were removed, whose mail is to be erased."""
        ...

    def left(self, account_id: int) -> None:
        """The mail of this leaver is gone, or going."""
        ...

    def close(self) -> None: ...


async def asked(directory: Directory, look: Callable[[*Ts], T], *args: *Ts) -> T:
    """What ``look`` finds in the directory. Gives up control only where the directory has a limiter."""
    if directory.limiter is None:
        return look(*args)
    return await trio.to_thread.run_sync(look, *args, abandon_on_cancel=True, limiter=directory.limiter)
