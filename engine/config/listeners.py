"""`[listen]`: where connections come in, and who serves them."""

from engine.config.conversion import text_of
from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.names import address_and_port
from engine.config.tables import Config

IMPLICIT_TLS = ("submissions", "pop3s", "imaps")
"""Listeners whose connections begin with the TLS handshake (RFC 8314)."""

READERS = ("pop3", "pop3s", "imap", "imaps", "managesieve")
"""Listeners that the engine itself serves: the mailboxes' readers. All others belong to stages."""

CHALLENGES = {"http-01": "acme_http", "tls-alpn-01": "acme_tls"}
"""How an ACME authority finds out whose a name is, and the listener that answers it."""

LISTENERS = ("smtp", "submission", "submissions", "lmtp", *READERS, "web", *CHALLENGES.values())


def read_listeners(document: Document) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for name, value in document.table("listen").items():
        if name not in LISTENERS:
            document.problem(f"listen.{name}", f"unknown listener{nearest(name, LISTENERS)}")
            continue
        try:
            found[name] = address_and_port(text_of(value))
        except ValueError as error:
            document.problem(f"listen.{name}", str(error))
    for name, address in found.items():
        twin = next((other for other in found if other != name and found[other] == address and address[1]), "")
        if twin and twin < name:
            document.problem(f"listen.{name}", f"has the same address and port as {twin}")
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
