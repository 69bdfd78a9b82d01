"""What a password costs to check: in the product, which its own tests hold, and in all others hardly anything."""

import pytest
from argon2 import PasswordHasher

from engine.directory import passwords
from engine.protocols import scram

HASHER, DUMMY, ITERATIONS = passwords._HASHER, passwords.DUMMY, scram.ITERATIONS
"""Those of the product: 85 ms of two cores and 64 MiB a password, and 40 ms for the keys of SCRAM."""

_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_NOBODY = _QUICK.hash("of nobody")


def lower(patch: pytest.MonkeyPatch) -> None:
    """As low as argon2 and RFC 7677 4 allow."""
    _put(patch, _QUICK, _NOBODY, 4096)


def restore(patch: pytest.MonkeyPatch) -> None:
    """As in the product."""
    _put(patch, HASHER, DUMMY, ITERATIONS)


def _put(patch: pytest.MonkeyPatch, hasher: PasswordHasher, dummy: str, iterations: int) -> None:
    patch.setattr(passwords, "_HASHER", hasher)
    patch.setattr(passwords, "DUMMY", dummy)
    patch.setattr(scram, "ITERATIONS", iterations)
