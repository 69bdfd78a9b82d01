"""DKIM keys in a data folder that need not be made first."""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.signing import KeyStore
from engine.storage.files import write
from tests.authentication.letters import ed25519, rsa


def put_keys(data: Path, *domains: str, standing: str = "signing") -> KeyStore:
    """Put the keys ``rsa`` and ``ed`` of the test letters there for each domain."""
    store = KeyStore(data)
    for domain in domains:
        for selector, key in (("rsa", rsa()), ("ed", ed25519())):
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write(store.folder / domain / standing / f"{selector}.pem", pem)
    return store
