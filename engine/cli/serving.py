"""The server in the foreground, and what `postroad run` says of it."""

import contextlib
import secrets
import sys
from collections.abc import Mapping

import click

from engine.cli.configured import fail
from engine.cli.errors import inner
from engine.config import Config
from engine.directory import OWNER, AlreadyThere, DirectoryError, Embedded
from engine.net.listening import CannotListen, shown
from engine.net.targets import is_loopback
from engine.runtime.ground import CannotStart
from engine.runtime.spawner import Spawner
from engine.runtime.supervisor import run
from engine.storage.environment import StorageError

_KNOWN = (CannotStart, CannotListen, StorageError, DirectoryError)


def serve(config: Config, spawner: Spawner, *, demo: bool) -> None:
    """Until a signal ends it. ``demo``: make an account to try things with, and say how."""

    def announce(bound: dict[str, tuple[str, int]]) -> None:
        # There once we say that we are ready.
        account = demo_account(config, owns=owns(bound)) if demo and "smtp" in bound else None
        click.echo("ready " + " ".join(f"{name}={shown(*address)}" for name, address in bound.items()))
        if account is not None:
            _introduce(*account, bound)
        sys.stdout.flush()

    try:
        run(config, announce, spawner)
    except (BaseExceptionGroup, *_KNOWN) as error:
        errors = list(inner(error))
        if not all(isinstance(found, _KNOWN) for found in errors):
            raise
        fail(str(errors[0]))


def owns(bound: Mapping[str, tuple[str, int]]) -> bool:
    """Whether the demo account is an owner in the pages: where there are any, and nobody comes from elsewhere."""
    return "web" in bound and is_loopback(bound["web"][0])


def demo_account(config: Config, *, owns: bool) -> tuple[str, str] | None:
    """The address and password of an account; None where we keep none. Made at the first start, beside the data."""
    if not config.domains.local or config.directory is not None:
        return None
    address = f"demo@{config.domains.local[0]}"
    kept = config.server.data / "demo-password"
    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(12) + "\n")
    password = kept.read_text().strip()
    path = config.server.data / "directory"
    with Embedded.open(path, config.domains.local) as directory:
        with contextlib.suppress(AlreadyThere):
            directory.add_account(address, password)
            directory.set_roles(address, [OWNER])
        found = directory.account(address)
        if found is not None and OWNER in found.roles and not owns:
            directory.set_roles(address, removed=[OWNER])
    return address, password


def _introduce(address: str, password: str, bound: dict[str, tuple[str, int]]) -> None:
    """Print the demo account, and lines to copy."""
    at = {name: shown(*where) for name, where in bound.items()}
    click.echo(f"\nA demo account:  {address}  password {password}")
    if "web" in at:
        click.echo(f"Sign in with it:  http://{at['web']}/  (its mail, and the administration)")
    click.echo("Send it a message:\n")
    click.echo(
        f"  printf 'From: you@example.net\\nTo: {address}\\nSubject: Hello\\n\\nIt works.\\n' | "
        f"curl -s smtp://{at['smtp']} --mail-from you@example.net --mail-rcpt {address} --upload-file - --crlf"
    )
    if "pop3" in at:
        click.echo(f"\nRead it:\n\n  curl -s pop3://{at['pop3']}/1 --user '{address}:{password}'\n")
    if "imap" in at:
        host, port = bound["imap"]
        click.echo(f"Or point a mail program at it: IMAP on {host}, port {port}, without encryption.\n")
