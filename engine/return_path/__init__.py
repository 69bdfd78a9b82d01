"""Return paths: the addresses of ours that stand for others, so that bounces find back, and forged ones do not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from engine.config import Config, secrets_in
from engine.directory import a_label, split
from engine.return_path import batv, srs
from engine.return_path.batv import Batv
from engine.return_path.srs import Srs
from engine.return_path.verp import Returned, Verp

__all__ = ["Batv", "ReturnPaths", "Returned", "Srs", "Verp"]


@dataclass
class ReturnPaths:
    """What is in force; each may be replaced at any time."""

    srs: Srs | None = None
    batv: Batv | None = None
    verp: Verp | None = None

    @classmethod
    def of(cls, config: Config) -> Self:
        """What the configuration says. OSError when secrets cannot be read."""
        found = cls()
        if given := config.srs:
            found.srs = Srs(a_label(given.domain), secrets_in(given.secret_file), given.max_age)
        if wanted := config.batv:
            found.batv = Batv(secrets_in(wanted.secret_file), wanted.require, _names(wanted.exempt))
        if own := config.verp:
            secrets = secrets_in(own.secret_file)
            senders, tenants = _names(own.senders), frozenset(own.tenants)
            found.verp = Verp(own.address, secrets, own.max_age, senders, tenants, own.lists, own.keep)
        return found

    def use(self, other: "ReturnPaths") -> None:
        """Put others in force."""
        self.srs, self.batv, self.verp = other.srs, other.batv, other.verp

    def is_tagged(self, address: str) -> bool:
        """Whether the address, which is in a domain of ours, stands for another, or claims to."""
        if self.srs is not None and srs.is_tagged(address):
            return address.rpartition("@")[2].lower() == self.srs.domain
        if self.verp is not None and self.verp.is_tagged(address):
            return True
        return self.batv is not None and batv.is_tagged(address)

    def takes_report(self, address: str, now: float) -> bool:
        """Whether reports to that address are read here, whether or not anybody has a mailbox for what else comes."""
        return self.verp is not None and self.verp.open(address, now) is not None

    def opened(self, address: str, now: float) -> str | None:
        """Whom a tagged address stands for at that Unix time; None: for nobody, or no longer."""
        if self.srs is not None and srs.is_tagged(address):
            return self.srs.reverse(address, now)
        if self.verp is not None and self.verp.is_tagged(address):
            return self.verp.address if self.verp.open(address, now) else None
        return self.batv.open(address, now) if self.batv is not None else None


def _names(texts: Iterable[str]) -> frozenset[str]:
    """Addresses and domains as they compare."""
    return frozenset("@".join(split(text) or (a_label(text.removeprefix("@")),)) for text in texts)
