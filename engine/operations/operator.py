"""Who has something done: the name in the log, and the domains that they may touch."""

import os
import pwd
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from engine.directory import Account, a_label


class Forbidden(Exception):
    """The operator may do such a thing, but not to this; the text says what it is about."""


def user() -> str:
    """Who gives a command: the name of the user, and of the one who has become root."""
    if os.geteuid() == 0 and (name := os.environ.get("SUDO_USER", "")):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name
        return str(os.getuid())


def _to_nobody(_name: str, /, **_values: Any) -> None:
    pass


def _anybody(_account: Account) -> bool:
    return True


def without_roles(account: Account) -> bool:
    """Whether the account has no role, so that nobody becomes more by having its password."""
    return not account.roles


@dataclass(frozen=True, slots=True)
class Operator:
    """Who has something done.

    ``domains``: the only ones, as A-labels, that they may touch and see; None: all. ``note`` takes the name of an event
    and its values: what was changed is told there, so that the log has it. ``over``: which accounts of their domains
    they may change, and so become: not those that may do more than they. ``peer``: the IP address that it is asked
    from, if it is.
    """

    name: str
    domains: frozenset[str] | None = None
    note: Callable[..., None] = _to_nobody
    over: Callable[[Account], bool] = _anybody
    peer: str = ""

    def tell(self, name: str, /, **values: Any) -> None:
        """Have it in the log that they have changed something."""
        self.note(name, by=self.name, **values)

    async def told(self, name: str, /, **values: Any) -> None:
        """The same from an event loop: what keeps it may wait for the disk. It is kept whoever gives up meanwhile."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(self.tell, name, **values))

    def may(self, name: str) -> bool:
        """Whether they may touch a domain, or what has this address, or ``@domain``."""
        return self.domains is None or a_label(name.rpartition("@")[2].lower()) in self.domains

    def check(self, *names: str) -> None:
        """Forbidden when one of these domains or addresses is not for them."""
        for name in names:
            if not self.may(name):
                raise Forbidden(f"{name} is in no domain that {self.name} may touch")

    def check_all(self) -> None:
        """Forbidden when there is a domain that is not for them: what they ask for is about all."""
        if self.domains is not None:
            raise Forbidden(f"this is about all domains, and {self.name} may touch some alone")

    def seen(self, addresses: Iterable[str]) -> list[str]:
        """Those of the addresses that they may touch."""
        return [address for address in addresses if self.may(address)]
