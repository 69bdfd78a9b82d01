"""PostgreSQL with a small organisation in it, private to a test."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.directory import passwords
from tests.support.programs import path_of
from tests.support.server import PASSWORD, PATIENCE, ROOT, Settings, free_port, program, until

SECRET = "of the service"

_USER = "postgres" if os.getuid() == 0 else None
"""Who runs it: it refuses to be root."""

_PEOPLE = """\
INSERT INTO domains VALUES ('second.test');
INSERT INTO accounts (address, password, scram, send_as) VALUES
    ('ann@example.org', {hash}, {keys}, '{{boss@example.org,@partner.test}}'), ('bob@example.org', {hash}, '', '{{}}'),
    ('silent@example.org', '', '', '{{}}');
INSERT INTO aliases VALUES
    ('team@example.org', 'ann@example.org'), ('team@example.org', 'bob@example.org'),
    ('far@example.org', 'X@elsewhere.test'), ('@second.test', 'ann@example.org');
"""


def schema() -> str:
    """The tables as docs/operating.md has them."""
    found = re.search(r"```sql\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


class Postgresql:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._data = folder / "data"
        self._secret = folder / "secret"
        self._secret.write_text(SECRET + "\n")
        self._secret.chmod(0o644)
        self._run("initdb", "-D", str(self._data), "-U", "postroad", "-A", "scram-sha-256", "--no-sync",
                  f"--pwfile={self._secret}")  # fmt: skip
        self._running = contextlib.ExitStack()

    @property
    def database(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname=postgres user=postroad"

    def settings(self, **changes: object) -> Settings:
        """The table ``[directory.postgresql]``."""
        return {
            "database": self.database,
            "password_file": str(self._secret),
            "scram": True,
            "postmaster": "ann@example.org",
            "timeout": "30s",
            **changes,
        }

    def start(self) -> None:
        command = [
            path_of("postgres"), "-D", str(self._data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "fsync=off",
        ]  # fmt: skip
        self._running.enter_context(program(command, self.port, user=_USER, end=signal.SIGINT))
        ready = [path_of("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL to take connections")

    def stop(self) -> None:
        """At once, whoever is connected."""
        self._running.close()

    def fill(self) -> None:
        hashed, keys = (f"'{one}'" for one in (passwords.hashed(PASSWORD), passwords.verifier(PASSWORD)))
        self.obey(schema() + _PEOPLE.format(hash=hashed, keys=keys))

    def obey(self, statements: str) -> None:
        import psycopg

        with psycopg.connect(self.database, password=SECRET, autocommit=True) as connection:
            connection.execute(statements.encode())

    def _run(self, program_: str, *arguments: str) -> None:
        done = subprocess.run(
            [path_of(program_), *arguments], capture_output=True, text=True, timeout=4 * PATIENCE, user=_USER,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def postgresql(_: Path) -> Iterator[Postgresql]:
    """Run a server meanwhile, in a folder that its user can reach: not in one of pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="postroad-postgresql-"))
    try:
        if _USER:
            shutil.chown(folder, _USER)
        found = Postgresql(folder)
        found.start()
        try:
            found.fill()
            yield found
        finally:
            found.stop()
    finally:
        shutil.rmtree(folder)
