"""`postroad check`: every mistake in pipeline.toml, with its line and what was meant; and what is hardly meant."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from engine.cli import tables
from engine.cli.configured import config_option, print_problems
from engine.config import Config, ConfigError, Problem, address_written, load
from engine.net.tls import ServerTls
from engine.runtime.certificates import server_tls, troubles


@click.command()
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def check(ctx: click.Context, *, strict: bool, as_json: bool) -> None:
    """Say what is wrong with the configuration, and warn of what is hardly meant.

    Exit code 0: nothing, or warnings; 1: a certificate or an address needs care; 2: mistakes.
    """
    try:
        config = load(ctx.obj)
        care = list(_care(config))
    except ConfigError as error:
        if as_json:
            tables.show_json({"good": False, "problems": list(map(_row, error.problems)), "care": [], "warnings": []})
        else:
            print_problems(error)
        sys.exit(2)
    from engine.operations.advising import warnings  # slow to import

    found = warnings(config)
    if as_json:
        tables.show_json(
            {"good": True, "problems": [], "care": care, "warnings": list(map(_row, found)), **_is(config)}
        )
    else:
        _say(config, care, found)
    sys.exit(bool(care or (strict and found)))


def _care(config: Config) -> Iterator[str]:
    """What keeps nobody from starting, but needs somebody's hand. ConfigError for what only shows when it is used."""
    certificates = list(troubles(server_tls(config, ServerTls())))
    if config.directory is not None:
        from engine.runtime.roles.opened import directory_of  # slow to import

        directory_of(config).close()
    if config.egress.sources or config.smart_hosts:
        from engine.runtime.roles.opened import plan_of

        plan_of(config)
    yield from (f"[tls]: {why}" for _, why in certificates)
    from engine.egress.addresses import missing  # slow to import

    yield from (f"{setting}: {why}" for setting, why in missing(config.egress.sources))


def _say(config: Config, care: Iterable[str], found: Iterable[Problem]) -> None:
    for text in care:
        click.echo(f"{config.path}: {text}", err=True)
    for one in found:
        click.echo(f"{config.path}:{one.line}: warning: {one.place}: {one.text}", err=True)
    lanes = ", ".join(lane.name for lane in config.lanes)
    click.echo(f"{config.path} is good: lanes {lanes}; listeners {', '.join(config.listen)}")


def _row(problem: Problem) -> dict[str, Any]:
    file = str(problem.path) if problem.path else None
    return {"file": file, "line": problem.line, "place": problem.place, "text": problem.text}


def _is(config: Config) -> dict[str, Any]:
    listeners = {name: address_written(host, port) for name, (host, port) in config.listen.items()}
    return {"lanes": {lane.name: list(lane.stages) for lane in config.lanes}, "listeners": listeners}
