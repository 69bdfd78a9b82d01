"""`[smart_host.NAME]`: servers that take our mail because we have an account there."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config.document import Document
from engine.config.egress import named
from engine.config.files import check_readable
from engine.config.names import is_loopback

_PORTS = {"starttls": 587, "implicit": 465, "never": 25}
"""RFC 6409 3.1, RFC 8314 3.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartHost:
    host: str  # a name, which its certificate must have, or an address
    port: int = 0  # 0: the usual one
    login_file: Path | None = None  # the name in its first line, the password in the second
    tls: Literal["starttls", "implicit", "never"] = "starttls"  # verified; "never" for this machine alone
    trust: Path | None = None  # who vouches for the server, where the system does not
    certificate: Path | None = None  # ours, for a login by it
    key: Path | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return self.host.lower().rstrip("."), self.port or _PORTS[self.tls]


def read_smart_hosts(document: Document) -> dict[str, SmartHost]:
    found: dict[str, SmartHost] = {}
    for name, host in named(document, "smart_host", document.table("smart_host"), SmartHost):
        found[name] = host
        _check(document, f"smart_host.{name}", host)
    return found


def _check(document: Document, place: str, host: SmartHost) -> None:
    if not (re.fullmatch(r"[A-Za-z0-9_.-]+", host.host) or _is_address(host.host)):
        document.problem(f"{place}.host", f'{host.host!r} is no host; write it like "smtp.example.org"')
    if not 0 <= host.port < 65536:
        document.problem(f"{place}.port", f"must be one of 1 to 65535, not {host.port}")
    for key in ("login_file", "trust", "certificate", "key"):
        if (path := getattr(host, key)) is not None:
            check_readable(document, f"{place}.{key}", path)
    if (host.certificate is None) != (host.key is None):
        document.problem(f"{place}.certificate", "certificate and key go together")
    if host.tls == "never" and not is_loopback(host.host):
        document.problem(f"{place}.tls", '"never" is for this machine alone: elsewhere the password could be read')
    if host.tls == "never" and host.certificate is not None:
        document.problem(f"{place}.certificate", "there is no certificate without TLS")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
