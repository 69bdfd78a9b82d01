"""Octets that are handed out as a text: whole, unchanged, for one purpose, and not too long."""

import base64

import pytest

from engine.protocols.sealed import Forged, opened, sealed

SECRET, OLDER, PURPOSE = b"s" * 32, b"o" * 32, b"a test\0"


@pytest.mark.parametrize("said", [b"", b"x", bytes(range(256))])
def test_what_was_sealed_is_opened(said: bytes) -> None:
    assert opened(sealed(said, PURPOSE, [SECRET, OLDER]), PURPOSE, [OLDER, SECRET]) == said


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "x" * 999, "ü" * 40, "=" * 40,
        sealed(b"said", b"another\0", [SECRET]), sealed(b"said", PURPOSE, [OLDER]),
        sealed(b"said", PURPOSE, [SECRET])[:-1], sealed(b"said", PURPOSE, [SECRET]) + "=",
        sealed(b"said", PURPOSE, [SECRET]) + "A", "\n" + sealed(b"said", PURPOSE, [SECRET]),
        sealed(b"said", PURPOSE, [SECRET])[:9] + "!" + sealed(b"said", PURPOSE, [SECRET])[9:],
    ],
)  # fmt: skip
def test_what_was_not_is_forged(text: str) -> None:
    with pytest.raises(Forged):
        opened(text, PURPOSE, [SECRET])


def test_a_proof_that_is_cut_is_none() -> None:
    octets = base64.urlsafe_b64decode(sealed(b"", PURPOSE, [SECRET]) + "==")
    for size in range(len(octets)):
        with pytest.raises(Forged):
            opened(base64.urlsafe_b64encode(octets[:size]).rstrip(b"=").decode(), PURPOSE, [SECRET])


def test_what_is_too_long_is_not_even_looked_at() -> None:
    longest = 1000 * 3 // 4 - 16
    assert opened(sealed(bytes(longest), PURPOSE, [SECRET]), PURPOSE, [SECRET]) == bytes(longest)
    with pytest.raises(Forged):
        opened(sealed(bytes(longest + 1), PURPOSE, [SECRET]), PURPOSE, [SECRET])
