"""DKIM keys of our own: made, published, in force, replaced (RFC 6376, RFC 8463)."""

from engine.signing.keyring import Keyring
from engine.signing.store import KEPT, KeyStore, Standing, StoredKey

__all__ = ["KEPT", "KeyStore", "Keyring", "Standing", "StoredKey"]
