"""The keys that sign, in memory, as the files have them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.authentication.signer import Signer
from engine.signing.store import KeyStore, Standing


class Keyring:
    """Knows nothing before the first ``look``."""

    def __init__(self, data: Path) -> None:
        self.store = KeyStore(data)
        self.waiting: tuple[str, ...] = ()  # domains with keys that wait to be published
        self.troubles: Mapping[Path, str] = {}  # why keys that should sign cannot be read
        self._read: dict[tuple[Path, int, int], Signer] = {}
        self._signers: dict[str, tuple[Signer, ...]] = {}

    def look(self) -> None:
        """Take up what has changed in the folder. An RSA key takes milliseconds: call it in a thread."""
        try:
            keys = self.store.find()
        except OSError as error:
            self.troubles = {self.store.folder: str(error)}
            return
        waiting = dict.fromkeys(key.domain for key in keys if key.standing is Standing.WAITING)
        read, troubles = {}, {}
        for key in keys:
            if key.standing is Standing.SIGNING:
                try:
                    stamp = _stamp(key.path)
                    read[stamp] = self._read.get(stamp) or key.signer()
                except (OSError, ValueError) as error:
                    troubles[key.path] = str(error)
        self._read, self.troubles, self.waiting = read, troubles, tuple(waiting)
        self._signers = _by_domain(read.values())

    def __bool__(self) -> bool:
        """Whether any key signs."""
        return bool(self._signers)

    def signers(self, author: str) -> tuple[Signer, ...]:
        """The keys for mail whose author is of this domain (in A-labels): its own, or else the nearest domain's above.

        A signature of a domain above is aligned with the author's (RFC 9989 4.4), unless that insists on its own.
        """
        domain = author
        while domain:
            if domain in self._signers:
                return self._signers[domain]
            domain = domain.partition(".")[2]
        return ()


def _by_domain(signers: Iterable[Signer]) -> dict[str, tuple[Signer, ...]]:
    """RSA on top: everybody knows it."""
    found: dict[str, tuple[Signer, ...]] = {}
    for signer in sorted(signers, key=lambda signer: signer.algorithm, reverse=True):
        found[signer.domain] = (*found.get(signer.domain, ()), signer)
    return found


def _stamp(path: Path) -> tuple[Path, int, int]:
    found = path.stat()
    return path, found.st_ino, found.st_mtime_ns
