"""Addresses, ports and names of hosts and domains, as people write them."""

import ipaddress
import re

import idna

from engine.config.document import Document
from engine.protocols.endpoint import endpoint


def address_and_port(text: str) -> tuple[str, int]:
    """Where to listen. ValueError."""
    match = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[\d.]+|\*|localhost)):(?P<port>\d{1,5})", text)
    if not match or int(match["port"]) > 65535:
        raise ValueError(f'{text!r} is no address; write "127.0.0.1:2525", "[::1]:2525" or "*:25" for all')
    host = match["six"] or match["four"]
    if host == "*":
        return "::", int(match["port"])
    if host == "localhost":
        return "127.0.0.1", int(match["port"])
    ipaddress.ip_address(host)
    return host, int(match["port"])


def address_written(host: str, port: int) -> str:
    """The same as it is written in pipeline.toml: ``*:25``, ``[::1]:25``; of a Unix socket, its path."""
    if not port:
        return host
    return f"*:{port}" if host == "::" else endpoint(host, port)


def check_name_server(document: Document, key: str, text: str) -> None:
    try:
        address_and_port(text if re.search(r"(\]|^[\d.]+):\d+$", text) else _with_port(text))
    except ValueError:
        document.problem(key, f'{text!r} is no address; write "127.0.0.1", "127.0.0.1:5353", "[::1]:53"')


def _with_port(address: str) -> str:
    return f"[{address.strip('[]')}]:53" if ":" in address else f"{address}:53"


def check_domain(document: Document, key: str, domain: str) -> None:
    try:
        a_label(domain)
    except ValueError as error:
        document.problem(key, str(error))


def a_label(domain: str) -> str:
    """The domain as DNS has it (RFC 5890 2.3.2.1). ValueError."""
    try:
        return idna.encode(domain.rstrip("."), uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is no domain name: {error}") from error


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(document: Document, key: str, address: str) -> None:
    if not re.fullmatch(r"[^\s@<>()\[\],;:\"]+@[a-z0-9.-]+", address):
        document.problem(key, f'{address!r} is no address; write it like "postmaster@example.org"')
