"""Hand messages to another mail store, by LMTP (RFC 2033)."""

from dataclasses import dataclass
from typing import ClassVar

from engine.outbound.one_server import OneServer
from engine.outbound.sending import Sending


@dataclass
class Lmtp(OneServer):
    """Delivers into a store such as Dovecot or Cyrus, and returns what it said of each recipient."""

    site: ClassVar[str] = "store"
    port: ClassVar[int] = 24
    """RFC 2033 5 leaves the port to the site, but for 25; this one is for private mail systems (RFC 1700)."""

    def _made(self) -> Sending:
        return self._by_one(lmtp=True)
