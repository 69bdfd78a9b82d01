"""Certificates on disk: read whole or not at all, and looked over for what an operator should know."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as Parsed

CHAIN, KEY = "fullchain.pem", "privkey.pem"
"""The files of a pair in a folder of its own, as certbot and others name them."""

ISSUED = "certificates"
"""The folder, within the data folder, of those that we got ourselves."""

_DAY = 86_400.0

_SOON = 14 * _DAY
"""Seconds before its end at which a certificate ought to have been renewed: ACME clients do it 30 days before."""


class CertificateError(Exception):
    """A certificate and its key cannot be used; the text says which, and why."""


def stamp(*paths: Path) -> tuple[int, ...]:
    """Another one when one of the files is another one. Empty when one is not there."""
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return ()
    return tuple(number for status in found for number in (status.st_ino, status.st_mtime_ns, status.st_size))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two PEM files: a certificate with those up to its authority, and its private key."""

    certificate: Path
    key: Path

    def stamp(self) -> tuple[int, ...]:
        """Another one when one of the files is another one. Empty when one is not there."""
        return stamp(self.certificate, self.key)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key that fit each other."""

    pair: Pair
    names: tuple[str, ...]  # lower case; "*.example.org" stands for every name one label longer
    algorithm: str  # of the key: "EC", "RSA", …
    begins: float  # Unix time in seconds, as all times here
    expires: float
    pem: bytes = field(repr=False)  # chain and key, in one piece

    @property
    def late(self) -> float:
        """When it ought to have been renewed."""
        return self.expires - min(_SOON, (self.expires - self.begins) / 6)

    def flaws(self, now: float) -> Iterator[str]:
        """What an operator should do something about."""
        if now < self.begins:
            yield f"is not valid before {day(self.begins)}"
        if now >= self.expires:
            yield f"expired on {day(self.expires)}"
        elif now > self.late:
            yield f"expires on {day(self.expires)}, in {(self.expires - now) / _DAY:.0f} days"
        with contextlib.suppress(OSError):
            if self.pair.key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                yield f"has a key that every user can read; chmod o-rwx {self.pair.key}"


def read_certificate(pair: Pair) -> Certificate:
    """The certificate of a pair of files. CertificateError."""
    # Slow to import, and only needed where there is a certificate.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    chain, secret = _octets(pair.certificate), _octets(pair.key)
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
        names = _names(found)
    except ValueError as error:
        raise CertificateError(f"{pair.certificate} holds no certificate in PEM") from error
    try:
        key = load_pem_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        raise CertificateError(f"{pair.key} is encrypted; write it without a password") from error
    except ValueError as error:
        raise CertificateError(f"{pair.key} holds no private key in PEM") from error
    of_certificate, of_key = (
        one.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (found, key)
    )
    if of_certificate != of_key:
        raise CertificateError(f"{pair.certificate} and {pair.key} cannot be used together: it is another one's key")
    return Certificate(
        pair=pair,
        names=names,
        algorithm=type(key).__name__.removesuffix("PrivateKey"),
        begins=found.not_valid_before_utc.timestamp(),
        expires=found.not_valid_after_utc.timestamp(),
        pem=chain + b"\n" + secret,
    )


def read_authorities(path: Path) -> bytes:
    """The certificates in a PEM file, one after the other in DER. CertificateError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        return b"".join(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(_octets(path)))
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate in PEM") from error


def pairs_in(folders: Iterable[Path]) -> Iterator[Pair]:
    """The pairs ``FOLDER/NAME/fullchain.pem`` and ``privkey.pem``, by name. A folder that is not there has none."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                if os.path.exists(f"{folder}/{name}/{CHAIN}"):
                    yield Pair(folder / name / CHAIN, folder / name / KEY)


def day(moment: float) -> str:
    """ "2026-03-01", in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def _names(certificate: "Parsed") -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
