"""Programs that people change their Sieve scripts with, against a running server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import Certificates, needs, run
from tests.support.server import PASSWORD, Postroad

BOB = "bob@example.org"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[Postroad]:
    settings = {"tls": certificates.settings, "listen": {"managesieve": "127.0.0.1:0"}, "sieve": {"scripts": 2}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        yield server


@needs("sieve-connect")
def test_sieve_connect(server: Postroad, certificates: Certificates, tmp_path: Path) -> None:
    def connect(*arguments: str, fails: bool = False) -> str:
        password = tmp_path / "password"
        password.write_text(PASSWORD)
        return run(
            "sh", "-c", 'exec sieve-connect "$@" 3< "$0"', str(password), "--server", "localhost", "--4", "--port",
            str(server.ports["managesieve"]), "--user", BOB, "--passwordfd", "3", "--authmech", "PLAIN",
            "--tlscafile", str(certificates.authority), *arguments, good=not fails,
        )  # fmt: skip

    good, bad = tmp_path / "good.sieve", tmp_path / "bad.sieve"
    good.write_text('require "fileinto";\nfileinto "Archive";\n')
    bad.write_text("fly;\n")
    connect("--localsieve", str(good), "--remotesieve", "mine", "--upload")
    connect("--remotesieve", "mine", "--activate")
    assert '"mine" ACTIVE' in connect("--list")
    assert "no command is named `fly`" in connect(
        "--localsieve", str(bad), "--remotesieve", "x", "--upload", fails=True
    )
    assert "there is no such script" in connect("--remotesieve", "x", "--activate", fails=True)
    fetched = tmp_path / "fetched.sieve"
    connect("--remotesieve", "mine", "--localsieve", str(fetched), "--download")
    assert fetched.read_text() == good.read_text()
    connect("--deactivate")
    connect("--remotesieve", "mine", "--delete")
    assert "mine" not in connect("--list")
