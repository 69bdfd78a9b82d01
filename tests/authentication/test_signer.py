"""Private keys as files hold them."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from engine.authentication.signer import load_key
from tests.authentication.letters import ed25519, rsa

# RFC 8301 3.2: nobody makes keys so short any more, neither does the library.
SHORT = """-----BEGIN RSA PRIVATE KEY-----
MIIBOwIBAAJBANmBe10IgY+u7h3enWTukkqtUD5PR52Tb/mPfjC0QJTocVBq6Za/
PlzfV+Py92VaCak19F4WrbVTK5Gg5tW220MCAwEAAQJAYFUKsD+uMlcFu1D3YNaR
EGYGXjJ6w32jYGJ/P072M3yWOq2S1dvDthI3nRT8MFjZ1wHDAYHrSpfDNJ3v2fvZ
cQIhAPgRPmVYn+TGd59asiqG1SZqh+p+CRYHW7B8BsicG5t3AiEA4HYNOohlgWan
8tKgqLJgUdPFbaHZO1nDyBgvV8hvWZUCIQDDdCq6hYKuKeYUy8w3j7cgJq3ih922
2qNWwdJCfCWQbwIgTY0cBvQnNe0067WQIpj2pG7pkHZR6qqZ9SE+AjNTHX0CIQCI
Mgq55Y9MCq5wqzy141rnxrJxTwK9ABo3IAFMWEov3g==
-----END RSA PRIVATE KEY-----
"""


def pem(key: object, form: PrivateFormat, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())  # type: ignore[attr-defined, no-any-return]


def test_rsa() -> None:
    for form in (PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8):
        key = load_key(pem(rsa(), form))
        assert isinstance(key, RSAPrivateKey)
        assert key.private_numbers() == rsa().private_numbers()


def test_ed25519() -> None:
    raw = ed25519().private_bytes_raw()
    for octets in (pem(ed25519(), PrivateFormat.PKCS8), b64encode(raw), b64encode(raw) + b"\n"):
        assert load_key(octets).private_bytes_raw() == raw  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (pem(rsa(), PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")), "without a password"),
        (pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8), "neither RSA nor Ed25519"),
        (SHORT.encode(), "512"),
    ],
)
def test_no_keys(octets: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        load_key(octets)
