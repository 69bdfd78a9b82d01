"""Whether this machine has the addresses that its mail is to leave from."""

import errno
import socket
from collections.abc import Iterator, Mapping

from engine.config import EgressSource


def missing(sources: Mapping[str, EgressSource]) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong) of each address that is not ours; those of a proxy cannot be known here."""
    for name, source in sources.items():
        if source.haproxy:
            continue
        for key in ("ipv4", "ipv6"):
            address = getattr(source, key)
            if address and not _is_ours(address):
                yield f"[egress.source.{name}] {key}", f"this machine does not have {address}"


def _is_ours(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True
