"""How a command gets at the directory."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from engine.cli.errors import Refused, Unusable
from engine.directory import Directory, DirectoryError, Invalid, Unavailable


def open_directory(ctx: click.Context) -> Directory:
    """The directory of the server that `--config` (in ``ctx.obj``) describes."""
    from engine.config import ConfigError, load

    try:
        config = load(ctx.obj)
    except ConfigError as error:
        raise Unusable(str(error)) from error
    return Directory.open(config.server.data / "directory", config.domains.local)


@contextmanager
def opened(ctx: click.Context) -> Iterator[Directory]:
    """The open directory; its errors become those of the command."""
    try:
        with open_directory(ctx) as directory:
            yield directory
    except (Invalid, Unavailable) as error:
        raise Unusable(str(error)) from error
    except DirectoryError as error:
        raise Refused(str(error)) from error
