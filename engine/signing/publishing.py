"""What the world is to find of our keys: the records, and whether they are in the DNS."""

from base64 import b64encode
from functools import partial

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.authentication.keys import find_keys
from engine.authentication.outcome import Failure
from engine.authentication.signer import PrivateKey, Signer
from engine.net.dns import Ask, side_by_side
from engine.signing.store import KeyStore, Standing, StoredKey


def record_name(domain: str, selector: str) -> str:
    """Where a key is looked for (RFC 6376 3.6.2.1), without the final dot."""
    return f"{selector}._domainkey.{domain}"


def record(key: PrivateKey) -> str:
    """The TXT record for the public half of a key (RFC 6376 3.6.1, RFC 8463 4)."""
    if isinstance(key, RSAPrivateKey):
        kind = "rsa"
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind = "ed25519"
        public = key.public_key().public_bytes_raw()
    return f"v=DKIM1; k={kind}; p={b64encode(public).decode()}"


def zone_line(signer: Signer) -> str:
    """The record as a zone file has it (RFC 1035 5.1)."""
    return f"{record_name(signer.domain, signer.selector)}. IN TXT {txt(record(signer.key))}"


def txt(text: str) -> str:
    """A text without quotes as a TXT record has it: in strings of at most 255 octets (RFC 1035 3.3)."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


async def unpublished(ask: Ask, signer: Signer) -> str:
    """Why verifiers would not find this key in the DNS; empty where they do."""
    found = await find_keys(ask, signer.domain, signer.selector, signer.algorithm)
    if isinstance(found, Failure):
        return found.text
    if any(each.key == signer.key.public_key() for each in found):
        return ""
    return f"{record_name(signer.domain, signer.selector)} holds another key"


async def take_up(store: KeyStore, ask: Ask, domain: str) -> list[StoredKey]:
    """Put the keys of a domain in force that wait, if all of them are published; those that were.

    OSError and ValueError where a key cannot be read.
    """
    waiting = [key for key in store.find(domain) if key.standing is Standing.WAITING]
    lacking = await side_by_side([partial(unpublished, ask, key.signer()) for key in waiting])
    return store.put_in_force(domain) if waiting and not any(lacking) else []
