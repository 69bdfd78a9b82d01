"""What `postroad init` asks: each answer with its default, and what makes it a good one."""

import contextlib
import os
import pwd
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias, TypeVar

import click

from engine.directory import Invalid, valid_address, valid_domain

Answer = TypeVar("Answer")

_DATA, _ETC = Path("/var/lib/postroad"), Path("/etc/postroad")
"""Where a package has them."""

_PASSWORD_OCTETS = 15
"""Octets of chance in a password that we make: 20 letters."""

_CLAMD = ("/run/clamav/clamd.ctl", "/var/run/clamav/clamd.ctl", "/run/clamd.scan/clamd.sock")
"""Where Debian's and Fedora's clamd listen."""

_RSPAMD = ("127.0.0.1", 11333)
_LOOK = 0.5
"""Seconds in which a scanner of this machine must answer to count as there."""


@dataclass(frozen=True, slots=True)
class Acme:
    """Certificates from an authority."""

    email: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate that is there."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """A certificate that nobody trusts, for a trial."""


Tls: TypeAlias = Acme | Files | SelfSigned


@dataclass(frozen=True, slots=True)
class Relay:
    """The server that takes all that goes out."""

    host: str
    port: int
    login: str = ""  # our name there
    password: str = field(default="", repr=False)

    @property
    def tls(self) -> str:
        """As `[smart_host.NAME]` has it: by its port (RFC 8314 3.3)."""
        return "implicit" if self.port == 465 else "starttls"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where we listen. A trial beside another server takes other ports."""

    bind: str = "*"
    offset: int = 0

    def at(self, port: int) -> str:
        return f"{self.bind}:{port + self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All that must be known to write a configuration."""

    hostname: str  # in A-labels, as all names here
    domains: tuple[str, ...]
    account: str
    password: str = field(repr=False)
    made: bool  # whether the password was made here, and has to be told
    tls: Tls
    relay: Relay | None = None
    scanners: Mapping[str, str] = field(default_factory=dict)  # keys of the scanning stage → where it is
    ports: Ports = Ports()
    data: Path | None = None  # None: beside the configuration
    user: str = ""
    addresses: tuple[str, ...] = ()  # that the world sees
    trust_loopback: bool = True  # whether programs of this machine may send to the world


def ask(question: str, default: str, check: Callable[[str], Answer], *, silent: bool) -> Answer:
    """A checked answer of a person, who is asked again until it is one; ``silent``: the default is the answer.

    ValueError where that is not good.
    """
    if silent:
        return check(default)
    while True:
        try:
            return check(click.prompt(question, default=default or None, type=str).strip())
        except ValueError as error:
            click.echo(f"  {error}", err=True)


def hostname(text: str) -> str:
    """A name with a dot. ValueError."""
    name = domain(text)
    if "." not in name:
        raise ValueError(f"{text!r} is not the whole name of a host, such as mx.example.org")
    return name


def domain(text: str) -> str:
    """In A-labels. ValueError."""
    if not text:
        raise ValueError("a name is needed")
    try:
        return valid_domain(text.rstrip("."))
    except Invalid as error:
        raise ValueError(str(error)) from error


def domains(text: str) -> tuple[str, ...]:
    """Several, parted by blanks or commas. ValueError."""
    found = tuple(dict.fromkeys(domain(word) for word in text.replace(",", " ").split()))
    if not found:
        raise ValueError("at least one domain is needed")
    return found


def account(local: tuple[str, ...]) -> Callable[[str], str]:
    """Checks an address, which must be of one of these domains; one without a domain is of the first."""

    def checked(text: str) -> str:
        try:
            address = valid_address(text if "@" in text else f"{text}@{local[0]}")
        except Invalid as error:
            raise ValueError(str(error)) from error
        if address.rpartition("@")[2] not in local:
            raise ValueError(f"{address} is in none of the domains {', '.join(local)}")
        return address

    return checked


def relay(text: str) -> tuple[str, int] | None:
    """``host`` or ``host:port``; None for nothing, or for "direct". ValueError."""
    if text in ("", "direct"):
        return None
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "587")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} has no port; write it like smtp.example.net:587")
    with contextlib.suppress(ValueError):
        return str(ip_address(host)), int(port)
    return domain(host), int(port)


def bind(text: str) -> str:
    """An address to listen at, as it stands before a port; ``*``: all. ValueError."""
    if text == "*":
        return text
    address = ip_address(text)
    return f"[{address}]" if address.version == 6 else str(address)


def file(text: str) -> Path:
    """One that can be read, by its absolute path. ValueError."""
    if not text:
        raise ValueError("a file is needed")
    path = Path(text).expanduser().absolute()
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def new_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_OCTETS)


def own_name() -> str:
    """The whole name of this machine, if it has one; else nothing."""
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") and not name.endswith(".arpa") else ""


def parent(name: str) -> str:
    """The domain that a host is in: mail for it is what it is there for, mostly."""
    above = name.partition(".")[2]
    return above if "." in above else name


def own_user() -> str:
    """The user that the server becomes: that of the package, if root sets it up; else nobody else."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postroad").pw_name if os.geteuid() == 0 else ""
    return ""


def in_container() -> bool:
    """Whether strangers may seem to come from this machine: some runtimes pass connections on by a proxy."""
    return any(os.path.exists(mark) for mark in ("/run/.containerenv", "/.dockerenv"))


def usual_data(folder: Path) -> Path | None:
    """Where a package has it, for a configuration where a package has it; else beside the configuration."""
    return _DATA if folder.absolute() == _ETC else None


def found_scanners() -> dict[str, str]:
    """Scanners of others that answer on this machine: key of the scanning stage → where."""
    found = {}
    with contextlib.suppress(OSError), socket.create_connection(_RSPAMD, _LOOK):
        found["rspamd"] = f"http://{_RSPAMD[0]}:{_RSPAMD[1]}"
    for path in _CLAMD:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_LOOK)
            sock.connect(path)
            found.setdefault("clamav", path)
    return found
