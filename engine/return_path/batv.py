"""BATV: our own senders as addresses that show a bounce to be one of mail that we sent (draft-levine-smtp-batv-01).

``prvs=KDDDSSSSSS=local@domain``: K is the number of the key; DDD the last day on which the address is good, in days
since 1970 modulo 1000; SSSSSS the first three octets, in hexadecimal, of HMAC-SHA1 over K, DDD and the address.
"""

import hmac
import re
from dataclasses import dataclass

from engine.protocols.address import Malformed, parse_path

DAYS = 7
"""For which an address is good. Longer than any server tries to send a message (RFC 5321 4.5.4.1)."""

_DAY = 86_400.0
_TAG = re.compile(r"prvs=(\d{4})([0-9a-f]{6})=(.+@.+)", re.IGNORECASE | re.ASCII)


def is_tagged(address: str) -> bool:
    """Whether the address has the form, by whomever it is."""
    return _TAG.fullmatch(address) is not None


@dataclass(frozen=True, slots=True)
class Batv:
    """The first of the secrets signs, all are good.

    ``require``: nobody but ``exempt`` (addresses and domains as they compare) gets bounces without a tag.
    """

    secrets: tuple[bytes, ...]
    require: bool = False
    exempt: frozenset[str] = frozenset()

    def sign(self, sender: str, now: float) -> str:
        """The address that stands for ``sender`` from that Unix time on; ``sender`` where there is no room for one."""
        if is_tagged(sender) or sender.startswith('"'):
            return sender
        until = f"0{(int(now // _DAY) + DAYS) % 1000:03}"
        address = f"prvs={until}{_signature(self.secrets[0], until, sender)}={sender}"
        return sender if isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed) else address

    def open(self, address: str, now: float) -> str | None:
        """Whom the address stands for at that Unix time; None: for nobody, or no longer."""
        found = _TAG.fullmatch(address)
        if found is None:
            return None
        until, signature, sender = found.groups()
        if (int(until[1:]) - int(now // _DAY)) % 1000 > DAYS:
            return None
        signatures = [_signature(secret, until, sender) for secret in self.secrets]
        return sender if any(hmac.compare_digest(signature.lower(), good) for good in signatures) else None

    def is_exempt(self, name: str) -> bool:
        """Whether the address, as it compares, gets bounces without a tag. ``postmaster`` always does."""
        local, _, domain = name.rpartition("@")
        return local == "postmaster" or name in self.exempt or domain in self.exempt


def _signature(secret: bytes, until: str, sender: str) -> str:
    # Over lower case: servers on the way may change that of a local part.
    return hmac.digest(secret, f"{until}{sender}".lower().encode(), "sha1")[:3].hex()
