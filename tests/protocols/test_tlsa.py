"""TLSA records against real certificates."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.ber import Malformed
from engine.protocols.tlsa import Tlsa, end_entity, public_key, trust_anchors, usable
from tests.support.authorities import BETWEEN, OTHER, ROOT, Server, der, tlsa

SERVER = Server("mx.example.com", by=BETWEEN)
CHAIN = [SERVER.der, der(BETWEEN.cert_pem.bytes()), der(ROOT.cert_pem.bytes())]


def record(text: str) -> Tlsa:
    usage, selector, matching, data = text.split()
    return Tlsa(int(usage), int(selector), int(matching), bytes.fromhex(data))


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_certificate_fits_its_own_record_and_no_other(selector: int, matching: int) -> None:
    ours = record(tlsa(3, selector, matching, SERVER.der))
    assert ours.usable
    assert ours.fits(SERVER.der)
    assert not ours.fits(CHAIN[1])
    assert end_entity([ours], SERVER.der)
    assert not end_entity([ours._replace(usage=2)], SERVER.der)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ecdsa", "ed25519", "rsa"],
)
def test_the_public_key_stands_in_the_certificate_as_it_is(key: ec.EllipticCurvePrivateKey) -> None:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 2**150, now, now + datetime.timedelta(1))
    made = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    wanted = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key(made.public_bytes(Encoding.DER)) == wanted


@given(st.integers(0, len(SERVER.der) - 1), st.binary(max_size=5))
def test_no_octets_break_it(place: int, octets: bytes) -> None:
    for broken in (SERVER.der[:place], SERVER.der[:place] + octets + SERVER.der[place + len(octets) :]):
        try:
            public_key(broken)
        except Malformed:
            continue


UNUSABLE = [
    Tlsa(0, 1, 1, b"x" * 32),  # RFC 7672 3.1.3
    Tlsa(1, 1, 1, b"x" * 32),
    Tlsa(4, 1, 1, b"x" * 32),
    Tlsa(255, 1, 1, b"x" * 32),
    Tlsa(3, 2, 1, b"x" * 32),
    Tlsa(3, 1, 3, b"x" * 32),
    Tlsa(3, 1, 1, b"x" * 31),
    Tlsa(3, 1, 2, b"x" * 32),
    Tlsa(3, 1, 0, b""),
]


@pytest.mark.parametrize("wrong", UNUSABLE, ids=str)
def test_what_cannot_be_used(wrong: Tlsa) -> None:
    assert usable([wrong]) == ()


def test_of_digests_the_strongest_counts() -> None:
    """RFC 7671 9."""
    weak, strong, whole = (Tlsa(3, 1, 1, b"x" * 32), Tlsa(3, 1, 2, b"x" * 64), Tlsa(3, 1, 0, b"x"))
    other = Tlsa(2, 1, 1, b"x" * 32)
    assert set(usable([weak, strong, whole, other])) == {strong, whole, other}
    assert usable([weak, weak]) == (weak,)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_authorities_are_found_among_what_is_shown(selector: int, matching: int) -> None:
    for authority in CHAIN[1:]:
        assert trust_anchors([record(tlsa(2, selector, matching, authority))], CHAIN) == (authority,)


def test_an_authority_need_not_be_shown_where_the_record_has_all_of_it() -> None:
    assert trust_anchors([record(tlsa(2, 0, 0, CHAIN[2]))], CHAIN[:1]) == (CHAIN[2],)


@pytest.mark.parametrize(
    "text",
    [
        tlsa(2, 1, 1, SERVER.der),
        tlsa(3, 1, 1, CHAIN[1]),
        tlsa(2, 1, 1, der(OTHER.cert_pem.bytes())),
    ],
    ids=["itself", "another usage", "somebody else"],
)
def test_what_is_no_authority(text: str) -> None:
    """The server's own certificate is none, whatever its usage says."""
    assert trust_anchors([record(text)], CHAIN) == ()
