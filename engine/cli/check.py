"""`postroad check`: every mistake in pipeline.toml, with its line and what was meant."""

import click

from engine.cli.configured import config_option, configuration


@click.command()
@config_option
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say what is wrong with the configuration. Exit code 0: nothing; 2: something."""
    config = configuration(ctx)
    lanes = ", ".join(lane.name for lane in config.lanes)
    click.echo(f"{config.path} is good: lanes {lanes}; listeners {', '.join(config.listen)}")
