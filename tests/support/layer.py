"""The Debian package, and a layer over this machine's files into which it is installed: nothing here changes."""

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.programs import path_of

LAYER = """
set -e
mount -t tmpfs -o size=2g none {room}
mkdir {room}/upper {room}/work {room}/root
mount -t overlay overlay -o lowerdir=/,upperdir={room}/upper,workdir={room}/work {room}/root
"""
"""This machine as it is, with a layer on top that takes all changes: in memory of its own, as /dev/shm may be small."""

MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif("POSTROAD_DEB" not in os.environ, reason="`make test-deb` builds a package and names it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages"),
    pytest.mark.skipif(
        subprocess.run(
            ["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_python_version())"],
            capture_output=True, text=True, check=False,
        ).stdout.strip() != sysconfig.get_python_version(),
        reason="these tests run under another Python than that of the system",
    ),
]  # fmt: skip
"""For tests that install the package."""


def built() -> Path:
    """The package that `make test-deb` has built."""
    return Path(os.environ["POSTROAD_DEB"]).absolute()


def apart(script: str, stdin: str = "", timeout: float = 20) -> "subprocess.CompletedProcess[str]":
    """Run it where nobody else sees what it mounts."""
    return subprocess.run(
        [path_of("unshare"), "--mount", "--propagation", "private", "sh", "-c", script], input=stdin,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
    )  # fmt: skip
