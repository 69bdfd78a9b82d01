"""Addresses of people, made unknowable in the log: the same one looks the same, and nobody can tell whose it is."""

import hashlib
import re

KEY = 32
"""Octets of a key."""

# In a line of JSON: a local part, quoted or not, also where it is of a Message-ID; then a domain or a literal.
_ADDRESS = re.compile(
    rb'(\\"[^"\\]{1,256}\\"|(?:\\.|[^\s"\\<>(),:;\[\]@]){1,256})@'
    rb'((?:[A-Za-z0-9\x80-\xff_-]+\.)*[A-Za-z0-9\x80-\xff_-]+|\[[^\]\s"]+\])'
    rb"|\\."  # or an escape as a whole: no address begins within one
)


class Veil:
    """Hides local parts, by a key without which nobody can try out names. Domains stay: operators need them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def over(self, line: bytes) -> bytes:
        """The line with each ``local-part@domain`` in it as ``~0123456789ab@domain``."""
        return _ADDRESS.sub(self._hidden, line) if b"@" in line else line

    def address(self, address: str) -> str:
        """How an address looks in the log."""
        return self.over(address.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def _hidden(self, found: re.Match[bytes]) -> bytes:
        local, domain = found[1], found[2]
        if local is None or local.startswith(b"~"):  # it is hidden already
            return found[0]
        known = local.lower() + b"@" + domain.lower()
        return b"~" + hashlib.blake2b(known, key=self._key, digest_size=6).hexdigest().encode() + b"@" + domain
