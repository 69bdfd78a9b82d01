"""Files that somebody has attached to a letter that is not finished: on disk, one folder an account, for a day."""

import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from engine.storage.environment import free_space

EACH: Final = 50 * 1024 * 1024
"""Octets of a file: of a message that the server takes by default."""

TOGETHER: Final = 200 * 1024 * 1024
"""Octets of all files of an account that wait."""

FILES: Final = 200
"""Files of an account that wait: what is empty takes room too."""

STEP: Final = 512 * 1024
"""Octets of a file between two looks at all of the account's: others may be coming at the same time."""

KEPT: Final = 24 * 3600
"""Seconds: a draft that is kept has its files in itself."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class TooLarge(Exception):
    """The file, or all of the account's together."""


class NoRoom(Exception):
    """The disk has to keep what it has for mail."""


class Uploads:
    """Those of one server. ``reserve``: octets of disk that are left to the mail."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def take(self, account: int, pieces: AsyncIterator[bytes], reserve: int) -> tuple[str, int]:
        """Keep what comes; its id, and octets. TooLarge, NoRoom; then nothing is left of it."""
        folder = await trio.to_thread.run_sync(self._swept, account)
        identity = secrets.token_urlsafe(16)
        size = looked = 0
        try:
            async with await trio.open_file(folder / identity, "xb") as file:
                async for piece in pieces:
                    size += len(piece)
                    if size > EACH:
                        raise TooLarge
                    if free_space(folder) < reserve + len(piece):
                        raise NoRoom
                    await file.write(piece)
                    if size - looked >= STEP:
                        looked = size
                        await file.flush()
                        await trio.to_thread.run_sync(_check, folder)
            await trio.to_thread.run_sync(_check, folder)
        except BaseException:
            with suppress(OSError):
                (folder / identity).unlink()
            raise
        return identity, size

    def read(self, account: int, identity: str) -> bytes:
        """KeyError: there is no such file of this account."""
        if not _ID.fullmatch(identity):
            raise KeyError(identity)
        try:
            return (self._folder / str(account) / identity).read_bytes()
        except OSError as error:
            raise KeyError(identity) from error

    def _swept(self, account: int) -> Path:
        """The folder of an account, without what is too old."""
        folder = self._folder / str(account)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - KEPT:
                    path.unlink()
        return folder


def _check(folder: Path) -> None:
    """TooLarge, when there are more files in it than an account may have, or more in them."""
    sizes = list[int]()
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # it is given up just now
            sizes.append(path.stat().st_size)
    if len(sizes) > FILES or sum(sizes) > TOGETHER:
        raise TooLarge
