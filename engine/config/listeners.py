"""`[listen]`: where connections come in, and who serves them."""

import ipaddress
import re
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.conversion import text_of
from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.names import address_and_port
from engine.config.tables import NOWHERE, Config, Network, ProxiedPort, UnixSocket

IMPLICIT_TLS = ("submissions", "pop3s", "imaps")
"""Listeners whose connections begin with the TLS handshake (RFC 8314)."""

READERS = ("pop3", "pop3s", "imap", "imaps", "managesieve")
"""Listeners that the engine itself serves: the mailboxes' readers. All others belong to stages."""

FILTERED = ("reinject", "reinject_outbound")
"""Where filters behind the queue bring mail back: that of strangers, and that of our own people."""

CHALLENGES = {"http-01": "acme_http", "tls-alpn-01": "acme_tls"}
"""How an ACME authority finds out whose a name is, and the listener that answers it."""

METRICS = "metrics"
"""Where the web process tells how the server is."""

WEB = "web"
"""Where people find pages, and programs the API."""

_LONGEST_SOCKET = 107
"""Octets of the path of a Unix socket: unix(7)."""

LISTENERS = ("smtp", "submission", "submissions", "lmtp", *FILTERED, *READERS, WEB, *CHALLENGES.values(), METRICS)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where each listener listens, as Config has it; those that are Unix sockets; those behind a proxy."""

    ports: dict[str, tuple[str, int]] = field(default_factory=dict)
    sockets: dict[str, UnixSocket] = field(default_factory=dict)
    proxied: dict[str, tuple[Network, ...]] = field(default_factory=dict)


def read_listeners(document: Document) -> Listening:
    found = Listening()
    for name, value in document.table("listen").items():
        if name not in LISTENERS:
            document.problem(f"listen.{name}", f"unknown listener{nearest(name, LISTENERS)}")
            continue
        try:
            if isinstance(value, dict) and ("address" in value or "proxy_networks" in value):
                port = _proxied_port(document, name, value)
                found.ports[name], found.proxied[name] = address_and_port(port.address), port.proxy_networks
            elif isinstance(value, dict):
                found.sockets[name] = _unix_socket(document, name, value)
                found.ports[name] = (found.sockets[name].socket, 0)
            else:
                found.ports[name] = address_and_port(text_of(value))
        except ValueError as error:
            document.problem(f"listen.{name}", str(error))
    _check_twins(document, found.ports)
    return found


def _check_twins(document: Document, ports: Mapping[str, tuple[str, int]]) -> None:
    for name, address in ports.items():
        twin = next((other for other in ports if other != name and ports[other] == address and address[1]), "")
        if twin and twin < name:
            document.problem(f"listen.{name}", f"has the same address and port as {twin}")


def _proxied_port(document: Document, name: str, table: Mapping[str, Any]) -> ProxiedPort:
    if name in CHALLENGES.values():
        raise ValueError("an ACME authority comes without the PROXY protocol; write an address and port")
    port = ProxiedPort(**document.values(f"listen.{name}", table, typing.get_type_hints(ProxiedPort)))
    if not port.proxy_networks:
        raise ValueError("proxy_networks must name who speaks the PROXY protocol; without it, write the address alone")
    return port


def _unix_socket(document: Document, name: str, table: Mapping[str, Any]) -> UnixSocket:
    if name != "lmtp":
        raise ValueError("only lmtp can be a Unix socket; write an address and port")
    found = UnixSocket(**document.values(f"listen.{name}", table, dict.fromkeys(("socket", "mode", "group"), str)))
    if not found.socket.startswith("/") or len(found.socket.encode()) > _LONGEST_SOCKET:
        raise ValueError(f"socket must be a path from / on, of {_LONGEST_SOCKET} octets at most")
    if not re.fullmatch("0?[0-7]{3}", found.mode):
        raise ValueError(f'mode {found.mode!r} is none; write it like "0660"')
    return found


def _check_metrics(document: Document, config: Config) -> None:
    """What others than this machine may ask for, only who has a token gets, and nobody reads it on the way."""
    host, _ = config.listen[METRICS]
    if ipaddress.ip_address(host).is_loopback:
        return
    if config.metrics.token_file == NOWHERE:
        text = "is open to others than this machine, so it needs a token: write [metrics] token_file"
        document.problem(f"listen.{METRICS}", text)
    if config.tls is None:
        text = "is open to others than this machine, so it speaks TLS and needs a certificate: write [tls]"
        document.problem(f"listen.{METRICS}", text)


def _check_web(document: Document, config: Config, served: Collection[str]) -> None:
    """Passwords and mail go nowhere in the clear."""
    if WEB in served:
        document.problem(f"listen.{WEB}", "is served by the engine; a lane cannot have it")
    host, _ = config.listen[WEB]
    if not ipaddress.ip_address(host).is_loopback and config.tls is None:
        text = "is open to others than this machine, so it speaks TLS and needs a certificate: write [tls]"
        document.problem(f"listen.{WEB}", text)


def check_listeners(document: Document, config: Config) -> None:
    """See that each listener is served by a stage or by the engine."""
    served = {name for course in config.courses.values() if course.source for name in course.listen}
    for name in config.listen:
        key = f"listen.{name}"
        if name in CHALLENGES.values():
            if config.acme is None:
                document.problem(key, "answers an ACME authority; write [acme]")
        elif name == METRICS:
            _check_metrics(document, config)
        elif name == WEB:
            _check_web(document, config, served)
        elif name not in served and name not in READERS:
            document.problem(key, "nothing serves this listener: no lane begins with a stage that does")
        if name in IMPLICIT_TLS and config.tls is None:
            document.problem(key, "speaks TLS from the first octet, so it needs a certificate: write [tls]")
    if METRICS in document.tables and METRICS not in config.listen:
        document.problem(METRICS, 'nothing listens; write [listen] metrics = "127.0.0.1:9125"')
    if WEB in document.tables and WEB not in config.listen:
        document.problem(WEB, 'nothing listens; write [listen] web = "127.0.0.1:8080"')
    if not config.listen:
        document.problem("listen", 'no listener; write at least [listen] smtp = "127.0.0.1:2525"')
