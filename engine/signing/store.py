"""Where our DKIM keys lie in the data folder: ``dkim/DOMAIN/STANDING/SELECTOR.pem``.

What a key is good for is told by its folder, so that each step in its life is one rename, and a key of one's own can be
put there by hand. Its file's time is that of the last step.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from string import ascii_lowercase

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.authentication.signer import PrivateKey, Signer, load_key
from engine.storage.files import give_to, write

KEPT = 7 * 24 * 3600.0
"""Seconds for which a public key stays in the DNS once its private half signs no more. Mail waits at most five days on
its way as a rule (RFC 5321 4.5.4.1), and is verified when it arrives."""

RSA_BITS = 2048
"""RFC 8301 3.2; longer keys do not fit into a DNS answer of 512 octets, and take several times as long to sign."""

_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


class Standing(StrEnum):
    """What a key is good for."""

    WAITING = "waiting"  # until its public half is published
    SIGNING = "signing"
    RETIRED = "retired"  # it signs no more; its public half stays published for those who verify late


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A private key in a file."""

    path: Path
    domain: str  # in A-labels
    selector: str
    standing: Standing
    since: float  # Unix time at which it got this standing

    @property
    def removable(self) -> float | None:
        """The Unix time from which on its public half need not be published any more; None: it must be."""
        return self.since + KEPT if self.standing is Standing.RETIRED else None

    def signer(self) -> Signer:
        """ValueError or OSError where the file holds no usable key."""
        return Signer(self.domain, self.selector, load_key(self.path.read_bytes()))


class KeyStore:
    """The folder ``dkim`` of a data folder. What root does here is done for the user whose data folder it is."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.folder = data / "dkim"

    def find(self, domain: str = "") -> list[StoredKey]:
        """The keys of a domain (in A-labels), or of all, in the order of domains, of standings, and of selectors."""
        return list(chain.from_iterable(self._of(name) for name in ([domain] if domain else self._domains())))

    def make(self, domain: str, name: str = "") -> list[StoredKey]:
        """A new pair for a domain (in A-labels), which waits: ``NAME-rsa`` and ``NAME-ed25519``.

        ``name``: if empty, the day. ValueError for one that is no selector, or that the domain has already.
        """
        with self._changing(domain) as present:
            taken = {key.selector for key in present}
            name = name or _free_name(taken)
            keys: dict[str, PrivateKey] = {
                f"{name}-rsa": generate_private_key(65537, RSA_BITS),
                f"{name}-ed25519": Ed25519PrivateKey.generate(),
            }
            for selector in keys:
                if not _SELECTOR.fullmatch(selector):
                    raise ValueError(f"{name!r} is no selector; write lower-case letters, digits and hyphens")
                if selector in taken:
                    raise ValueError(f"{domain} has a key {selector} already")
            for selector, key in keys.items():
                pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                write(self._file(domain, Standing.WAITING, selector), pem)
        return [key for key in self._of(domain) if key.selector in keys]

    def put_in_force(self, domain: str) -> list[StoredKey]:
        """Let the keys of a domain that wait sign from now on, and no others; those that do so now."""
        with self._changing(domain) as present:
            waiting = [key for key in present if key.standing is Standing.WAITING]
            if waiting:
                for key in waiting:  # first: at no moment shall there be none
                    self._move(key, Standing.SIGNING)
                for key in present:
                    if key.standing is Standing.SIGNING:
                        self._move(key, Standing.RETIRED)
        moved = {key.selector for key in waiting}
        return [key for key in self._of(domain) if key.selector in moved]

    def remove(self, key: StoredKey) -> None:
        """Delete a private key for good."""
        with self._changing(key.domain):
            key.path.unlink(missing_ok=True)

    def _domains(self) -> list[str]:
        return [path.name for path in _files(self.folder, "")]

    def _of(self, domain: str) -> Iterator[StoredKey]:
        for standing in Standing:
            for path in _files(self.folder / domain / standing):
                with suppress(FileNotFoundError):  # moved on meanwhile
                    yield StoredKey(path, domain, path.stem, standing, path.stat().st_mtime)

    def _file(self, domain: str, standing: Standing, selector: str) -> Path:
        return self.folder / domain / standing / f"{selector}.pem"

    def _move(self, key: StoredKey, standing: Standing) -> None:
        os.utime(key.path)
        new = self._file(key.domain, standing, key.selector)
        new.parent.mkdir(mode=0o700, exist_ok=True)
        key.path.rename(new)

    @contextmanager
    def _changing(self, domain: str) -> Iterator[list[StoredKey]]:
        """The keys of a domain, which nobody else changes meanwhile: workers and commands may do so at one time."""
        for folder in (self._data, self.folder, self.folder / domain):
            folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield list(self._of(domain))
            give_to(self._data.stat(), self.folder)
        finally:
            os.close(lock)


def _files(folder: Path, suffix: str = ".pem") -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _free_name(taken: set[str]) -> str:
    """The day, with a letter where there has been one of that day."""
    day = time.strftime("%Y%m%d", time.gmtime())
    names = [day, *(day + letter for letter in ascii_lowercase[1:])]
    return next(name for name in names if not any(selector.startswith(f"{name}-") for selector in taken))
