"""Changes upon what was read: If-Match (RFC 9110 13.1.1), and nobody else's change in between.

Who changes the same thing waits for its turn, in this process and in others: so between the look and the change there
is no other one by the API. What commands and pages change in that moment it does not see.
"""

import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from engine.storage.environment import StorageError, plain
from engine.web.api.operation import Call, Operation
from engine.web.api.problems import Problem, translated

LONGEST = 200
"""Characters of an If-Match: several tags of ours."""

_AGAIN = 0.01
"""Seconds between two tries to have a turn that another process has."""

_PLACES = 2**31
"""Octets of the file that stand for things; two may share one, and then wait for each other."""


def tag_of(content: bytes) -> str:
    """The ETag of an answer: another one when anything in it is another."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_same(field: str, tag: str) -> bool:
    """Whether If-None-Match names it (RFC 9110 13.1.2: compared weakly)."""
    return field.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in field.split(",")]


async def check(field: str, operation: Operation, call: Call, asked: dict[str, Any]) -> None:
    """Problem, when what is to be changed is not as If-Match says."""
    if len(field) > LONGEST:
        raise Problem(400, f"If-Match has {LONGEST} characters at most")
    if operation.changes is None:
        raise Problem(400, "there is nothing here that If-Match could be about")
    tag = await _tag(operation, call, asked)
    named = [one.strip() for one in field.split(",")]  # compared strongly: a weak one fits nothing
    if tag is None or (field.strip() != "*" and tag not in named):
        raise Problem(412, "it has been changed, or removed, since you have seen it; look again")


async def _tag(operation: Operation, call: Call, asked: dict[str, Any]) -> str | None:
    """The ETag of what is to be changed, as it is now; None: it is not there."""
    assert operation.changes is not None
    takes_path = "path" in asked and "path" in operation.changes.__annotations__
    try:
        value = await operation.changes(call, **({"path": asked["path"]} if takes_path else {}))
    except Exception as error:
        problem = translated(error)
        if problem is not None and problem.status == 404:
            return None
        raise
    return tag_of(msgspec.json.encode(value))


class Turns:
    """Whose turn it is to change a thing. One object a process."""

    def __init__(self, file: Path) -> None:
        """StorageError."""
        try:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(plain(error)) from error
        self._here: dict[int, trio.Lock] = {}

    @asynccontextmanager
    async def of(self, operation: Operation, asked: dict[str, Any]) -> AsyncIterator[None]:
        """Ours, until the block ends. The kernel ends that of a process that dies."""
        name = f"{operation.changes.__name__ if operation.changes else ''} {asked.get('path')}".lower()
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _PLACES
        lock = self._here.setdefault(place, trio.Lock())
        try:
            async with lock:  # the kernel's locks are those of whole processes
                await self._lock(place)
                try:
                    yield
                finally:
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
        finally:
            if not lock.locked():
                self._here.pop(place, None)

    async def _lock(self, place: int) -> None:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                return
            except (BlockingIOError, PermissionError):
                await trio.sleep(_AGAIN)

    def close(self) -> None:
        os.close(self._file)
