"""`[listen]`: where connections come in, and who serves them."""

import re
from collections.abc import Mapping
from typing import Any

from engine.config.conversion import text_of
from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.names import address_and_port
from engine.config.tables import Config, UnixSocket

IMPLICIT_TLS = ("submissions", "pop3s", "imaps")
"""Listeners whose connections begin with the TLS handshake (RFC 8314)."""

READERS = ("pop3", "pop3s", "imap", "imaps", "managesieve")
"""Listeners that the engine itself serves: the mailboxes' readers. All others belong to stages."""

FILTERED = ("reinject", "reinject_outbound")
"""Where filters behind the queue bring mail back: that of strangers, and that of our own people."""

CHALLENGES = {"http-01": "acme_http", "tls-alpn-01": "acme_tls"}
"""How an ACME authority finds out whose a name is, and the listener that answers it."""

_LONGEST_SOCKET = 107
"""Octets of the path of a Unix socket: unix(7)."""

LISTENERS = ("smtp", "submission", "submissions", "lmtp", *FILTERED, *READERS, "web", *CHALLENGES.values())


def read_listeners(document: Document) -> tuple[dict[str, tuple[str, int]], dict[str, UnixSocket]]:
    """Where each listener listens, as Config has it, and those that are Unix sockets."""
    found: dict[str, tuple[str, int]] = {}
    sockets: dict[str, UnixSocket] = {}
    for name, value in document.table("listen").items():
        if name not in LISTENERS:
            document.problem(f"listen.{name}", f"unknown listener{nearest(name, LISTENERS)}")
            continue
        try:
            if isinstance(value, dict):
                sockets[name] = _unix_socket(document, name, value)
                found[name] = (sockets[name].socket, 0)
            else:
                found[name] = address_and_port(text_of(value))
        except ValueError as error:
            document.problem(f"listen.{name}", str(error))
    for name, address in found.items():
        twin = next((other for other in found if other != name and found[other] == address and address[1]), "")
        if twin and twin < name:
            document.problem(f"listen.{name}", f"has the same address and port as {twin}")
    return found, sockets


def _unix_socket(document: Document, name: str, table: Mapping[str, Any]) -> UnixSocket:
    if name != "lmtp":
        raise ValueError("only lmtp can be a Unix socket; write an address and port")
    found = UnixSocket(**document.values(f"listen.{name}", table, dict.fromkeys(("socket", "mode", "group"), str)))
    if not found.socket.startswith("/") or len(found.socket.encode()) > _LONGEST_SOCKET:
        raise ValueError(f"socket must be a path from / on, of {_LONGEST_SOCKET} octets at most")
    if not re.fullmatch("0?[0-7]{3}", found.mode):
        raise ValueError(f'mode {found.mode!r} is none; write it like "0660"')
    return found


def check_listeners(document: Document, config: Config) -> None:
    """See that each listener is served by a stage or by the engine."""
    served = {name for course in config.courses.values() if course.source for name in course.listen}
    for name in config.listen:
        key = f"listen.{name}"
        if name in CHALLENGES.values():
            if config.acme is None:
                document.problem(key, "answers an ACME authority; write [acme]")
        elif name not in served and name not in READERS:
            document.problem(key, "nothing serves this listener: no lane begins with a stage that does")
        if name in IMPLICIT_TLS and config.tls is None:
            document.problem(key, "speaks TLS from the first octet, so it needs a certificate: write [tls]")
    if not config.listen:
        document.problem("listen", 'no listener; write at least [listen] smtp = "127.0.0.1:2525"')
