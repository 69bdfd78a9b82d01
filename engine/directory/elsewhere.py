"""What the directories have in common that another server keeps: threads, a cache, tags, catch-alls, the postmaster."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import trio

from engine.config import Elsewhere as Settings
from engine.directory.addresses import a_label, is_bare_postmaster, split, valid_domain, without_tag
from engine.directory.cache import Cache
from engine.directory.entries import Account, Alias, Login
from engine.directory.errors import Unavailable
from engine.directory.limits import Layers, Limit, Said
from engine.protocols import scram
from engine.units import Size


class Elsewhere(ABC):
    """Every method but the constructor may raise Unavailable, when the server cannot be asked.

    What is found is believed for ``[directory.…] cache_for``, and so is that nothing was.
    """

    checks: ClassVar[int] = 2
    holds_keys = False

    def __init__(
        self, settings: Settings, local_domains: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limiter = trio.CapacityLimiter(settings.connections)
        self._postmaster = settings.postmaster
        self._entries: Cache[tuple[str, str], Account | Alias | None]
        self._entries = Cache(settings.cache, settings.cache_for, clock)
        self._domains: Cache[str, bool] = Cache(settings.cache, settings.cache_for, clock)
        self._local: tuple[str, ...] = ()
        self.set_local(local_domains)

    # What each kind of server is asked for

    @abstractmethod
    def look_up(self, local: str, domain: str) -> Account | Alias | None:
        """What the server knows by exactly this name; an empty local part is the catch-all."""

    @abstractmethod
    def knows_domain(self, domain: str) -> bool:
        """Whether the server says that this domain is local."""

    @abstractmethod
    def verify(self, address: str, password: str) -> Account | None: ...

    @abstractmethod
    def keys(self, address: str, service: str = "", *, main: bool = True) -> scram.Keys: ...

    @abstractmethod
    def proven(self, address: str, key: scram.Key, service: str = "", *, main: bool = True) -> Login | None: ...

    @abstractmethod
    def close(self) -> None: ...

    # What follows from it

    @property
    def state(self) -> object:
        """Another one each time: nobody tells us of a change."""
        return object()

    def set_local(self, local_domains: Iterable[str]) -> None:
        self._local = tuple(dict.fromkeys(map(valid_domain, local_domains)))

    def is_local(self, domain: str) -> bool:
        name = a_label(domain)
        if name in self._local:
            return True
        return _can_be_asked(name) and self._domains.get(name, lambda: self.knows_domain(name))

    def find(self, address: str, *, subaddress: str = "+") -> Account | Alias | None:
        name = self._name(address)
        if name is None:
            return None
        local, domain = name
        base = without_tag(local, subaddress)
        for one in dict.fromkeys((local, base)):
            if one and (found := self._entry(one, domain)):
                return found
        return self._entry("", domain) or self._stand_in(base, domain)

    def account(self, address: str) -> Account | None:
        name = self._name(address)
        found = self._entry(*name) if name else None
        return found if isinstance(found, Account) else None

    def recalls(self, *_: object) -> bool:
        """No: another server is always asked."""
        return False

    def verify_app_password(self, *_: object, **__: object) -> Login | None:
        """None: only the embedded directory has app passwords."""
        return None

    def limits(self, account: Account) -> Layers:
        return [[Said("account", account.limit)]]

    def totals(self) -> Mapping[str, Limit]:
        """None: that needs all accounts of a domain, and a server is asked for one."""
        return {}

    def numbers(self, domain: str) -> list[int]:  # noqa: ARG002
        return []

    def leavers(self) -> list[int]:
        """None: nobody tells us who was removed."""
        return []

    def left(self, account_id: int) -> None:  # noqa: B027
        """Nobody is one."""

    def _name(self, address: str) -> tuple[str, str] | None:
        """Local part and domain, if the domain is local, and the name such that a server can be asked for it."""
        if is_bare_postmaster(address):
            return ("postmaster", self._local[0]) if self._local else None
        name = split(address)
        return name if name and _can_be_asked(name[0]) and self.is_local(name[1]) else None

    def _entry(self, local: str, domain: str) -> Account | Alias | None:
        return self._entries.get((local, domain), lambda: self.look_up(local, domain))

    def _stand_in(self, local: str, domain: str) -> Alias | None:
        # Somebody must read a postmaster's mail. RFC 5321 4.5.1
        return Alias(f"postmaster@{domain}", (self._postmaster,)) if local == "postmaster" else None


def limit(address: str, size: Any, messages: Any) -> Limit:
    """A limit as a server keeps it: octets, or a text such as "5 GiB", and a number; None: not said. Unavailable."""
    try:
        return Limit(None if size is None else int(Size(size)), None if messages is None else int(Size(messages)))
    except (TypeError, ValueError) as error:
        raise Unavailable(f"the quota of {address} cannot be read: {error}") from error


def _can_be_asked(text: str) -> bool:
    """Not for octets that are no UTF-8, nor for NUL: they equal nothing that is stored, and servers take them for
    mistakes of ours."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
