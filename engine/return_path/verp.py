"""VERP: a sender of its own for each recipient, so that what comes back says by its address whom it is about.

``bounces+KEY=user=example.org@our.domain`` (after D. J. Bernstein's "Variable Envelope Return Paths", 1997). KEY is the
first 16 characters of the id of the message, which begin with the time, and 8 characters of HMAC-SHA256, in base32,
over them and the recipient. Where the local part would be longer than RFC 5321 4.5.3.1.1 has it, or the recipient
cannot stand in it, the recipient is left out: ``bounces+KEY@our.domain`` still names the message.
"""

import base64
import hmac
import re
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from engine.directory import a_label
from engine.message import MessageId
from engine.protocols.address import Malformed, parse_path, split

NAMED = 16
"""Characters of a message's id by which it is named: its milliseconds, and 30 of its random bits."""

_MAC = 8
_LOCAL_LIMIT = 64  # RFC 5321 4.5.3.1.1
_PURPOSE = b"postroad verp\0"  # so that what the secret signs elsewhere is good for nothing here
_KEY = re.compile(rf"([0-7][0-9a-hjkmnp-tv-z]{{{NAMED - 1}}})([a-z2-7]{{{_MAC}}})")
_TRIED = 20  # addresses of a text
_EARLY = 3600.0  # seconds by which the clock of the node that signed may be ahead


class Returned(NamedTuple):
    """Whom and what an address of ours stands for."""

    message: str  # the first characters of its id
    recipient: str  # in lower case, perhaps; empty where it was left out
    time: float  # of the message, in Unix time


@dataclass(frozen=True, slots=True)
class Verp:
    """Makes addresses of ``address``. The first of the secrets signs, all are good, for ``max_age`` seconds.

    ``senders`` are addresses and domains as they compare, ``tenants`` names, whose mail goes out so; with ``lists``,
    whatever says that it is of a list, too.
    """

    address: str
    secrets: tuple[bytes, ...]
    max_age: float
    senders: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    lists: bool = False
    keep: bool = False

    def is_tagged(self, address: str) -> bool:
        """Whether the address has the form, by whomever it is."""
        return self._parts(address) is not None

    def sign(self, identity: MessageId, recipient: str) -> str:
        """The sender for one recipient of a message."""
        local, domain = split(self.address)
        named = str(identity)[:NAMED].lower()
        for who in (_written(recipient), ""):
            tagged = f"{local}+{named}{_mac(self.secrets[0], named, who)}{f'={who}' if who else ''}"
            address = f"{tagged}@{domain}"
            if not who or (len(tagged.encode()) <= _LOCAL_LIMIT and _is_address(address)):
                return address
        raise AssertionError("the short form always has room")

    def open(self, address: str, now: float) -> Returned | None:
        """What the address stands for at that Unix time; None: for nothing, or no longer."""
        parts = self._parts(address)
        if parts is None:
            return None
        named, mac, who = parts
        time = _time(named)
        if not -_EARLY <= now - time <= self.max_age:
            return None
        if not any(hmac.compare_digest(mac.encode(), _mac(one, named, who).encode()) for one in self.secrets):
            return None
        user, _, domain = who.rpartition("=")
        return Returned(named.upper(), f"{user}@{domain}" if who else "", time)

    def within(self, text: str, now: float) -> Returned | None:
        """What the first good address in a text stands for at that Unix time; None without one."""
        local, domain = map(re.escape, split(self.address))
        key = rf"[0-9a-z]{{{NAMED + _MAC}}}(?:=[^\s<>@\"]{{1,400}})?"
        pattern = rf"(?<![a-z0-9.+_-]){local}\+{key}@{domain}(?![a-z0-9-])"
        for found in islice(re.finditer(pattern, text, re.IGNORECASE), _TRIED):
            if opened := self.open(found[0], now):
                return opened
        return None

    def _parts(self, address: str) -> tuple[str, str, str] | None:
        """The name of the message, the signature, and the recipient as it is written."""
        local, domain = split(address)
        own, own_domain = split(self.address)
        if domain.lower() != own_domain.lower() or not local.lower().startswith(f"{own.lower()}+"):
            return None
        key, _, who = local[len(own) + 1 :].partition("=")
        found = _KEY.fullmatch(key.lower())
        if found is None or (who and not (0 < who.rfind("=") < len(who) - 1)):
            return None
        return found[1], found[2], who


def _written(recipient: str) -> str:
    """The recipient as it stands in the address; empty where it cannot."""
    local, domain = split(recipient)
    plain = local and domain and not local.startswith('"') and not domain.startswith("[")
    return f"{local}={a_label(domain)}" if plain else ""  # as DNS has it: else the sender would need SMTPUTF8


def _mac(secret: bytes, named: str, who: str) -> str:
    # Over lower case: servers on the way may change that of a local part.
    digest = hmac.digest(secret, _PURPOSE + f"{named}={who}".lower().encode(), "sha256")
    return base64.b32encode(digest)[:_MAC].decode().lower()


def _time(named: str) -> float:
    # 26 characters hold 130 bits, of which two lead: the first ten are the 48 bits of milliseconds, and no more.
    return MessageId.parse(named.upper() + "0" * (26 - NAMED)).time


def _is_address(address: str) -> bool:
    return not isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed)
