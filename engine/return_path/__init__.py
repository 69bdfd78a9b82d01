"""Return paths: the addresses of ours that stand for others, so that bounces find back, and forged ones do not."""

from dataclasses import dataclass
from typing import Self

from engine.config import Config, secrets_in
from engine.directory import a_label, split
from engine.return_path import batv, srs
from engine.return_path.batv import Batv
from engine.return_path.srs import Srs

__all__ = ["Batv", "ReturnPaths", "Srs"]


@dataclass
class ReturnPaths:
    """What is in force; either may be replaced at any time."""

    srs: Srs | None = None
    batv: Batv | None = None

    @classmethod
    def of(cls, config: Config) -> Self:
        """What the configuration says. OSError when secrets cannot be read."""
        found = cls()
        if given := config.srs:
            found.srs = Srs(a_label(given.domain), secrets_in(given.secret_file), given.max_age)
        if wanted := config.batv:
            exempt = frozenset("@".join(split(text) or (a_label(text.removeprefix("@")),)) for text in wanted.exempt)
            found.batv = Batv(secrets_in(wanted.secret_file), wanted.require, exempt)
        return found

    def is_tagged(self, address: str) -> bool:
        """Whether the address, which is in a domain of ours, stands for another, or claims to."""
        if self.srs is not None and srs.is_tagged(address):
            return address.rpartition("@")[2].lower() == self.srs.domain
        return self.batv is not None and batv.is_tagged(address)

    def opened(self, address: str, now: float) -> str | None:
        """Whom a tagged address stands for at that Unix time; None: for nobody, or no longer."""
        if self.srs is not None and srs.is_tagged(address):
            return self.srs.reverse(address, now)
        return self.batv.open(address, now) if self.batv is not None else None
