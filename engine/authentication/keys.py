"""Public keys in the DNS: what a key record says, and whether it may vouch for a signature (RFC 6376 3.6)."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from engine.authentication.outcome import Failure, Result
from engine.authentication.tags import base64, listed, parse_tags, without_space
from engine.net.dns import Answer, Ask, DnsTrouble

LEAST_BITS = 1024
"""RFC 8301 3.2: a signature by a shorter RSA key is not valid."""

MOST_BITS = 8192
"""RFC 8301 3.2 asks for keys up to 4096 bits; the time that a signature takes grows with the square."""

RECORD_LIMIT = 8192
"""Octets of a key record that are read: an RSA key of MOST_BITS takes 1,400 of them."""

RECORDS_LIMIT = 4
"""Records of one name that are tried, where there should be one (RFC 6376 3.6.2.2)."""

_PADDING = PKCS1v15()
_SHA256 = SHA256()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What a usable key record says."""

    key: RSAPublicKey | Ed25519PublicKey
    hashes: frozenset[str] | None = None  # h=; None: all
    services: frozenset[str] = frozenset({"*"})  # s=
    testing: bool = False  # t=y
    exact_domain: bool = False  # t=s: the domain of i= is that of d=

    @property
    def kind(self) -> str:
        """As the first half of a= names it."""
        return "rsa" if isinstance(self.key, RSAPublicKey) else "ed25519"

    @property
    def bits(self) -> int:
        return self.key.key_size if isinstance(self.key, RSAPublicKey) else 256

    def refusal(self, algorithm: str) -> Failure | None:
        """Why this key may not vouch for a signature by ``algorithm``, or None."""
        kind, _, hash_name = algorithm.partition("-")
        if kind != self.kind:
            return Failure(Result.PERMERROR, f"the key is for {self.kind}, the signature is {algorithm}")
        if self.hashes is not None and hash_name not in self.hashes:
            return Failure(Result.PERMERROR, f"the key does not allow {hash_name}")
        if not self.services & {"*", "email"}:
            return Failure(Result.PERMERROR, "the key is not for mail")
        if isinstance(self.key, RSAPublicKey) and not LEAST_BITS <= self.bits <= MOST_BITS:
            return Failure(Result.POLICY, f"the key has {self.bits} bits, not {LEAST_BITS} to {MOST_BITS}")
        return None

    def signed(self, octets: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's of ``octets``, hashed by SHA-256."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, octets, _PADDING, _SHA256)
            else:  # RFC 8463 3: the hash is what is signed
                self.key.verify(signature, hashlib.sha256(octets).digest())
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=1024)  # to parse an RSA key takes as long as to verify by it
def parse_record(octets: bytes) -> KeyRecord | Failure:
    """What a TXT record at ``selector._domainkey.domain`` says (RFC 6376 3.6.1)."""
    if len(octets) > RECORD_LIMIT:
        return Failure(Result.PERMERROR, f"the key record has more than {RECORD_LIMIT} octets")
    try:
        tags = parse_tags(octets)
        if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
            raise ValueError("it does not begin with v=DKIM1")
        if "p" not in tags:
            raise ValueError("it has no p=")
        value = without_space(tags["p"])
        if not value:
            return Failure(Result.PERMERROR, "the key was revoked")
        flags = listed(tags.get("t", ""))
        return KeyRecord(
            _public_key(tags.get("k", "rsa"), base64(value)),
            frozenset(listed(tags["h"])) if "h" in tags else None,
            frozenset(listed(tags.get("s", "*"))),
            testing="y" in flags,
            exact_domain="s" in flags,
        )
    except ValueError as error:
        return Failure(Result.PERMERROR, f"the key record is broken: {error}")


def _public_key(kind: str, octets: bytes) -> RSAPublicKey | Ed25519PublicKey:
    if kind == "ed25519":
        return Ed25519PublicKey.from_public_bytes(octets)  # RFC 8463 4.2: the key alone, ValueError if not 32 octets
    if kind != "rsa":
        raise ValueError(f"keys of the kind {kind} are unknown")
    try:
        key = load_der_public_key(octets)
    except UnsupportedAlgorithm as error:
        raise ValueError("p= holds no RSA key") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("p= holds no RSA key")
    return key


async def find_keys(ask: Ask, domain: str, selector: str, algorithm: str) -> tuple[KeyRecord, ...] | Failure:
    """The keys that may vouch for a signature by ``algorithm``, at least one; usually there is no other."""
    outcome = await ask(f"{selector}._domainkey.{domain}", "TXT")
    if isinstance(outcome, DnsTrouble):
        return Failure(Result.TEMPERROR, outcome.text)
    if not isinstance(outcome, Answer):
        return Failure(Result.PERMERROR, f"there is no key {selector}._domainkey.{domain}")
    judged = [_judged(octets, algorithm) for octets in outcome.records[:RECORDS_LIMIT]]
    keys = tuple(record for record in judged if isinstance(record, KeyRecord))
    return keys or next(failure for failure in judged if isinstance(failure, Failure))


def _judged(octets: bytes, algorithm: str) -> KeyRecord | Failure:
    record = parse_record(octets)
    return record if isinstance(record, Failure) else record.refusal(algorithm) or record
