"""Whether the ports are ours or can be, and whether mail gets out."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from engine.cli.doctor.finding import Finding, Patient, good, problem, warning
from engine.net.listening import shown
from engine.net.targets import host_and_port

_SECONDS = 10.0
_MAIL = 25
"""Where other servers deliver (RFC 5321 4.5.4.2): MX records cannot name another port."""

_LISTEN = "0A"
"""TCP_LISTEN, as /proc/net/tcp has it."""


def look(patient: Patient) -> Iterator[Finding]:
    for name, (host, port) in patient.config.listen.items():
        if host.startswith("/"):
            continue
        if patient.running is None:
            yield _free(name, host, port)
        elif port:
            yield _served(patient, name, host, port)
    yield from _mail(patient)
    if patient.outgoing:
        yield _outgoing(patient.outgoing)


def _free(name: str, host: str, port: int) -> Finding:
    text = f"{name}: {shown(host, port)}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            # As the server itself tries it; nobody is shut out by a socket that is bound and does not listen.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        return _taken(text, port, error)
    return good(f"{text} is free")


def _taken(text: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        who = holder(port)
        named = f"{who} stop it, or choose another port" if who else f"`ss -ltnp 'sport = :{port}'` names it, as root"
        return problem(f"{text} is in use by {who or 'another program'}", "the server does not start", named)
    if error.errno == errno.EACCES:
        return warning(
            f"{text} is a port that you may not bind",
            "ports below 1024 are for root, and for services with CAP_NET_BIND_SERVICE",
            "start it by systemd, or as root with [server] user (docs/installing.md)",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return problem(f"{text}: this machine has no such address", "the server does not start", "ip address")
    return problem(f"{text}: {error.strerror}", "the server does not start", "change it in [listen]")


def holder(port: int) -> str:
    """The program that listens at a port, where we may see it; else nothing."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()}, process {process.name};"
    return ""


def _served(patient: Patient, name: str, host: str, port: int) -> Finding:
    text = f"{name}: {shown(host, port)}"
    try:
        socket.create_connection((near(host), port), _SECONDS).close()
    except OSError as error:
        return problem(
            f"{text} does not answer: {error}",
            "the server runs, but not there: pipeline.toml was changed since, or its workers are down",
            patient.again("reload"),
        )
    return good(f"{text} answers")


def near(host: str) -> str:
    """Where to connect to what listens there."""
    if not ip_address(host).is_unspecified:
        return host
    return "::1" if ":" in host and Path("/proc/net/if_inet6").exists() else "127.0.0.1"


def _mail(patient: Patient) -> Iterator[Finding]:
    ports = {port for name, (_, port) in patient.config.listen.items() if name.startswith("smtp")}
    if ports and _MAIL not in ports:
        yield warning(
            f"smtp listens at port {', '.join(map(str, sorted(ports)))}",
            "other servers deliver to port 25: without something that passes it on, no mail comes from outside",
            '[listen] smtp = "*:25"',
        )


def _outgoing(place: str) -> Finding:
    host, port = host_and_port(place, _MAIL)
    try:
        with socket.create_connection((host, port), _SECONDS) as sock:
            said = sock.recv(4)
    except OSError as error:
        return problem(
            f"no connection to {host}, port {port}: {error}",
            "if it is so everywhere, your provider lets no mail out, as many do: it stays in the queue",
            "ask the provider to open port 25, or send by a relay host (docs/egress.md)",
        )
    if said[:3] != b"220":
        return warning(f"{host}, port {port}, does not greet as a mail server", "it may refuse our address", "ask it")
    return good(f"{host}, port {port}, greets us: mail gets out")
