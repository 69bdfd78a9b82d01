"""What operators see of the certificates that the server offers."""

import time

import msgspec

from engine.config import Config
from engine.net.tls import ServerTls
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.runtime.certificates import folders, own_pair


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate: for which names, until when, what is wrong with it, and its file."""

    names: tuple[str, ...]
    algorithm: str
    expires: Moment
    flaws: tuple[str, ...]
    certificate: str


class Certificates(msgspec.Struct, frozen=True):
    """All of them, and what cannot be read."""

    certificates: tuple[CertificateRow, ...]
    errors: tuple[str, ...]


def listed(config: Config, by: Operator) -> Certificates:
    """The certificates that the server offers by this configuration, read from their files. Blocks."""
    by.check_all()
    tls = ServerTls(own_pair(config), folders(config), config.server.hostname)
    tls.look()
    now = time.time()
    return Certificates(
        tuple(
            CertificateRow(
                names=tuple(one.names),
                algorithm=one.algorithm,
                expires=at(one.expires),
                flaws=tuple(one.flaws(now)),
                certificate=str(one.pair.certificate),
            )
            for one in tls.certificates
        ),
        tuple(tls.errors.values()),
    )
