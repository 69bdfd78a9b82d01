"""The ACME client against an authority that says what the test wants, and its signatures by the RFCs' examples."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from engine.acme.client import AcmeError, Client
from engine.acme.issuing import _identity, moment_in
from engine.acme.jose import jwk, signed
from engine.net.certificates import Certificate, Pair
from tests.support.programs import Certificates

# RFC 7515 A.3.1
X, Y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEY = ec.derive_private_key(int.from_bytes(octets(D), "big"), ec.SECP256R1())


def test_the_public_key() -> None:
    assert list(jwk(KEY).items()) == [("crv", "P-256"), ("kty", "EC"), ("x", X), ("y", Y)]


@pytest.mark.parametrize("payload", [{"a": 1}, {}, None])
def test_a_signature_that_verifies(payload: dict[str, Any] | None) -> None:
    found = json.loads(signed(KEY, {"url": "https://example.org/x"}, payload))
    assert json.loads(octets(found["protected"])) == {"alg": "ES256", "url": "https://example.org/x"}
    assert found["payload"] == "" if payload is None else json.loads(octets(found["payload"])) == payload
    r, s = (int.from_bytes(half, "big") for half in (octets(found["signature"])[:32], octets(found["signature"])[32:]))
    signed_text = f"{found['protected']}.{found['payload']}".encode()
    KEY.public_key().verify(encode_dss_signature(r, s), signed_text, ec.ECDSA(hashes.SHA256()))


class Authority(ThreadingHTTPServer):
    """Knows a directory and an account; every other answer is what ``answers`` has for the path: (status, octets)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        own = Certificates(folder, "localhost")
        self.trust = own.authority
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_address[1]}"
        names = ("newNonce", "newAccount", "newOrder", "renewalInfo")
        self.answers: dict[str, list[tuple[int, bytes]]] = {
            "/dir": [(200, json.dumps({name: f"{self.url}/{name}" for name in names}).encode())],
            "/newAccount": [(201, b"{}")],
            "/newNonce": [(200, b"")],
        }
        self.asked: list[str] = []

    def client(self) -> Client:
        return Client(f"{self.url}/dir", KEY, email="postmaster@example.org", trust=self.trust)


class _Visit(BaseHTTPRequestHandler):
    server: Authority

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        answers = self.server.answers.get(self.path, [(404, b"no such thing")])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in (("Replay-Nonce", "n"), ("Location", f"{self.server.url}/it"), ("Retry-After", "7")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with Authority(tmp_path / "tls") as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def document(kind: str, detail: str) -> bytes:
    return json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}).encode()


def test_a_refused_nonce_is_tried_again(authority: Authority) -> None:
    bad = (400, document("badNonce", "used already"))
    authority.answers["/newOrder"] = [bad, bad, (201, b'{"status": "pending"}')]
    assert authority.client().order(["mx.example.org"]) == (f"{authority.url}/it", {"status": "pending"})
    authority.answers["/newOrder"] = [bad]
    with pytest.raises(AcmeError, match="refuses every nonce"):
        authority.client().order(["mx.example.org"])


def test_waiting_as_long_as_it_is_told(authority: Authority) -> None:
    authority.answers["/it"] = [(200, b'{"status": "processing"}')] * 3 + [(200, b'{"status": "valid"}')]
    slept: list[float] = []
    found = authority.client().wait(f"{authority.url}/it", ("processing",), slept.append)
    assert found == {"status": "valid"}
    assert slept == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (429, document("rateLimited", "too many"), "rateLimited: too many"),
        (500, b"<html>", "/newOrder answered 500 Internal Server Error"),
        (500, b"[]", "/newOrder answered 500 Internal Server Error"),
        (201, b"<html>", "no JSON"),
        (201, b"[]", "no JSON object"),
    ],
)
def test_what_the_authority_says_is_told(authority: Authority, status: int, body: bytes, text: str) -> None:
    authority.answers["/newOrder"] = [(status, body)]
    with pytest.raises(AcmeError) as caught:
        authority.client().order(["mx.example.org"])
    assert text in str(caught.value)


def test_no_directory(authority: Authority) -> None:
    authority.answers["/dir"] = [(200, b"{}")]
    with pytest.raises(AcmeError, match="no ACME directory at that address: it has no newAccount"):
        authority.client()
    with pytest.raises(AcmeError, match="is not under https"):
        Client("http://localhost/dir", KEY)


def test_the_authority_says_when_to_renew(authority: Authority) -> None:
    window = {"suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"}}
    authority.answers["/renewalInfo/a.b"] = [(200, json.dumps(window).encode())]
    found = authority.client().renewal_window("a.b")
    assert found == ("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z")
    start, end = (datetime.fromisoformat(text).timestamp() for text in found)
    moments = {moment_in(found, certificate(0, 90, bytes([n]))) for n in range(20)}
    assert len(moments) == 20
    assert all(start <= moment <= end for moment in moments)
    authority.answers["/dir"][0] = (200, authority.answers["/dir"][0][1].replace(b"renewalInfo", b"other"))
    assert authority.client().renewal_window("a.b") is None


def certificate(begins: float, expires: float, pem: bytes) -> Certificate:
    day = 86_400.0
    return Certificate(Pair(Path(), Path()), (), "EC", begins * day, expires * day, pem)


def test_when_the_authority_does_not_say() -> None:
    """With a third of its life left, and a little later for some, so that not all come at once."""
    moments = {moment_in(None, certificate(0, 90, bytes([n]))) / 86_400 for n in range(20)}
    assert len(moments) == 20
    assert all(60 <= moment <= 63 for moment in moments)
    assert moment_in(None, certificate(0, 90, b"x")) == moment_in(None, certificate(0, 90, b"x"))


def test_how_the_authority_is_asked_about_a_certificate() -> None:
    """RFC 9773 4.1: the example's key identifier and serial number."""
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(0x87654321)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.AuthorityKeyIdentifier(bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4"), None, None),
            critical=False,
        )
        .sign(KEY, hashes.SHA256())
    )
    assert _identity(certificate(0, 90, built.public_bytes(Encoding.PEM))) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
