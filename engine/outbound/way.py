"""Ways out: to which site a message goes and from which source, and how safe the connection must be."""

import ssl
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from engine.protocols.proxy_protocol import Version
from engine.protocols.sasl_client import Password
from engine.protocols.socks5 import SocksLogin

TlsPolicy: TypeAlias = Literal["opportunistic", "require", "verify", "never"]

SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Proxy:
    """A server that connects on for us.

    `socks5` is told where to (RFC 1928), and connects from what address it likes; `haproxy` is told by the PROXY
    protocol where to, and from which of its addresses.
    """

    kind: Literal["socks5", "haproxy"]
    host: str
    port: int
    login: SocksLogin | None = None
    version: Version = 2  # of the PROXY protocol


@dataclass(frozen=True, slots=True)
class Source:
    """What we connect from. Empty: the address that the system picks, the name of the stage's ``hostname``.

    With a proxy the addresses are those of the proxy.
    """

    name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    hostname: str = ""  # that EHLO gives
    proxy: Proxy | None = None

    def of_family(self, address: str) -> str:
        """Our address of the same family as ``address``; empty where there is none, or a path."""
        return "" if address.startswith("/") else self.ipv6 if ":" in address else self.ipv4


ANY = Source()


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a server. ``context`` verifies it, and shows our certificate where we have one.

    Without a context the password goes in the clear, and so only to this machine.
    """

    who: Password
    context: ssl.SSLContext | None = field(default=None, repr=False)
    by_certificate: bool = False
    implicit_tls: bool = False  # TLS from the first octet (RFC 8314)


class Way(NamedTuple):
    """The connections of one way are counted, limited and used together."""

    site: str  # names all its servers together
    port: int = SMTP_PORT
    source: Source = ANY
    login: Login | None = None


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
