"""Whether the certificates are good: names, chain, time, and whether the server may read them."""

import os
import pwd
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.cli.doctor.disk import owner
from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.net.certificates import Certificate, CertificateError, day
from engine.net.tls import ServerTls, server_context
from engine.runtime.certificates import client_ca, folders, own_pair

_STEPS = 20
"""Turns of a handshake in memory; it takes three or four."""


def look(patient: Patient) -> Iterator[Finding]:
    config = patient.config
    if config.tls is None:
        yield warning(
            "there is no certificate", "mail comes in the clear, and nobody can log in from elsewhere",
            "write [tls] or [acme] (docs/operating.md)",
        )  # fmt: skip
        return
    offered = ServerTls(own_pair(config), folders(config), config.server.hostname, client_ca(config))
    try:
        offered.look()
    except CertificateError as error:
        yield problem(str(error), "the server does not start, or a reload is refused", "postroad check")
        return
    for why in offered.errors.values():
        yield problem(why, "this certificate is not offered", "mend or remove it")
    for certificate in offered.certificates:
        yield from _certificate(patient, certificate)
    if not offered.certificates and not offered.errors:
        yield warning(
            f"there is no certificate for {config.server.hostname} yet",
            "until ACME has got one, TLS is not offered",
            patient.again("cert list"),
        )
    elif not any(covers(one, config.server.hostname) for one in offered.certificates):
        yield problem(
            f"no certificate is for {config.server.hostname}",
            "servers that verify (MTA-STS) do not deliver, and mail programs complain",
            f"get one for {config.server.hostname}, which [server] hostname says",
        )


def covers(certificate: Certificate, name: str) -> bool:
    wild = f"*.{name.partition('.')[2]}"
    return name.lower() in certificate.names or wild in certificate.names


def _certificate(patient: Patient, certificate: Certificate) -> Iterator[Finding]:
    text = f"{certificate.pair.certificate} ({', '.join(certificate.names)})"
    now = time.time()
    flaws = list(certificate.flaws(now))
    for flaw in flaws:
        said = problem if not certificate.begins <= now < certificate.expires else warning
        yield said(f"{text} {flaw}", "clients that verify refuse it", "renew it; postroad cert list")
    user = owner(patient) if patient.config.server.data.exists() else os.geteuid()
    for path in (certificate.pair.certificate, certificate.pair.key):
        if not readable(path, user):
            yield problem(
                f"{path} cannot be read by the server's user",
                "it does not start, or goes on with the former certificate",
                f"chgrp the file to a group of that user, and chmod g+r {path}",
            )
    why = "" if flaws else distrust(certificate)
    if why:
        yield warning(
            f"{text} is not trusted: {why}",
            "other servers deliver all the same; mail programs complain, and MTA-STS fails",
            "get one from a public authority, by [acme]; see that the file has the whole chain",
        )
    elif not flaws:
        yield good(f"{text} is trusted, until {day(certificate.expires)}")


def distrust(certificate: Certificate) -> str:
    """Why a client with the system's authorities does not trust it; empty where it does. By a handshake in memory."""
    name = certificate.names[0].replace("*", "any") if certificate.names else ""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(certificate).wrap_bio(into, out, server_side=True)
    client = ssl.create_default_context().wrap_bio(out, into, server_hostname=name or "nameless.invalid")
    for _ in range(_STEPS):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            return error.verify_message.rstrip(".")
        except ssl.SSLError as error:
            return str(error)
        else:
            return ""
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
    return "the handshake does not end"


def readable(path: Path, user: int) -> bool:
    """Whether a user may read a file, by the modes of it and of the folders above."""
    if user == 0 or user == os.geteuid():
        return os.access(path, os.R_OK)
    groups = _groups(user)
    real = path.resolve()
    steps = [(real, 0o4), *((folder, 0o1) for folder in real.parents)]
    return all(_allowed(step.stat(), user, groups, bit) for step, bit in steps)


def _groups(user: int) -> set[int]:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return set()
    return set(os.getgrouplist(entry.pw_name, entry.pw_gid))


def _allowed(about: os.stat_result, user: int, groups: set[int], bit: int) -> bool:
    shift = 6 if about.st_uid == user else 3 if about.st_gid in groups else 0
    return bool(about.st_mode >> shift & bit)
