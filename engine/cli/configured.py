"""What commands share: `--config` behind the command's name too, and a readable end when the file is no good."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from engine.config import Basis, Config, ConfigError, load, load_basis
from engine.observe.visible import visible

T = TypeVar("T")


def _override(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.obj = value


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`postroad run --config FILE` means the same as `postroad --config FILE run`."""
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_override,
        expose_value=False,
        help="The configuration file.",
    )(function)


def configuration(ctx: click.Context) -> Config:
    """The configuration; a wrong one ends the command with exit code 2 and every mistake."""
    return loaded(ctx.obj)


def basis(ctx: click.Context) -> Basis:
    """What of it needs no stage, in the same way: other tables may have mistakes, which `postroad check` tells."""
    return _loaded(load_basis, ctx.obj)


def loaded(path: Path) -> Config:
    """The configuration in that file, in the same way."""
    return _loaded(load, path)


def _loaded(read: Callable[[Path], T], path: Path) -> T:
    try:
        return read(path)
    except ConfigError as error:
        print_problems(error)
        sys.exit(2)


def data_of(pipeline: Path) -> Path:
    """The data folder that the file names, even if it has mistakes; the command ends when it cannot be read."""
    try:
        text = pipeline.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{pipeline}: {getattr(error, 'strerror', None) or error}")
    try:
        server = tomllib.loads(text).get("server", {})
        found = server.get("data", "var") if isinstance(server, dict) else "var"
    except ValueError:
        match = re.search(r'^\s*data\s*=\s*"([^"]*)"', text, re.MULTILINE)
        found = match[1] if match else "var"
    return pipeline.parent / str(found)


def print_problems(error: ConfigError) -> None:
    """Every mistake on a line of its own, and their number."""
    count = len(error.problems)
    click.echo(str(error), err=True)
    click.echo(f"{count} mistake{'s' * (count != 1)}; nothing was changed", err=True)


@contextmanager
def failing() -> Iterator[None]:
    """What the directory, the owner of the mailboxes or the server refuses ends the command as ``fail`` does."""
    from engine.directory import DirectoryError
    from engine.links.request import Unanswered

    try:
        yield
    except (DirectoryError, Unanswered) as error:
        fail(str(error))


def fail(text: str) -> NoReturn:
    """End with exit code 1, "no"."""
    click.echo(visible(f"postroad: {text}"), err=True)
    sys.exit(1)
