"""What ACME keeps in the data folder: the account's key, certificates, and the answers to challenges under way."""

import contextlib
import re
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from engine.acme.jose import Key
from engine.net.certificates import CHAIN, ISSUED, KEY, Pair
from engine.storage.files import write

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")  # RFC 8555 8.1: base64url
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


class Store:
    """The folders ``certificates`` and ``acme`` of a data folder.

    Answers lie in files, so that whichever process has the port can give them: the server, or the command itself.
    """

    def __init__(self, data: Path) -> None:
        self.certificates = data / ISSUED
        self.lock = data / "acme"
        self._tokens = data / "acme" / "http-01"
        self._faces = data / "acme" / "tls-alpn-01"

    def account_key(self) -> Key:
        """The account's key, made at the first need."""
        path = self.lock / "account.pem"
        if not path.exists():
            write(path, key_pem(ec.generate_private_key(ec.SECP256R1())))
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def pair(self, name: str) -> Pair:
        """Where the certificate lies whose first name this is."""
        folder = self.certificates / name.replace("*", "_")
        return Pair(folder / CHAIN, folder / KEY)

    def keep(self, name: str, chain: bytes, key: bytes) -> Pair:
        """Put a new certificate in its place. Who reads meanwhile finds two files that do not fit, and looks again."""
        pair = self.pair(name)
        write(pair.key, key)
        write(pair.certificate, chain)
        return pair

    def put_token(self, token: str, answer: str) -> None:
        """ValueError where this is no token, but perhaps a way out of the folder."""
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"{token!r} is no token")
        write(self._tokens / token, answer.encode())

    def token(self, token: str) -> bytes | None:
        """The answer to an HTTP-01 challenge (RFC 8555 8.3); None: that is none of ours."""
        return _read(self._tokens / token) if _TOKEN.fullmatch(token) else None

    def put_face(self, name: str, pem: bytes) -> None:
        """ValueError as above."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name")
        write(self._faces / name, pem)

    def face(self, name: str) -> Path | None:
        """The certificate, with its key, that answers a TLS-ALPN-01 challenge (RFC 8737)."""
        path = self._faces / name
        return path if _NAME.fullmatch(name) and path.exists() else None

    def clear(self) -> None:
        """Forget all answers."""
        for folder in (self._tokens, self._faces):
            shutil.rmtree(folder, ignore_errors=True)


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None
