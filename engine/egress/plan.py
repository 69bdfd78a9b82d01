"""What `pipeline.toml` says of the ways out, with the secrets that it names read from their files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from engine.config import Config, EgressPool, EgressSource, SmartHost
from engine.egress.tenants import Tenants
from engine.net.targets import host_and_port
from engine.outbound.credentials import BadCredentials, read_password, verifying
from engine.outbound.way import Login, Proxy, Security, Source
from engine.protocols.sasl_client import Password
from engine.protocols.socks5 import SocksLogin


class Unusable(Exception):
    """A file that the plan needs cannot be used. ``place`` is the setting that names it, "smart_host.x.login_file"."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place


@dataclass(frozen=True)
class Known:
    """A smart host, and who we are to it."""

    place: tuple[str, int]
    security: Security
    login: Login | None


@dataclass(frozen=True)
class Plan:
    """One configuration of it. ``from_`` has the sources as connections need them."""

    sources: Mapping[str, EgressSource] = field(default_factory=dict)
    pools: Mapping[str, EgressPool] = field(default_factory=dict)
    dialled: Mapping[str, Source] = field(default_factory=dict)
    tenants: Tenants = field(default_factory=Tenants)
    smart_hosts: Mapping[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> Self:
        """Reads files. Unusable."""
        return cls(
            sources=config.egress.sources,
            pools=config.egress.pools,
            dialled={name: _source(name, source) for name, source in config.egress.sources.items()},
            tenants=Tenants(config.tenants),
            smart_hosts={name: _known(name, host) for name, host in config.smart_hosts.items()},
        )

    @cached_property
    def is_plain(self) -> bool:
        """Whether nothing is said of anybody's mail: no tenants, and no smart hosts."""
        return not (self.tenants.by_name or self.smart_hosts)

    def known(self, tenant: str, host: str, port: int) -> Known | None:
        """The smart host that a server is: the tenant's own, else the first one that has its name and port."""
        place = host.lower().rstrip("."), port
        own = self.tenants.by_name.get(tenant)
        if own and own.smart_host and self.smart_hosts[own.smart_host].place == place:
            return self.smart_hosts[own.smart_host]
        return next((known for known in self.smart_hosts.values() if known.place == place), None)

    def smart_host(self, tenant: str) -> tuple[str, int] | None:
        """Host and port of the smart host of a tenant; None: it has none of its own."""
        own = self.tenants.by_name.get(tenant)
        return self.smart_hosts[own.smart_host].place if own and own.smart_host else None


def _source(name: str, source: EgressSource) -> Source:
    proxy = None
    if source.socks5:
        login = None
        if source.socks5_login_file is not None:
            place = f"egress.source.{name}.socks5_login_file"
            try:
                who = read_password(source.socks5_login_file)
                login = SocksLogin(who.name, who.password)
            except (BadCredentials, ValueError) as error:
                raise Unusable(place, str(error)) from error
        proxy = Proxy("socks5", *host_and_port(source.socks5, 1080), login=login)
    elif source.haproxy:
        proxy = Proxy("haproxy", *host_and_port(source.haproxy, 0), version=source.proxy_version)
    return Source(name, source.ipv4, source.ipv6, source.ehlo, proxy)


def _known(name: str, host: SmartHost) -> Known:
    place = f"smart_host.{name}"
    security = Security("never" if host.tls == "never" else "verify")
    try:
        who = read_password(host.login_file) if host.login_file else Password()
        if host.tls == "never":
            return Known(host.place, security, Login(who) if who.password else None)
        context = verifying(host.trust, host.certificate, host.key, beside=True)
    except BadCredentials as error:
        raise Unusable(f"{place}.{error.key}", str(error)) from error
    by_certificate = host.certificate is not None
    return Known(host.place, security, Login(who, context, by_certificate, host.tls == "implicit"))
