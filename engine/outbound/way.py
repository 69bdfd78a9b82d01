"""Ways out: to which site a message goes and from which source, and how safe the connection must be."""

import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from engine.policies.published import NOTHING, Published
from engine.policies.results import ResultType
from engine.protocols.proxy_protocol import Version
from engine.protocols.sasl_client import Password
from engine.protocols.socks5 import SocksLogin
from engine.protocols.tlsa import Tlsa, usable

TlsPolicy: TypeAlias = Literal["never", "opportunistic", "require", "verify", "mta-sts", "dane"]
Level: TypeAlias = Literal["never", "opportunistic", "require", "testing", "verify", "dane"]

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


NEEDED, UNSUPPORTED = "5.7.10", "5.7.30"
"""Enhanced codes of what REQUIRETLS asks for: there is no such TLS; the server does not know of it (RFC 8689 4.1)."""


class Refusal(NamedTuple):
    """Why nothing may be sent to a host."""

    result: ResultType  # empty: that says nothing about the domain
    text: str
    code: str = "4.7.5"  # 4.7.5: the domain may mend it; of class 5: the sender is to hear of it at once


class Demand(NamedTuple):
    """What a connection to one host must have.

    `never`: it stays in the clear. `opportunistic`: TLS where offered, unverified. `require`: always. `testing`: as
    `verify`, but only to tell what became of it. `verify`: with a certificate that is trusted for the host. `dane`:
    with one that ``tlsa`` fits; ``base`` is the name to ask for, and ``names`` are those that a certificate of an
    authority in ``tlsa`` may be for.
    """

    level: Level
    tlsa: tuple[Tlsa, ...] = ()
    base: str = ""
    names: tuple[str, ...] = ()
    requiretls: bool = False  # the server must know of it (RFC 8689)
    refusal: Refusal | None = None
    note: Refusal | None = None  # why nothing could be sent, were the policy not in testing

    @property
    def in_the_clear(self) -> bool:
        """Whether it may do without TLS."""
        return self.level in ("never", "opportunistic", "testing")


@dataclass(frozen=True, slots=True)
class Security:
    """What a connection must have for a message to be sent on it.

    ``level`` is what our side wants at least: `opportunistic`: TLS where offered, unverified. `require`: always.
    `verify`: with a trusted certificate. `mta-sts`: with one for a host that the domain's MTA-STS policy names, or as
    DANE says. `dane`: as DANE says. `never`: none, whatever the domain publishes. What it publishes makes that
    stricter, never weaker; where both kinds are, DANE counts (RFC 8461 2).

    ``requiretls``: the sender demands it of each server (RFC 8689); ``vouched``: nobody on the way could have changed
    the names of the hosts. ``untold``: nobody hears what becomes of it, for these are not the domain's servers, or the
    sender wants it delivered whatever the domain publishes (RFC 8689 3).
    """

    level: TlsPolicy = "opportunistic"
    published: Published = NOTHING
    requiretls: bool = False
    vouched: bool = False
    untold: bool = False

    def at(self, host: str) -> Demand:
        """What that means at one host."""
        return _at(self, host)


@lru_cache(4096)
def _at(security: Security, host: str) -> Demand:
    level, dane = security.level, security.published.dane_of(host)
    if security.requiretls and (refusal := _without_requiretls(security, host)):
        return Demand("verify", requiretls=True, refusal=refusal)
    if level == "never":
        return Demand("never")
    if dane is not None and (records := usable(dane.records)):
        names = (dane.base, host, *filter(None, [security.published.domain]))
        return Demand("dane", records, dane.base, names, security.requiretls)
    if level == "dane":
        text = f"there are no {'usable ' if dane else ''}TLSA records for {host}, and our side requires them"
        return Demand("dane", refusal=Refusal("tlsa-invalid" if dane else "dane-required", text))
    demand = _by_sts(security, host)
    if dane is not None and demand.in_the_clear:
        # RFC 7672 2.2: that nobody can use them takes nothing from what they say, that there is TLS.
        note = Refusal("tlsa-invalid", f"none of the TLSA records of {host} can be used")
        demand = demand._replace(level="require", note=note)
    return demand._replace(level="verify", requiretls=True) if security.requiretls else demand


def _without_requiretls(security: Security, host: str) -> Refusal | None:
    """Why a message with REQUIRETLS cannot go to a host, before it was asked (RFC 8689 4.1)."""
    if security.level == "never":
        return Refusal("", "our side uses no TLS there, and the sender requires it", NEEDED)
    sts = security.published.sts
    if not security.vouched and not (sts is not None and sts.covers(host)):
        text = f"neither DNSSEC nor MTA-STS says that {host} is the right server, and the sender requires it"
        return Refusal("", text, UNSUPPORTED)
    return None


def _by_sts(security: Security, host: str) -> Demand:
    """What the domain's policy of MTA-STS, or our own level, wants of a host that DANE says nothing of."""
    sts, level = security.published.sts, security.level
    own: Level = "verify" if level == "mta-sts" or level == "dane" else level  # noqa: PLR1714 - mypy follows it
    if sts is None:
        missing = Refusal("validation-failure", "the domain has no MTA-STS policy, and our side requires one")
        return Demand(own, refusal=missing if level == "mta-sts" else None)
    if not sts.covers(host):
        text = f"{host} is none of the servers that the domain's MTA-STS policy names"
        other = Refusal("validation-failure", text)
        strict = sts.mode == "enforce" or level == "mta-sts"
        return Demand("verify", refusal=other) if strict else Demand(own, note=other)
    if sts.mode == "enforce":
        return Demand("verify")
    return Demand("testing" if own == "opportunistic" else own)
