"""`postroad check`: every mistake in pipeline.toml, with its line and what was meant."""

import sys

import click

from engine.cli.configured import config_option, configuration, print_problems
from engine.config import ConfigError
from engine.net.tls import ServerTls
from engine.runtime.certificates import server_tls, troubles


@click.command()
@config_option
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say what is wrong with the configuration.

    Exit code 0: nothing; 1: a certificate or an address needs care; 2: mistakes.
    """
    config = configuration(ctx)
    try:
        found = list(troubles(server_tls(config, ServerTls())))
        if config.directory is not None:
            from engine.runtime.roles.opened import directory_of  # slow to import

            directory_of(config).close()
        if config.egress.sources or config.smart_hosts:
            from engine.runtime.roles.opened import plan_of

            plan_of(config)
    except ConfigError as error:
        print_problems(error)
        sys.exit(2)
    for _, why in found:
        click.echo(f"{config.path}: [tls]: {why}", err=True)
    from engine.egress.addresses import missing  # slow to import

    absent = list(missing(config.egress.sources))
    for setting, why in absent:
        click.echo(f"{config.path}: {setting}: {why}", err=True)
    lanes = ", ".join(lane.name for lane in config.lanes)
    click.echo(f"{config.path} is good: lanes {lanes}; listeners {', '.join(config.listen)}")
    sys.exit(bool(found or absent))
