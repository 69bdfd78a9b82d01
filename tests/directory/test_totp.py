"""The second factor: the examples of RFC 6238, and that each code counts once."""

import time
from pathlib import Path

import pytest

from engine.directory import Embedded, NotFound, totp

ANN = "ann@example.org"
SECRET = b"12345678901234567890"
KEYS = {"sha1": SECRET, "sha256": (SECRET * 2)[:32], "sha512": (SECRET * 4)[:64]}

# RFC 6238, appendix B.
EXAMPLES = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_rfc(example: tuple[int, str, str, str]) -> None:
    moment, *codes = example
    for (digest, key), code in zip(KEYS.items(), codes, strict=True):
        assert totp.code(key, moment // totp.STEP, 8, digest) == code


@pytest.mark.parametrize(("offset", "wanted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_a_little_wrong(offset: int, wanted: bool) -> None:
    step = 40_000_000
    given = totp.code(SECRET, step)
    assert (totp.matching_step(SECRET, given, step * 30 + offset, 0) == step) is wanted


@pytest.mark.parametrize("given", ["", "28708", "2870822", "94287082", "ä", "２８７０８２"])
def test_what_is_no_code(given: str) -> None:
    assert totp.matching_step(SECRET, given, 59, 0) is None


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        directory.add_account(ANN)
        yield directory


def test_a_code_counts_once(directory: Embedded) -> None:
    assert not directory.verify_totp(ANN, "000000")
    assert directory.set_totp(ANN, SECRET).has_totp
    code = totp.code(SECRET, int(time.time()) // totp.STEP)
    assert directory.verify_totp(ANN, code)
    assert not directory.verify_totp(ANN, code)
    assert not directory.set_totp(ANN, None).has_totp
    with pytest.raises(NotFound):
        directory.verify_totp("bob@example.org", code)


def test_the_uri_for_authenticators() -> None:
    assert (
        totp.uri("ann+x@example.org", b"12345")
        == "otpauth://totp/Postroad:ann%2Bx%40example.org?secret=GEZDGNBV&issuer=Postroad"
    )
