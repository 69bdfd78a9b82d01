"""Key records: RFC 6376 3.6.1, RFC 8301, RFC 8463 4."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.authentication.keys import RECORD_LIMIT, KeyRecord, find_keys, parse_record
from engine.authentication.outcome import Failure
from tests.authentication.letters import ed25519, public, record, rsa
from tests.authentication.zone import TROUBLE, Asked

RSA, ED = public(rsa()), public(ed25519())
PKCS1 = b64encode(rsa().public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()


def rsa_of(bits: int) -> str:
    """p= with a number of so many bits, which nobody can sign for."""
    numbers = RSAPublicNumbers(65537, (1 << bits - 1) + 1)
    octets = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(octets).decode()


def elliptic() -> str:
    octets = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    return b64encode(octets).decode()


USABLE = [
    f"v=DKIM1; k=rsa; p={RSA}",
    f"p={RSA}",
    f" v = DKIM1 ;\tp = {RSA[:50]} {RSA[50:]}\t; ",
    f"v=DKIM1; p={PKCS1}",
    f"v=DKIM1; g=*; p={RSA}; x=unknown",
    f"v=DKIM1; n=some =3B notes; p={RSA}",
    f"v=DKIM1; h=sha256; p={RSA}",
    f"v=DKIM1; h=sha1 : sha256:other; p={RSA}",
    f"v=DKIM1; s=*; p={RSA}",
    f"v=DKIM1; s=other:email; p={RSA}",
    f"v=DKIM1; t=; p={RSA}",
    f"v=DKIM1; p={rsa_of(1024)}",
    f"v=DKIM1; p={rsa_of(8192)}",
]

NOT_USABLE = [
    ("", "permerror", "no p="),
    ("v=DKIM1", "permerror", "no p="),
    ("v=DKIM1; k=rsa; p=", "permerror", "revoked"),
    (f"v=DKIM2; p={RSA}", "permerror", "v=DKIM1"),
    (f"v=dkim1; p={RSA}", "permerror", "v=DKIM1"),
    (f"v=DKIM1: g=*; p={RSA}", "permerror", "v=DKIM1"),
    (f"p={RSA}; v=DKIM1", "permerror", "v=DKIM1"),
    (f"v=DKIM1; k=poem; p={RSA}", "permerror", "poem"),
    (f"v=DKIM1; k=ed25519; p={ED}", "permerror", "for ed25519"),
    (f"v=DKIM1; k=ed25519; p={RSA}", "permerror", "broken"),
    (f"v=DKIM1; k=rsa; p={ED}", "permerror", "broken"),
    (f"v=DKIM1; p={elliptic()}", "permerror", "no RSA key"),
    (f"v=DKIM1; p={RSA[:-40]}", "permerror", "broken"),
    ("v=DKIM1; p=&&&&", "permerror", "no base64"),
    ("v=DKIM1; p=ü", "permerror", "no base64"),
    (f"v=DKIM1; h=sha1; p={RSA}", "permerror", "sha256"),
    (f"v=DKIM1; h=; p={RSA}", "permerror", "sha256"),
    (f"v=DKIM1; s=tlsrpt; p={RSA}", "permerror", "not for mail"),
    (f"v=DKIM1; p={RSA}; p={RSA}", "permerror", "twice"),
    (f"v=DKIM1; p={RSA}; nonsense", "permerror", "tag=value"),
    (f"v=DKIM1; ; p={RSA}", "permerror", "tag=value"),
    (f"v=DKIM1; p={rsa_of(512)}", "policy", "512 bits"),
    (f"v=DKIM1; p={rsa_of(1023)}", "policy", "1023 bits"),
    (f"v=DKIM1; p={rsa_of(16384)}", "policy", "16384 bits"),
    (f"v=DKIM1; p={RSA}; n=" + "a" * RECORD_LIMIT, "permerror", "octets"),
]


async def found(text: str, algorithm: str = "rsa-sha256") -> tuple[KeyRecord, ...] | Failure:
    return await find_keys(Asked({"s._domainkey.d.test": text.encode()}), "d.test", "s", algorithm)


@pytest.mark.parametrize("text", USABLE)
async def test_usable(text: str) -> None:
    keys = await found(text)
    assert isinstance(keys, tuple)
    assert (len(keys), keys[0].kind, keys[0].testing, keys[0].exact_domain) == (1, "rsa", False, False)


@pytest.mark.parametrize(("text", "result", "reason"), NOT_USABLE)
async def test_not_usable(text: str, result: str, reason: str) -> None:
    failure = await found(text)
    assert isinstance(failure, Failure)
    assert failure.result == result
    assert reason in failure.text


async def test_ed25519() -> None:
    keys = await found(f"v=DKIM1; k=ed25519; t=y:s; p={ED}", "ed25519-sha256")
    assert isinstance(keys, tuple)
    assert (keys[0].kind, keys[0].bits, keys[0].testing, keys[0].exact_domain) == ("ed25519", 256, True, True)
    assert isinstance(await found(f"v=DKIM1; p={RSA}", "ed25519-sha256"), Failure)


async def test_what_the_dns_says() -> None:
    assert await find_keys(Asked({}), "d.test", "s", "rsa-sha256") == (
        "permerror",
        "there is no key s._domainkey.d.test",
    )
    trouble = await find_keys(Asked({"s._domainkey.d.test": TROUBLE}), "d.test", "s", "rsa-sha256")
    assert trouble == ("temperror", "no server answers")
    empty = await find_keys(Asked({"s._domainkey.d.test": ()}), "d.test", "s", "rsa-sha256")
    assert empty == ("permerror", "there is no key s._domainkey.d.test")


async def test_several_records() -> None:
    """RFC 6376 6.1.2, step 4: they may be tried one after the other; a few of them."""
    records = (b"not a key", record(ed25519()), record(rsa()), record(rsa(1024)), record(rsa()))
    keys = await find_keys(Asked({"s._domainkey.d.test": records}), "d.test", "s", "rsa-sha256")
    assert isinstance(keys, tuple)
    assert [key.bits for key in keys] == [2048, 1024]


def test_a_record_is_parsed_once() -> None:
    assert parse_record(record(rsa())) is parse_record(record(rsa()))
