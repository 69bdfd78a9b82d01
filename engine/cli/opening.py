"""How a command gets at the directory."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine import directory as directories
from engine.cli.errors import Refused, Unusable
from engine.directory import Directory, DirectoryError, Embedded, Invalid
from engine.operations.operator import Operator, user
from engine.runtime.trail import Trail
from engine.scanning.guard import Unreachable

if TYPE_CHECKING:
    from engine.abuse import Tables
    from engine.config import Basis
    from engine.lists import Lists
    from engine.login import Guard, Rates
    from engine.storage.store import Store


def open_directory(ctx: click.Context) -> Embedded:
    """The directory of the server that `--config` (in ``ctx.obj``) describes."""
    config = _config(ctx)
    if config.directory is not None:
        raise Refused("[directory] in pipeline.toml says that another server keeps them: look, and change them, there")
    return Embedded.open(config.server.data / "directory", config.domains.local)


@contextmanager
def whichever(ctx: click.Context) -> Iterator[Directory]:
    """The directory that the server asks, wherever it is kept; its errors become those of the command."""
    with translated(), closing(directories.open_directory(_config(ctx))) as directory:
        yield directory


def open_guard(ctx: click.Context) -> "Guard":
    """What is kept of its logins."""
    from engine.login import Guard

    config = _config(ctx)
    return Guard.open(config.server.data / "logins", config.login)


def open_rates(ctx: click.Context) -> "Rates":
    """How much its accounts have sent."""
    from engine.login import Rates

    return Rates.open(_config(ctx).server.data / "rates")


def configured(ctx: click.Context) -> "Basis":
    """What of the configuration needs no stage; a wrong one ends the command."""
    return _config(ctx)


def open_tables(ctx: click.Context) -> "Tables":
    """What it remembers of clients and accounts; what is changed changes on the shared server too."""
    from engine.abuse import Tables
    from engine.abuse.valkey import Valkey

    config = _config(ctx)
    tables = Tables.open(config.server.data / "abuse")
    if config.shared is not None:
        tables.server, tables.strict = Valkey(config.shared), True
    return tables


@contextmanager
def lists(ctx: click.Context) -> Iterator["Lists"]:
    """The allow and block lists, open; their errors become those of the command."""
    from engine.lists import FOLDER, Lists
    from engine.storage.files import give_to

    data = _config(ctx).server.data
    with translated(), Lists.open(data) as opened:
        give_to(data.stat(), data / FOLDER)
        yield opened


def _config(ctx: click.Context) -> "Basis":
    from engine.config import ConfigError, load_basis

    try:
        return load_basis(ctx.obj)
    except ConfigError as error:
        raise Unusable(str(error)) from error


@contextmanager
def opened(ctx: click.Context) -> Iterator[Embedded]:
    """The open directory; its errors become those of the command."""
    with translated(), open_directory(ctx) as directory:
        yield directory


def operator(store: "Store") -> Operator:
    """Who gives the command; what it changes in a store of the data folder is told in the server's log."""
    return operator_of(store.folder.parent)


def operator_of(data: Path) -> Operator:
    """Who gives a command about this data folder."""
    return Operator(user(), note=Trail(data).leave)


def onlooker() -> Operator:
    """Who gives a command that changes nothing."""
    return Operator(user())


def warn_of(addresses: Iterable[str]) -> None:
    """Say that nobody is there yet of that name."""
    for address in addresses:
        click.echo(f"Warning: there is no {address} here yet.", err=True)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the directory become those of the command."""
    try:
        yield
    except Invalid as error:
        raise Unusable(str(error)) from error
    except (DirectoryError, Unreachable) as error:
        raise Refused(str(error)) from error
