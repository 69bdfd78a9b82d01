"""How a command gets at the directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from engine.cli.errors import Refused, Unusable
from engine.directory import Directory, DirectoryError, Invalid, Unavailable

if TYPE_CHECKING:
    from engine.config import Config
    from engine.login import Guard, Rates


def open_directory(ctx: click.Context) -> Directory:
    """The directory of the server that `--config` (in ``ctx.obj``) describes."""
    config = _config(ctx)
    return Directory.open(config.server.data / "directory", config.domains.local)


def open_guard(ctx: click.Context) -> "Guard":
    """What is kept of its logins."""
    from engine.login import Guard

    config = _config(ctx)
    return Guard.open(config.server.data / "logins", config.login)


def open_rates(ctx: click.Context) -> "Rates":
    """How much its accounts have sent."""
    from engine.login import Rates

    return Rates.open(_config(ctx).server.data / "rates")


def _config(ctx: click.Context) -> "Config":
    from engine.config import ConfigError, load

    try:
        return load(ctx.obj)
    except ConfigError as error:
        raise Unusable(str(error)) from error


@contextmanager
def opened(ctx: click.Context) -> Iterator[Directory]:
    """The open directory; its errors become those of the command."""
    with translated(), open_directory(ctx) as directory:
        yield directory


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the directory become those of the command."""
    try:
        yield
    except (Invalid, Unavailable) as error:
        raise Unusable(str(error)) from error
    except DirectoryError as error:
        raise Refused(str(error)) from error
