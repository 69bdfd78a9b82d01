"""The server that mail comes from, and who we are to it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

PORTS = {"imaps": 993, "imap": 143}


class Security(enum.Enum):
    """How a connection is kept from others' eyes."""

    TLS = "tls"  # from the first octet on
    STARTTLS = "starttls"  # on this machine, in the clear where the server offers none
    CLEAR = "clear"  # in the clear, wherever the server is: somebody has said so


@dataclass(frozen=True, slots=True)
class Server:
    """``trust``: authorities in PEM to be believed in place of the system's. ``public_only``: at no address that is
    private, for whoever names the server must not reach what is behind our walls.
    """

    host: str
    port: int = PORTS["imaps"]
    security: Security = Security.TLS
    trust: Path | None = None
    public_only: bool = False

    def __str__(self) -> str:
        scheme = "imaps" if self.security is Security.TLS else "imap"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" + ("" if self.port == PORTS[scheme] else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Login:
    """``user``: whose mail it is, as the server knows them. ``secret`` gives a password, or a token, each time it is
    needed. ``master``: who logs in, if it is somebody who may read others' mail.
    """

    user: str
    secret: Callable[[], str] = field(repr=False)
    master: str = ""
    token: bool = False


def server_at(text: str) -> tuple[Server, str]:
    """``imaps://imap.example.com``, ``imap://user@imap.example.com:1143`` or a mere host; and the user, if it is named.

    ``imap`` means STARTTLS (RFC 5092 leaves that open). ValueError; no password may stand there: lists of processes
    and histories of shells would show it.
    """
    whole = text if "://" in text else f"imaps://{text}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no server: {error}") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no server; write it like imaps://imap.example.com")
    if parts.password is not None:
        raise ValueError("the password does not belong there: others could see it")
    if not _is_host(parts.hostname):
        raise ValueError(f"{parts.hostname!r} is no host")
    security = Security.TLS if parts.scheme == "imaps" else Security.STARTTLS
    server = Server(parts.hostname, PORTS[parts.scheme] if port is None else port, security)
    if not server.port:
        raise ValueError(f"{text!r} has no port that could be")
    return server, unquote(parts.username or "")


def _is_host(name: str) -> bool:
    return len(name) <= 253 and not any(sign.isspace() or not sign.isprintable() or sign in '"\\<>' for sign in name)
