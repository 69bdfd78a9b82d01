"""Channel bindings: what both sides of a TLS connection find, each by its own means."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engine.net import channel_binding
from engine.net.certificates import Pair, read_certificate
from engine.net.connection import Connection
from engine.net.tls import server_context


def self_signed(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, digest: hashes.HashAlgorithm | None) -> bytes:
    """A certificate with its key, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.org")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return builder.sign(key, digest).public_bytes(Encoding.PEM) + secret  # type: ignore[arg-type]


def certified_context(pem: Path) -> ssl.SSLContext:
    return server_context(read_certificate(Pair(pem, pem)))


async def met(context: ssl.SSLContext) -> tuple[dict[str, bytes], bytes]:
    """The bindings that a server finds, and the certificate that its client sees."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    found: dict[str, bytes] = {}

    async def serve() -> None:
        accepted, _ = await listener.accept()
        connection = Connection.of(accepted)
        assert connection.channel.bindings == {}
        await connection.start_tls(context, server_side=True)
        found.update(connection.channel.bindings)
        await connection.send(b"x")
        connection.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        client = trio.SSLStream(
            await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1]), careless, https_compatible=True
        )
        await client.receive_some(1)
        shown = client.getpeercert(binary_form=True)
        await client.aclose()
    listener.close()
    return found, shown


@pytest.mark.parametrize(("signed", "bound"), [("sha256", "sha256"), ("sha384", "sha384"), ("sha512", "sha512")])
async def test_the_hash_of_the_certificate_is_that_of_its_signature(tmp_path: Path, signed: str, bound: str) -> None:
    """RFC 5929 4.1."""
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / "both.pem").write_bytes(self_signed(key, getattr(hashes, signed.upper())()))
    found, shown = await met(certified_context(tmp_path / "both.pem"))
    assert found == {"tls-server-end-point": hashlib.new(bound, shown).digest()}


async def test_a_signature_without_a_hash_binds_nothing(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(self_signed(ed25519.Ed25519PrivateKey.generate(), None))
    found, _ = await met(certified_context(tmp_path / "both.pem"))
    assert found == {}


def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert("mx.example.org")


async def test_of_two_certificates_none_is_the_one() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for issued in (certificate(), certificate()):
        issued.configure_cert(context)
        channel_binding.certified(context, issued.cert_chain_pems[0].bytes())
    found, _ = await met(context)
    assert found == {}


async def test_the_context_that_was_picked_by_name_counts() -> None:
    front, picked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    one, other = certificate(), certificate()
    for context, issued in ((front, one), (picked, other)):
        issued.configure_cert(context)
        channel_binding.certified(context, issued.cert_chain_pems[0].bytes())

    def pick(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = picked

    front.sni_callback = pick
    found, shown = await met(front)
    assert found == {"tls-server-end-point": hashlib.sha256(shown).digest()}
    assert ssl.DER_cert_to_PEM_cert(shown).encode().split() == other.cert_chain_pems[0].bytes().split()


def test_the_exporter_where_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def get_channel_binding(self, name: str) -> bytes:
            return name.encode()

    monkeypatch.setattr(ssl, "CHANNEL_BINDING_TYPES", ["tls-unique", "tls-exporter"])
    assert channel_binding.bindings(Stream()) == {"tls-exporter": b"tls-exporter"}  # type: ignore[arg-type]
