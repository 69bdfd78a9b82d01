"""SRS: a sender whose mail goes on from here, as an address of ours to which bounces come back.

The form is that of Mail::SRS and libsrs2 (Sender Rewriting Scheme, S. Wong 2003): ``SRS0=hash=day=domain=local`` for a
sender, ``SRS1=hash=host=rest`` for one that the host has made ``SRS0rest`` of. The hash is of what follows it, in lower
case, by HMAC-SHA1 in base64, cut to four characters: local parts are short of room, and who guesses has one try a RCPT.
"""

import base64
import hmac
import re
from dataclasses import dataclass

from engine.protocols.address import Malformed, parse_path, split

DAY = 86_400.0
_LENGTH = 4
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAYS = len(_ALPHABET) ** 2
"""After so many days the two characters of a day are the same again."""

_TAGGED = re.compile(r'"?SRS[01][-+=]', re.IGNORECASE)


def is_tagged(address: str) -> bool:
    """Whether the address has the form, by whomever it is."""
    return _TAGGED.match(address) is not None


@dataclass(frozen=True, slots=True)
class Srs:
    """Rewrites at ``domain``. The first of the secrets signs, all are good; days of up to ``max_age`` seconds."""

    domain: str
    secrets: tuple[bytes, ...]
    max_age: float

    def forward(self, sender: str, now: float) -> str:
        """The address of ours that stands for ``sender`` from that Unix time on.

        ``sender`` itself where there is none: a path has 254 octets (RFC 5321 4.5.3.1.3), and no room for a literal.
        """
        quote, local, domain = _parts(sender)
        tag, rest = local[:4].upper(), local[5:]
        if tag == "SRS1" and is_tagged(local) and rest.count("=") >= 2:
            local = self._signed("SRS1", *rest.split("=", 2)[1:])
        elif tag == "SRS0" and is_tagged(local):
            local = self._signed("SRS1", domain, local[4:])  # with its separator: SRS1=hash=host==rest
        else:
            local = self._signed("SRS0", _day(now), domain, local)
        address = f"{quote}{local}{quote}@{self.domain}"
        return sender if isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed) else address

    def reverse(self, address: str, now: float) -> str | None:
        """Whom an address of ours stands for at that Unix time; None: it is none, or was one too long ago."""
        quote, local, _ = _parts(address)
        if not is_tagged(local):
            return None
        fields = local[5:].split("=", 3 if local[3] == "0" else 2)
        if len(fields) < 3 or not self._is_good(*fields):
            return None
        if local[3] == "1":
            _, host, rest = fields
            return f"{quote}SRS0{rest}{quote}@{host}"
        if len(fields) < 4 or not self._is_young(fields[1], now):
            return None
        return f"{quote}{fields[3]}{quote}@{fields[2]}"

    def _signed(self, tag: str, *fields: str) -> str:
        return "=".join((tag, _hash(self.secrets[0], fields), *fields))

    def _is_good(self, given: str, *fields: str) -> bool:
        """Whether the hash is one of ours, though somebody on the way may have changed the case of letters."""
        octets = given.lower().encode()
        return any(hmac.compare_digest(octets, _hash(secret, fields).lower().encode()) for secret in self.secrets)

    def _is_young(self, day: str, now: float) -> bool:
        places = [_ALPHABET.find(character) for character in day.upper()]
        if len(places) != 2 or min(places) < 0:
            return False
        return (int(now // DAY) - places[0] * len(_ALPHABET) - places[1]) % _DAYS <= self.max_age // DAY


def _parts(address: str) -> tuple[str, str, str]:
    """The quotes around the local part, or none; what is in them; the domain."""
    local, domain = split(address)
    quoted = len(local) > 1 and local.startswith('"')
    return ('"', local[1:-1], domain) if quoted else ("", local, domain)


def _day(now: float) -> str:
    high, low = divmod(int(now // DAY) % _DAYS, len(_ALPHABET))
    return _ALPHABET[high] + _ALPHABET[low]


def _hash(secret: bytes, fields: tuple[str, ...]) -> str:
    digest = hmac.digest(secret, "".join(fields).encode().lower(), "sha1")
    return base64.b64encode(digest)[:_LENGTH].decode()
