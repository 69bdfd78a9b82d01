"""Content that comes in: held in memory while it is small, from then on in a file of its own."""

import os
from pathlib import Path

import trio

from engine.message import Content, MessageId, Octets
from engine.queue.content import FileContent, remove
from engine.storage.files import sync


class ContentWriter:
    """Takes content in as it arrives: in memory up to ``inline`` octets, from then on in a file.

    ``finish`` gives content that survives a power loss as soon as the queue has committed a reference to it;
    ``discard`` leaves nothing behind.
    """

    def __init__(self, folder: Path, identity: MessageId, inline: int) -> None:
        self._folder = folder
        self._path = folder / str(identity)
        self._inline = inline
        self._pieces: list[bytes] = []
        self._fd = -1
        self._made = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take ``data``. OSError when the disk does not take it."""
        self.size += len(data)
        if self._fd < 0 and self.size <= self._inline:
            self._pieces.append(data)
            return
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._made = True
            data = b"".join((*self._pieces, data))
            self._pieces.clear()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    async def finish(self) -> Content:
        """The content; a file has been synced, and so has the folder that names it. OSError."""
        if not self._made:
            return Octets(b"".join(self._pieces))
        await trio.to_thread.run_sync(self._sync)
        return FileContent(self._path, self.size)

    def _sync(self) -> None:
        os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        sync(self._folder)

    def discard(self) -> None:
        """Forget what was written; also after ``finish`` when nobody has taken the content over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._made:
            remove(self._path)
