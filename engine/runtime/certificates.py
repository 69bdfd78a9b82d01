"""The certificates that a configuration names, and what there is to say about them."""

import heapq
import time
from collections.abc import Callable, Iterator
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from engine.config import NOWHERE, Config, ConfigError, Problem
from engine.net.certificates import ISSUED, Certificate, CertificateError, Pair, day
from engine.net.tls import ServerTls
from engine.observe.events import event
from engine.observe.measures import Gauge, Labels

if TYPE_CHECKING:
    from engine.acme.issuing import Applicant

EXPIRES = Gauge(
    "postroad_certificate_expiry_seconds",
    "Unix time at which a certificate expires, by its first name.",
    ("certificate",),
)

LATE = Gauge(
    "postroad_certificate_late_seconds",
    "Unix time at which a certificate ought to have been renewed, by its first name.",
    ("certificate",),
)

_TOLD = 200
"""Certificates that are told of: a provider has thousands."""

LOOK = 5.0
"""Seconds between two looks at the files: a thousand of them take some milliseconds, in a thread."""


def own_pair(config: Config) -> Pair | None:
    """The pair that [tls] names itself."""
    tls = config.tls
    return Pair(tls.certificate, tls.key) if tls and tls.certificate != NOWHERE else None


def client_ca(config: Config) -> Path | None:
    """The authorities of people's certificates."""
    return config.tls.client_ca if config.tls and config.tls.client_ca != NOWHERE else None


def folders(config: Config) -> tuple[Path, ...]:
    """Where a folder for each further pair lies: what [tls] names, and what ACME has got."""
    if config.tls is None:
        return ()
    named = (config.tls.folder,) if config.tls.folder != NOWHERE else ()
    return (*named, config.server.data / ISSUED)


def applicant(config: Config) -> "Applicant":
    """How [acme] says that certificates are got. ValueError where it says nothing."""
    from engine.acme.issuing import Applicant, Settings  # slow to import, and not for every worker

    acme = config.acme
    if acme is None:
        raise ValueError("there is no [acme]")
    trust = acme.trust if acme.trust != NOWHERE else None
    return Applicant(Settings(acme.directory, acme.email, acme.challenge, acme.hook, trust), config.server.data)


def server_tls(config: Config, now: ServerTls) -> ServerTls:
    """What listeners offer: that of ``now``, looked at again, where the same is asked for. ConfigError.

    It lives on, because the stages of a revision that is not changed have it.
    """
    asked = own_pair(config), folders(config), config.server.hostname, client_ca(config)
    found = now if asked == (now.own, now.folders, now.hostname, now.client_ca) else ServerTls(*asked)
    try:
        found.look()
        for named in (found.own and found.own.certificate, found.client_ca):
            if named in found.errors:
                raise CertificateError(found.errors[named])
    except CertificateError as error:
        raise ConfigError(config.path, [Problem(0, "[tls]", str(error))]) from error
    return found


def troubles(tls: ServerTls) -> Iterator[tuple[Path, str]]:
    """What an operator should do something about, by certificate."""
    yield from tls.errors.items()
    now = time.time()
    for certificate in tls.certificates:
        path = certificate.pair.certificate
        yield from ((path, f"{path} {flaw}") for flaw in certificate.flaws(now))


def expiries(tls: ServerTls) -> Iterator[tuple[Labels, float]]:
    """When certificates expire, those that do so first; of several for one name, the first one's."""
    return _first(tls, attrgetter("expires"))


def lates(tls: ServerTls) -> Iterator[tuple[Labels, float]]:
    """The same of when they ought to have been renewed."""
    return _first(tls, attrgetter("late"))


def _first(tls: ServerTls, when: Callable[[Certificate], float]) -> Iterator[tuple[Labels, float]]:
    found: dict[str, float] = {}
    for certificate in tls.certificates:
        name = certificate.names[0] if certificate.names else certificate.pair.certificate.name
        found[name] = min(found.get(name, when(certificate)), when(certificate))
    return (((name,), moment) for name, moment in heapq.nsmallest(_TOLD, found.items(), key=itemgetter(1)))


class Watcher:
    """Takes up renewed certificates while the server runs. ``says``: writes the events; one process does, for all."""

    def __init__(self, now: Callable[[], ServerTls], *, says: bool) -> None:
        self._now = now
        self._says = says
        self._said: set[tuple[Path, str]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            tls = self._now()
            try:
                renewed = await trio.to_thread.run_sync(tls.look) if tls.own or tls.folders else []
            except CertificateError as error:
                event("certificate-trouble", why=str(error))
            else:
                if self._says:
                    self._say(renewed, set(troubles(tls)))
            await trio.sleep(LOOK)

    def _say(self, renewed: list[Certificate], found: set[tuple[Path, str]]) -> None:
        for certificate in renewed:
            event(
                "certificate-taken-up", certificate=certificate.pair.certificate, names=certificate.names,
                expires=day(certificate.expires),
            )  # fmt: skip
        for path, why in sorted(found - self._said):
            event("certificate-trouble", certificate=path, why=why)
        self._said = found


def wanted_names(config: Config) -> tuple[str, ...]:
    """What [acme] gets certificates for: its domains, and the names of policies of ours that none of these covers."""
    given = config.acme.domains if config.acme is not None else ()
    sts = config.open.mta_sts
    if sts is None or not sts.certificates:
        return given
    return (*given, *(host for host in sts.hosts(config.domains.local) if not _covers(given, host)))


def _covers(names: tuple[str, ...], host: str) -> bool:
    return any(name in (host, f"*.{host.partition('.')[2]}") for name in names)
