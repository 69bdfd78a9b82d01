"""What operators see of the certificates that the server offers, and how it goes with those that ACME gets."""

import ipaddress
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from engine.config import IMPLICIT_TLS, METRICS, WEB, Config
from engine.net.certificates import ISSUED, Certificate
from engine.net.tls import ServerTls
from engine.operations.moments import Moment, at, moment
from engine.operations.operator import Operator
from engine.protocols.endpoint import endpoint
from engine.runtime.certificates import folders, own_pair
from engine.runtime.places import CERTIFICATES
from engine.runtime.services import CERTIFICATES_SERVICE

Begins: TypeAlias = Literal["tls", "starttls", "plain"]
"""How a listener has TLS: from the first octet, when the client asks for it, or not at all."""

_STARTTLS = ("smtp", "submission", "lmtp", "imap", "pop3", "managesieve")

_PATIENCE = 2.0
"""Seconds that the process has to answer that gets certificates."""


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate: for which names, by whom it is issued, from when until when, what is wrong with it, and its file.

    ``default``: whether it is offered to who names no host, or one that has no certificate. ``folder``: of those that
    ACME gets, what it is called there; else empty.
    """

    names: tuple[str, ...]
    algorithm: str
    issuer: str
    begins: Moment
    expires: Moment
    flaws: tuple[str, ...]
    certificate: str
    default: bool
    folder: str


class Certificates(msgspec.Struct, frozen=True):
    """All of them, and what cannot be read."""

    certificates: tuple[CertificateRow, ...]
    errors: tuple[str, ...]


class ListenerRow(msgspec.Struct, frozen=True):
    """A listener, and how it has TLS. All that have it offer the same certificates, by the name that is asked for."""

    name: str
    address: str
    begins: Begins


class Standing(msgspec.Struct, frozen=True):
    """How it goes with a certificate that ACME gets: times that it has failed one after the other, and why; when it
    failed and succeeded last, since the process began; when it is looked at again.
    """

    folder: str
    names: tuple[str, ...]
    failures: int
    error: str
    failed: Moment | None
    issued: Moment | None
    again: Moment | None


def listed(config: Config, by: Operator) -> Certificates:
    """The certificates that the server offers by this configuration, read from their files. Blocks."""
    by.check_all()
    tls = ServerTls(own_pair(config), folders(config), config.server.hostname)
    tls.look()
    now = time.time()
    return Certificates(tuple(_row(config, tls, one, now) for one in tls.certificates), tuple(tls.errors.values()))


def _row(config: Config, tls: ServerTls, one: Certificate, now: float) -> CertificateRow:
    folder = one.pair.certificate.parent
    return CertificateRow(
        names=tuple(one.names),
        algorithm=one.algorithm,
        issuer=_issuer(one),
        begins=at(one.begins),
        expires=at(one.expires),
        flaws=tuple(one.flaws(now)),
        certificate=str(one.pair.certificate),
        default=one in tls.unnamed,
        folder=folder.name if folder.parent == config.server.data / ISSUED else "",
    )


def _issuer(certificate: Certificate) -> str:
    """The organisation and the name of whoever has signed it."""
    from cryptography import x509  # slow to import

    issuer = x509.load_pem_x509_certificates(certificate.pem)[0].issuer
    wanted = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    found = [str(each.value) for oid in wanted for each in issuer.get_attributes_for_oid(oid)]
    return ", ".join(found) or issuer.rfc4514_string()


def listeners(config: Config, by: Operator) -> list[ListenerRow]:
    """Each listener that has TLS, or could have it."""
    by.check_all()
    rows = []
    for name, (host, port) in config.listen.items():
        if name in (WEB, METRICS):
            begins: Begins = "plain" if ipaddress.ip_address(host).is_loopback else "tls"
        elif name in IMPLICIT_TLS:
            begins = "tls"
        elif name in _STARTTLS:
            begins = "starttls" if config.tls is not None else "plain"
        else:
            continue
        rows.append(ListenerRow(name, endpoint(host, port), begins))
    return rows


def state(config: Config, by: Operator) -> str:
    """Another one when the files have become others that ``listed`` reads. Blocks for some hundred µs."""
    by.check_all()
    own = own_pair(config)
    paths = [own.certificate, own.key] if own else []
    for folder in folders(config):
        paths += [folder, *folder.glob("*/*.pem")]
    return repr([_changed(path) for path in sorted(paths)])


def _changed(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_ino


async def standings(ask: Callable[..., Awaitable[Any]], by: Operator) -> list[Standing]:
    """How it goes with those that ACME gets. Unanswered."""
    by.check_all()
    said = await ask(CERTIFICATES, CERTIFICATES_SERVICE, "standings", seconds=_PATIENCE)
    return [
        Standing(
            one["folder"], tuple(one["names"]), one["failures"], one["error"], moment(one["failed"]),
            moment(one["issued"]), moment(one["again"]),
        )
        for one in said
    ]  # fmt: skip


async def renew(ask: Callable[..., Awaitable[Any]], by: Operator, folder: str) -> bool:
    """Have one got by ACME within seconds, due or not; whether there is such a one. Unanswered."""
    by.check_all()
    known = bool(await ask(CERTIFICATES, CERTIFICATES_SERVICE, "renew", folder, seconds=_PATIENCE))
    if known:
        await by.told("certificate-wanted", certificate=folder)
    return known
