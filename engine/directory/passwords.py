"""Passwords: hashed with argon2id, checked in the same time whether or not there is an account."""

import base64
import hashlib
import hmac
import os
import secrets
import time
import unicodedata
from collections import OrderedDict

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from engine.directory.errors import Invalid, Unavailable
from engine.protocols import scram

PROFILE = RFC_9106_LOW_MEMORY
"""RFC 9106 4, second recommended option: 64 MiB, 3 passes, 4 lanes. 85 ms a password on a 2-core server.

A caller bounds how many run at once: each takes its 64 MiB.
"""

SHORT = 8
"""Characters below which a password deserves a warning (NIST SP 800-63B 5.1.1.2)."""

_HASHER = PasswordHasher.from_parameters(PROFILE)


REMEMBERED = 600.0
"""Seconds for which a password that was right need not be hashed again: mail programs log in every few minutes."""

_MOST = 10_000


class _Proven:
    """Pairs of a hash and its password that were right lately, as digests under a key that is nowhere but in memory.

    With the hash in the pair a password that was changed is forgotten at once.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()  # by time.monotonic, oldest first

    def knows(self, stored: str, password: bytes) -> bool:
        return self._until.get(self._digest(stored, password), 0.0) > time.monotonic()

    def remember(self, stored: str, password: bytes) -> None:
        self._until[self._digest(stored, password)] = time.monotonic() + REMEMBERED
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    def _digest(self, stored: str, password: bytes) -> bytes:
        return hmac.digest(self._key, stored.encode() + b"\0" + password, "sha256")


_PROVEN = _Proven()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).rstrip(b"=").decode()


DUMMY = (
    f"$argon2id$v={PROFILE.version}$m={PROFILE.memory_cost},t={PROFILE.time_cost},p={PROFILE.parallelism}"
    f"${_base64(os.urandom(PROFILE.salt_len))}${_base64(os.urandom(PROFILE.hash_len))}"
)
"""A hash of no password, which costs as much to check as a real one."""


def hashed(password: str) -> str:
    """The hash to store, in PHC string form. Invalid for a password that could not be used. Blocks (see PROFILE)."""
    if not password:
        raise Invalid("the password is empty")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        # RFC 8265 4.2.2 (OpaqueString); PLAIN (RFC 4616) and POP3's PASS could not carry them.
        raise Invalid("the password holds a control character, such as a line break")
    return _HASHER.hash(_octets(password))


def verifier(password: str) -> str:
    """The keys of SCRAM to store, with a salt of their own. Blocks (see scram.ITERATIONS)."""
    return scram.verifier(password, os.urandom(16), scram.ITERATIONS)


def matches(stored: str, password: str) -> bool:
    """Whether ``password`` is the one that ``stored`` was made from. Unavailable when that cannot be told.

    Blocks, unless this process has seen the same pair to be right within REMEMBERED.
    """
    octets = _octets(password)
    if _PROVEN.knows(stored, octets):
        return True
    try:
        _HASHER.verify(stored, octets)
    except VerifyMismatchError:
        return False
    except InvalidHashError as error:
        raise Unavailable("the stored password is damaged; set it anew with postroad account passwd") from error
    except VerificationError as error:
        raise Unavailable(f"cannot check the password: {error}") from error
    _PROVEN.remember(stored, octets)
    return True


def is_proven(stored: str, password: str) -> bool:
    """Whether ``matches`` would say yes and not block."""
    return _PROVEN.knows(stored, _octets(password))


def generated() -> str:
    """A password that nobody can guess: 140 random bits, "abcdefg-abcdefg-abcdefg-abcdefg"."""
    text = base64.b32encode(secrets.token_bytes(18)).decode().lower()
    return "-".join(text[start : start + 7] for start in range(0, 28, 7))


def digest(password: str) -> bytes:
    """What to store of a ``generated`` one: with so many bits a fast hash is as safe as a slow one."""
    return hashlib.sha256(_octets(password)).digest()


def same(stored: bytes, password: str) -> bool:
    """Whether ``stored`` is the digest of ``password``."""
    return hmac.compare_digest(stored, digest(password))


def outdated(stored: str) -> bool:
    """Whether ``stored`` was made with other parameters than PROFILE."""
    return _HASHER.check_needs_rehash(stored)


def _octets(password: str) -> bytes:
    # NFC (RFC 8265 4.2.2), so that a password typed on any keyboard is the same; surrogates stand for octets that
    # are no UTF-8, and match nothing.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
