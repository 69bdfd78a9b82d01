"""A message on its way: every line ended as mail has it, and its digest; a large one in a file as it comes."""

import os
from pathlib import Path

from engine.mailbox.incoming import IncomingFile
from engine.mailbox.layout import INCOMING
from engine.migration.record import digest_of
from engine.storage.files import give_to


class Lines:
    """Octets in pieces, with CRLF at the end of every line. A CR that ends no line stays."""

    def __init__(self) -> None:
        self._held = b""

    def fed(self, piece: bytes) -> bytes:
        octets = self._held + piece
        self._held = b"\r" if octets.endswith(b"\r") else b""
        if self._held:
            octets = octets[:-1]
        return as_mail(octets)

    def rest(self) -> bytes:
        return self._held


def as_mail(octets: bytes) -> bytes:
    """A message with CRLF at the end of every line."""
    if octets.count(b"\n") == octets.count(b"\r\n"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Spool:
    """A large message, in a file that the owner of the mailboxes takes it from. Of more than ``most`` octets it is read
    past. OSError when fewer than ``floor`` octets would be left on the disk.
    """

    def __init__(self, store: Path, size: int, most: int, floor: int) -> None:
        self.size = 0
        self.fits = size <= most
        self._lines, self._digest = Lines(), digest_of()
        self._store = store
        self._file = IncomingFile(store, floor) if self.fits else None

    def feed(self, piece: bytes) -> None:
        if self._file is not None:
            self._put(self._lines.fed(piece))

    def finish(self) -> tuple[str, bytes]:
        """The file's name and the digest of its content."""
        assert self._file is not None
        self._put(self._lines.rest())
        name = self._file.finish()
        if os.geteuid() == 0:  # its owner may be another user
            give_to(self._store.stat(), self._store / INCOMING)
        return name, self._digest.digest()

    def close(self) -> None:
        """The file is gone, whether its content was taken or not."""
        if self._file is not None:
            self._file.__exit__()

    def _put(self, octets: bytes) -> None:
        assert self._file is not None
        self._file.write(octets)
        self._digest.update(octets)
        self.size += len(octets)
