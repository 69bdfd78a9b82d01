"""Serving one connection to its end."""

import contextlib
import logging
from collections.abc import Iterator

from engine.net.connection import Connection, ConnectionLost

log = logging.getLogger(__name__)


@contextlib.contextmanager
def to_its_end(connection: Connection, protocol: str) -> Iterator[None]:
    """Close the connection behind all that is done with it, which never raises, but for cancellation."""
    peer = connection.peer
    try:
        yield
    except ConnectionLost as error:
        log.info("%s %s: %s", protocol, peer, error)
    except Exception:
        log.exception("%s %s: connection given up", protocol, peer)
    finally:
        connection.close()
