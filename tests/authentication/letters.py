"""Letters that are signed and sealed as a test wants it, also against the rules."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.authentication.fields import Field
from engine.authentication.signature import unsigned
from engine.authentication.signer import PrivateKey, Signer, signed_field
from tests.authentication import reference

NOW = 1_800_000_000
HEADER = [
    b"Received: from client.example.com by mail.example.com; Fri, 15 Jan 2027 08:00:00 +0000\r\n",
    b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
    b"From: Ada <ada@example.com>\r\n",
    b"To: Bob <bob@example.net>\r\n",
    b"Subject: Dinner\r\n",
    b"MIME-Version: 1.0\r\n",
]
NAMES = "from:to:date:subject:mime-version"
BODY = b"Hi Bob,\r\n\r\nare you  hungry?\r\n\r\n"


@cache
def rsa(bits: int = 2048) -> RSAPrivateKey:
    return generate_private_key(65537, bits)


@cache
def ed25519() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def public(key: PrivateKey) -> str:
    """The value of p= for a key."""
    if isinstance(key, RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(octets).decode()


def record(key: PrivateKey, extra: str = "") -> bytes:
    kind = "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"
    return f"v=DKIM1; k={kind}; {extra}p={public(key)}".encode()


def rsa_signer(domain: str = "example.com", selector: str = "rsa") -> Signer:
    return Signer(domain, selector, rsa())


def ed25519_signer(domain: str = "example.com", selector: str = "ed") -> Signer:
    return Signer(domain, selector, ed25519())


def records(domain: str = "example.com") -> dict[str, bytes]:
    return {f"rsa._domainkey.{domain}": record(rsa()), f"ed._domainkey.{domain}": record(ed25519())}


def body_hash(body: bytes = BODY, *, relaxed: bool = True) -> str:
    return b64encode(hashlib.sha256(reference.body(body, relaxed=relaxed)).digest()).decode()


def changed(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Tags with others in the place of some; those that are None now are left out."""
    return [(name, value) for name, value in {**tags, **changes}.items() if value is not None]


def names_in(tags: Sequence[tuple[str, str]]) -> list[str]:
    return [name.strip() for name in dict(tags).get("h", "").split(":")]


def signed(
    changes: Mapping[str, str | None], header: Sequence[bytes] = HEADER, *, signer: Signer | None = None
) -> bytes:
    """A letter whose DKIM-Signature has some tags changed, and fits what it says of the header (relaxed)."""
    signer = signer or rsa_signer()
    usual = {
        "v": "1", "a": signer.algorithm, "c": "relaxed/relaxed", "d": signer.domain, "s": signer.selector,
        "h": NAMES, "bh": body_hash(),
    }  # fmt: skip
    tags = changed(usual, changes)
    field = signed_field("DKIM-Signature", tags, reference.chosen(list(header), names_in(tags)), signer)
    return field.octets + b"".join(header) + b"\r\n" + BODY


def sealed(
    header: Sequence[bytes],
    instance: int,
    *,
    results: str | None = None,
    signature: Mapping[str, str | None] = {},
    seal: Mapping[str, str | None] = {},
    signer: Signer | None = None,
) -> list[bytes]:
    """The header with one more ARC set on top, with some tags changed, all of which the seal covers."""
    signer = signer or rsa_signer()
    tags = {"i": str(instance), "a": signer.algorithm, "d": signer.domain, "s": signer.selector, "t": "12345"}
    own_results = f"ARC-Authentication-Results: {results or f'i={instance}; example.com; spf=pass'}\r\n".encode()
    usual = {**tags, "c": "relaxed/relaxed", "h": NAMES, "bh": body_hash()}
    signature_tags = changed(usual, signature)
    covered = reference.chosen([own_results, *header], names_in(signature_tags))
    message_signature = signed_field("ARC-Message-Signature", signature_tags, covered, signer).octets
    seal_tags = changed({**tags, "cv": "none" if instance == 1 else "pass"}, seal)
    older = reversed([field for field in header if field[:4].lower() == b"arc-"])  # each set was put on top
    before = b"".join(map(reference.relaxed_field, [*older, own_results, message_signature]))
    return [signed_field("ARC-Seal", seal_tags, before, signer).octets, message_signature, own_results, *header]


def chain(sets: int) -> list[bytes]:
    header = list(HEADER)
    for instance in range(1, sets + 1):
        header = sealed(header, instance)
    return header


def letter(header: Sequence[bytes], body: bytes = BODY) -> bytes:
    return b"".join(header) + b"\r\n" + body


def signed_itself(field: bytes) -> bytes:
    """What of a field that signs is signed, relaxed."""
    return unsigned(Field("", field), relaxed=True)
