"""Foreign programs: found, or else their tests are skipped by the program's name."""

import os
import shutil
import subprocess
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.server import PATIENCE

# Debian has Postfix's programs in sbin, and PostgreSQL's in a folder for each of its versions.
_PATH = os.pathsep.join(
    (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *sorted(glob("/usr/lib/postgresql/*/bin")))
)


def path_of(program: str) -> str:
    return shutil.which(program, path=_PATH) or program


def needs(*programs: str, perl: str = "", header: str = "") -> Callable[[Any], Any]:
    """Mark a test that drives these programs, the first of which may need a Perl module or a C header for it."""

    def mark(test: Any) -> Any:
        for one in marks(*programs, perl=perl, header=header):
            test = one(test)
        return test

    return mark


def marks(*programs: str, perl: str = "", header: str = "") -> list[pytest.MarkDecorator]:
    """The marks that ``needs`` gives, for ``pytestmark`` in a module whose tests all drive these programs."""
    absent = [program for program in programs if shutil.which(program, path=_PATH) is None]
    if (
        perl
        and not absent
        and subprocess.run(["perl", f"-M{perl}", "-e1"], capture_output=True, check=False).returncode
    ):
        absent.append(f"the Perl module {perl}")
    if header and not Path("/usr/include", header).exists():
        absent.append(header)

    if absent and os.environ.get("POSTROAD_NO_SKIPS"):
        raise LookupError(f"{', '.join(absent)} not installed, and here no test may be skipped")
    return [pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} not installed"), pytest.mark.client]


def run(*command: str, stdin: bytes = b"", good: bool = True) -> str:
    """Run a program to its end; what it said. AssertionError unless it ends well, or badly if not ``good``."""
    done = subprocess.run(
        [path_of(command[0]), *command[1:]], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    said = done.stdout.decode("utf-8", "replace")
    assert (done.returncode == 0) is good, f"{command[0]} ended with {done.returncode}:\n{said}"
    return said


def put(issued: trustme.LeafCert, certificate: Path, key: Path) -> None:
    """Write a certificate and its key as a renewal should: a reader never finds half a file."""
    for path, octets in (
        (key, issued.private_key_pem.bytes()),
        (certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
    ):
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(octets)
        new.replace(path)


class Certificates:
    """A certificate for mx.example.org and the loopback address, from an authority of its own."""

    def __init__(self, folder: Path, *names: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = folder / "ca.pem"
        self.certificate = folder / "cert.pem"
        self.key = folder / "key.pem"
        authority = trustme.CA()
        names = names or ("mx.example.org", "localhost", "127.0.0.1")
        issued = authority.issue_cert(*names, common_name=names[0])  # fetchmail wants that there is one
        authority.cert_pem.write_to_path(self.authority)
        put(issued, self.certificate, self.key)

    @property
    def settings(self) -> dict[str, str]:
        """The table ``[tls]``."""
        return {"certificate": str(self.certificate), "key": str(self.key)}
