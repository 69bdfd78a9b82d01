"""A SpamAssassin of the test's own: no network, no user's settings, and no rules but Debian's."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import path_of
from tests.support.server import free_port, program

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""What SpamAssassin takes for spam."""


@contextlib.contextmanager
def spamd(folder: Path, port: int = 0) -> Iterator[int]:
    """The port of a spamd that runs meanwhile."""
    port = port or free_port()
    command = [
        path_of("spamd"), "--local", "--nouser-config", "--helper-home-dir", str(folder), "--username", "nobody",
        "--listen", "127.0.0.1", "--port", str(port), "--max-children", "3", "--syslog", "null",
    ]  # fmt: skip
    with program(command, port):
        yield port
