"""From names to a certificate on disk, and when it is to be renewed."""

import contextlib
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from engine.acme.challenges import Prover
from engine.acme.client import AcmeError, Answer, Client, problem
from engine.acme.jose import base64url
from engine.acme.store import Store, key_pem
from engine.net.certificates import Certificate, CertificateError, pairs_in, read_certificate
from engine.storage.environment import StorageError
from engine.storage.ownership import held


@dataclass(frozen=True, slots=True)
class Settings:
    """Where certificates come from, and how we prove whose they are."""

    directory: str
    email: str
    challenge: str
    hook: tuple[str, ...]
    trust: Path | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names of a certificate, and what there is of it."""

    names: tuple[str, ...]
    certificate: Certificate | None


class Applicant:
    """Applies for certificates (RFC 8555 7.4), for a data folder. It blocks: use a thread. AcmeError, OSError."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self._settings = settings
        self.store = Store(data)

    def wanted(self, domains: Sequence[str]) -> dict[str, Wanted]:
        """What there should be, by folder: one for each domain, and all that is there already."""
        found = {}
        for domain in domains:
            found[self.store.pair(domain).certificate.parent.name] = Wanted((domain,), None)
        for pair in pairs_in([self.store.certificates]):
            with contextlib.suppress(CertificateError):
                certificate = read_certificate(pair)
                found[pair.certificate.parent.name] = Wanted(certificate.names, certificate)
        return found

    def issue(self, names: Sequence[str], folder: str) -> Certificate:
        """A certificate for the names, put into the folder of this name."""
        try:
            key, chain = self._obtain(names)
            if x509.load_pem_x509_certificates(chain)[0].public_key() != key.public_key():
                raise ValueError("the certificate is for another key")
            return read_certificate(self.store.keep(folder, chain, key_pem(key)))
        except (LookupError, TypeError, ValueError, CertificateError) as error:
            raise AcmeError(f"what the authority has sent cannot be used: {error}") from error

    def renew_at(self, certificate: Certificate) -> float:
        """When it should be renewed, as Unix time: as the authority says (RFC 9773), else with a third of it left."""
        window = None
        with contextlib.suppress(AcmeError, LookupError, ValueError, x509.ExtensionNotFound):
            window = self._client().renewal_window(_identity(certificate))
        return moment_in(window, certificate)

    def _obtain(self, names: Sequence[str]) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        settings = self._settings
        with ExitStack() as stack:
            self._hold(stack)
            client = self._client()
            prover = Prover(settings.challenge, self.store, settings.hook, stack)
            url, order = client.order(names)
            for authorization in order["authorizations"]:
                self._prove(client, prover, authorization)
            key = ec.generate_private_key(ec.SECP256R1())
            client.finalize(order["finalize"], _request(names, key))
            done = client.wait(url, ("pending", "ready", "processing"))
            if done.get("status") != "valid":
                raise AcmeError(f"the order is {done.get('status')}: {problem(done.get('error', {}))}")
            return key, client.certificate(done["certificate"])

    def _client(self) -> Client:
        settings = self._settings
        return Client(settings.directory, self.store.account_key(), email=settings.email, trust=settings.trust)

    def _hold(self, stack: ExitStack) -> None:
        """One at a time: answers to challenges are put into one place."""
        try:
            stack.callback(os.close, held(self.store.lock))
        except StorageError as error:
            raise AcmeError("another certificate is being issued; try again when it is done") from error

    @staticmethod
    def _prove(client: Client, prover: Prover, url: str) -> None:
        authorization = client.look(url)
        if authorization["status"] == "valid":  # by an order before this one
            return
        name = authorization["identifier"]["value"]
        challenge = next((one for one in authorization["challenges"] if one["type"] == prover.kind), None)
        if challenge is None:
            offered = ", ".join(one["type"] for one in authorization["challenges"])
            raise AcmeError(f"the authority does not take {prover.kind} for {name}, but {offered}")
        prover.prepare(name, challenge["token"], client.authorization(challenge["token"]))
        client.begin(challenge["url"])
        done = client.wait(url, ("pending", "processing"))
        if done["status"] != "valid":
            raise AcmeError(f"{name}: {'; '.join(_reasons(done)) or done['status']}")


def moment_in(window: tuple[str, str] | None, certificate: Certificate) -> float:
    """A moment at random in the window, so that not all in the world come at once."""
    if window is None:
        lifetime = certificate.expires - certificate.begins
        start, end = certificate.expires - lifetime / 3, certificate.expires - 0.3 * lifetime
    else:
        start, end = (datetime.fromisoformat(text).timestamp() for text in window)
    return random.Random(certificate.pem).uniform(start, end)  # the same one each time


def _reasons(authorization: Answer) -> Iterator[str]:
    for challenge in authorization.get("challenges", ()):
        if "error" in challenge:
            yield problem(challenge["error"])


def _request(names: Sequence[str], key: ec.EllipticCurvePrivateKey) -> str:
    """The certificate signing request (RFC 2986) for the names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    asked = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return base64url(asked.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


def _identity(certificate: Certificate) -> str:
    """How the authority is asked about it (RFC 9773 4.1)."""
    found = x509.load_pem_x509_certificates(certificate.pem)[0]
    authority = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    serial = found.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{base64url(authority)}.{base64url(octets)}"
