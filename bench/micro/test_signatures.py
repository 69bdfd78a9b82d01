"""DKIM and ARC of a letter of 4 KiB: to sign, to verify, to seal; keys and their records known, no DNS."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.micro.loop import Loop
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter
from engine.authentication.canonical import BodyForm, digest_body_now
from engine.authentication.dkim import sign, verify
from engine.authentication.fields import split_message
from engine.authentication.outcome import Result
from engine.authentication.sealer import seal
from engine.authentication.signatures import Signatures
from engine.authentication.signer import Signer
from engine.net.dns import Answer, NoSuchName, Outcome

pytestmark = pytest.mark.benchmark(group="Signatures of a letter of 4 KiB")

NOW = 1_760_000_000
MESSAGES = 64  # in a round
RSA = Signer("sender.test", "rsa", generate_private_key(65537, 2048))
ED25519 = Signer("sender.test", "ed", Ed25519PrivateKey.generate())
LETTER = letter(4 * KIB).replace(b"DKIM-Signature:", b"X-Signature:")  # of a key that nobody has
KEYS = pytest.mark.parametrize(
    ("name", "signers"), [("RSA-2048", [RSA]), ("Ed25519", [ED25519]), ("both", [RSA, ED25519])]
)


def record(signer: Signer) -> bytes:
    if isinstance(signer.key, Ed25519PrivateKey):
        return b"v=DKIM1; k=ed25519; p=" + b64encode(signer.key.public_key().public_bytes_raw())
    octets = signer.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; p=" + b64encode(octets)


RECORDS = {f"{signer.selector}._domainkey.{signer.domain}": record(signer) for signer in (RSA, ED25519)}


async def ask(name: str, _: str) -> Outcome[bytes]:
    return Answer((RECORDS[name],), 0.0) if name in RECORDS else NoSuchName(0.0)


def signed(signers: list[Signer]) -> bytes:
    fields, body = split_message([LETTER])
    return sign(fields, body, signers, NOW)


@KEYS
def test_sign(measure: Measure, name: str, signers: list[Signer]) -> None:
    own = measure(f"sign, {name}", signed, signers)
    assert own.count(b"DKIM-Signature:") == len(signers)


@KEYS
def test_verify(measure: Measure, loop: Loop[None], name: str, signers: list[Signer]) -> None:
    octets = signed(signers) + LETTER

    async def verify_all() -> list[Result]:
        for _ in range(MESSAGES):
            fields, body = split_message([octets])
            found = await verify(fields, body, ask, NOW)
        return [each.result for each in found]

    results = measure(f"verify, {name}", loop.run, verify_all, operations=MESSAGES)
    assert results == [Result.PASS] * len(signers)


def test_seal(measure: Measure) -> None:
    own = measure("seal, RSA-2048", sealed)
    assert own.startswith(b"ARC-Seal: i=1;")


def sealed() -> bytes:
    fields, body = split_message([LETTER])
    return seal(fields, body, RSA, "sender.test; dkim=pass header.d=sender.test", chain=Result.NONE, now=NOW)


def test_verify_both(measure: Measure, loop: Loop[None]) -> None:
    octets = sealed() + signed([RSA, ED25519]) + LETTER

    async def verify_all() -> list[Result]:
        for _ in range(MESSAGES):
            fields, body = split_message([octets])
            found = Signatures(fields)
            await found.check(body, ask, NOW)
        return [*(signature.result for signature in found.dkim), found.arc.result]

    results = measure("verify both and a chain of one set", loop.run, verify_all, operations=MESSAGES)
    assert results == [Result.PASS] * 3


@pytest.mark.parametrize(("name", "relaxed"), [("simple", False), ("relaxed", True)])
def test_large_body(measure: Measure, name: str, *, relaxed: bool) -> None:
    chunk = letter(64 * KIB)
    digests = measure(f"hash a MiB of body, {name}", digest_body_now, [chunk] * 16, [BodyForm(relaxed)])
    assert digests[BodyForm(relaxed)].size > 1000 * KIB
