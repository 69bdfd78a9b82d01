"""Whose mail may be seen and acted on: all, or that of some domains."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field

from engine.directory.addresses import a_label


def _none(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Reach:
    """A message is within reach when all its recipients are of these domains; or when one of their accounts has handed
    it in, and none of its recipients is of another domain of this server.

    The sender of the envelope says nothing: anybody can write there what he likes. What goes to another local domain
    as well is out of reach: its envelope and its way tell of people there, and of where their aliases lead.
    """

    domains: Set[str] | None = None  # A-labels in lower case; None: all mail
    is_local: Callable[[str], bool] = _none
    _known: dict[str, bool] = field(default_factory=dict)  # by domain: whether it is local

    @property
    def is_all(self) -> bool:
        return self.domains is None

    def has(self, login: str, recipients: Iterable[str]) -> bool:
        """Whether a message is within it: by the account that handed it in, if any, and by its recipients."""
        if self.domains is None:
            return True
        found = set(map(_domain, recipients))
        others = found - self.domains
        if found and not others:
            return True
        return bool(login) and _domain(login) in self.domains and not any(map(self._local, others))

    def covers(self, address: str) -> bool:
        """Whether somebody is of these domains."""
        return self.domains is None or _domain(address) in self.domains

    def _local(self, domain: str) -> bool:
        found = self._known.get(domain)
        if found is None:
            found = self._known[domain] = self.is_local(domain)
        return found


def _domain(address: str) -> str:
    return a_label(address.rpartition("@")[2])


EVERYTHING = Reach()
