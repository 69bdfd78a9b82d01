"""Certificates of all kinds for servers that are tried: good, expired, for others, with authorities between."""

import datetime
import hashlib
import ssl
import tempfile

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

ROOT = trustme.CA()
BETWEEN = ROOT.create_child_ca()
OTHER = trustme.CA()

_NOW = datetime.datetime.now(datetime.UTC)
PAST = {"not_before": _NOW - datetime.timedelta(days=20), "not_after": _NOW - datetime.timedelta(days=10)}


class Server:
    """A certificate for these names, and the context of a server that shows it. ``PAST`` makes it expired."""

    def __init__(self, *names: str, by: trustme.CA = ROOT, **validity: datetime.datetime) -> None:
        issued = by.issue_cert(*names, **validity)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(self.context)
        self.pem = issued.cert_chain_pems[0].bytes()
        self.chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self.key = issued.private_key_pem.bytes()
        self.der = der(self.pem)

    def show(self, *more: trustme.CA) -> "Server":
        """Show these authorities as well, as DANE-TA wants it (RFC 7672 3.1.2)."""
        self.chain += b"".join(authority.cert_pem.bytes() for authority in more)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.chain + b"\n" + self.key)
            file.flush()
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(file.name)
        return self


def der(pem: bytes) -> bytes:
    return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def tlsa(usage: int, selector: int, matching: int, certificate: bytes) -> str:
    """The text of a record for a certificate in DER, by another way than ours."""
    chosen = certificate
    if selector == 1:
        key = load_der_x509_certificate(certificate).public_key()
        chosen = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data = {0: chosen, 1: hashlib.sha256(chosen).digest(), 2: hashlib.sha512(chosen).digest()}[matching]
    return f"{usage} {selector} {matching} {data.hex()}"
