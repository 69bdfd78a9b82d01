"""Challenges: how each kind is proven (RFC 8555 8, RFC 8737), and the listeners that answer two of them."""

import hashlib
import re
import ssl
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from engine.acme.client import AcmeError
from engine.acme.jose import base64url
from engine.acme.store import Store, key_pem
from engine.net.connection import Connection, ConnectionLost
from engine.observe.events import event

PROTOCOL = "acme-tls/1"
"""Who asks for this by ALPN wants the proof, and nothing else (RFC 8737 6.2)."""

_PROOF = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier, RFC 8737 6.1
_REQUEST = re.compile(rb"GET /\.well-known/acme-challenge/([A-Za-z0-9_-]+) HTTP/1\.[01]\r\n")

_SIZE = 8192
"""Octets of an HTTP request."""

_SECONDS = 20.0
"""For a whole visit of the authority."""

_HOOK = 600.0
"""Seconds for the hook, which may have to wait until every name server has the record."""


class Prover:
    """Prepares answers of one kind. Leaving the ``stack`` takes them away again. AcmeError."""

    def __init__(self, kind: str, store: Store, hook: Sequence[str], stack: ExitStack) -> None:
        self.kind = kind
        self._store = store
        self._hook = hook
        self._stack = stack
        stack.callback(store.clear)

    def prepare(self, name: str, token: str, authorization: str) -> None:
        """Be ready to answer for ``name``."""
        ways: dict[str, Callable[[], None]] = {
            "http-01": lambda: self._store.put_token(token, authorization),
            "tls-alpn-01": lambda: self._store.put_face(name, _face(name, authorization)),
            "dns-01": lambda: self._prepare_record(name, authorization),
        }
        ways[self.kind]()

    def _prepare_record(self, name: str, authorization: str) -> None:
        record, value = f"_acme-challenge.{name}", base64url(_digest(authorization))
        self._run("add", record, value)
        self._stack.callback(self._run, "remove", record, value)

    def _run(self, *arguments: str) -> None:
        command = [*self._hook, *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_HOOK, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AcmeError(f"the hook {command[0]}: {getattr(error, 'strerror', None) or error}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise AcmeError(f"the hook {' '.join(command)} ended with {done.returncode}: {said}")


def _digest(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode()).digest()


def _face(name: str, authorization: str) -> bytes:
    """The certificate that proves it, made by ourselves, with its key (RFC 8737 3)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.UnrecognizedExtension(_PROOF, b"\x04\x20" + _digest(authorization)), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM) + key_pem(key)


class Responder:
    """Gives the answers that lie ready, whoever has prepared them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._front.sni_callback = self._pick

    async def serve(self, listener: str, connection: Connection) -> None:
        """One visit of the authority."""
        with trio.move_on_after(_SECONDS):
            try:
                await (self._serve_tls if listener == "acme_tls" else self._serve_http)(connection)
            except ConnectionLost as error:
                event("handshake-failed", listener=listener, peer=connection.peer, error=str(error))

    async def _serve_http(self, connection: Connection) -> None:
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _SIZE:
            octets = await connection.receive()
            if not octets:
                return
            request += octets
        asked = _REQUEST.match(request)
        answer = self._store.token(asked[1].decode()) if asked else None
        status = "200 OK" if answer is not None else "404 Not Found"
        body = answer or b""
        await connection.send(
            f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        await connection.close_gently()

    async def _serve_tls(self, connection: Connection) -> None:
        await connection.start_tls(self._front, server_side=True)
        await connection.close_gently()

    def _pick(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        face = self._store.face((name or "").lower())
        if face is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols([PROTOCOL])
        context.load_cert_chain(face)
        connection.context = context
        return None
