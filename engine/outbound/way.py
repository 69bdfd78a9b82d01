"""Ways out: to which site a message goes and from which source, and how safe the connection must be."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

TlsPolicy: TypeAlias = Literal["opportunistic", "require", "verify", "never"]

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Source:
    """What we connect from. Empty: the address that the system picks, the name of the stage's ``hostname``."""

    name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""  # that EHLO gives


ANY = Source()


class Way(NamedTuple):
    """The connections of one way are counted, limited and used together."""

    site: str  # names all its servers together
    port: int = SMTP_PORT
    source: Source = ANY


@dataclass(frozen=True, slots=True)
class Security:
    """What a connection must have for a message to be sent on it.

    `opportunistic`: TLS where offered, unverified. `require`: always. `verify`: with a trusted certificate. `never`.
    """

    level: TlsPolicy = "opportunistic"

    @property
    def required(self) -> bool:
        """Whether nothing may be sent in the clear."""
        return self.level in ("require", "verify")

    @property
    def verified(self) -> bool:
        """Whether the server must show a certificate that is trusted."""
        return self.level == "verify"
