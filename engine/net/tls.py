"""TLS contexts: what we offer as a server, what we ask for as a client."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from engine.net import channel_binding

# Mozilla's "intermediate" list, version 5.7. TLS 1.3 suites are the library's own.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"
)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a listener offers: TLS 1.2 and later. OSError (ssl.SSLError among them) when the files are no pair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(certificate, key)
    channel_binding.certified(context, certificate.read_bytes())
    return context


def client_context(*, verify: bool = False) -> ssl.SSLContext:
    """What the relay asks of the next server.

    Opportunistic TLS (RFC 7435) takes any certificate: an unverified encryption is still better than the clear
    text that would follow a refusal. ``verify`` demands a certificate that the system trusts, for the host's name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a listener offers, for stages that ask for it: None where no certificate is configured."""

    context: ssl.SSLContext | None
