"""What a login can be bound to, so that it is worth nothing on any other channel (RFC 5056)."""

import hashlib
import ssl
import weakref

import trio

_EXPORTER, _END_POINT = "tls-exporter", "tls-server-end-point"

# Python tells what certificate the peer has sent, never our own.
_certificates: "weakref.WeakKeyDictionary[ssl.SSLContext, set[bytes]]" = weakref.WeakKeyDictionary()


def certified(context: ssl.SSLContext, pem: bytes) -> None:
    """Note that ``context`` shows the certificate which stands first in ``pem``."""
    _certificates.setdefault(context, set()).add(_end_point(pem))


def bindings(stream: "trio.SSLStream[trio.SocketStream]") -> dict[str, bytes]:
    """By type: "tls-exporter" (RFC 9266) where Python has it, "tls-server-end-point" (RFC 5929 4).

    Not the latter where a context has several certificates, since nobody says which of them was shown.
    """
    found = {}
    if _EXPORTER in ssl.CHANNEL_BINDING_TYPES:
        found[_EXPORTER] = stream.get_channel_binding(_EXPORTER) or b""
    shown = _certificates.get(stream.context, set())
    if len(shown) == 1:
        found[_END_POINT] = next(iter(shown))
    return {name: octets for name, octets in found.items() if octets}


def bindings_of_server(stream: "trio.SSLStream[trio.SocketStream]") -> dict[str, bytes]:
    """The same for a client's side, which has been shown a certificate."""
    found = {}
    if _EXPORTER in ssl.CHANNEL_BINDING_TYPES:
        found[_EXPORTER] = stream.get_channel_binding(_EXPORTER) or b""
    if shown := stream.getpeercert(binary_form=True):
        found[_END_POINT] = _end_point(ssl.DER_cert_to_PEM_cert(shown).encode())
    return {name: octets for name, octets in found.items() if octets}


def _end_point(pem: bytes) -> bytes:
    """The hash of a certificate, by that of its signature; empty for a signature without one, such as Ed25519's."""
    # Slow to import, and only needed where there is a certificate.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = x509.load_pem_x509_certificates(pem)[0]
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return b""
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()
