"""`postroad run`: the server, in the foreground."""

from contextlib import closing

import click

from engine.cli.configured import config_option, configuration
from engine.runtime.spawner import Spawner


@click.command()
@click.option("--demo", is_flag=True, help="Make an account to try things with, and say how.")
@config_option
@click.pass_context
def run(ctx: click.Context, demo: bool) -> None:
    """Run the server until SIGTERM or Ctrl-C. Events go to standard error, one `ready` line to standard output."""
    with closing(Spawner()) as spawner:
        spawner.start()  # first of all: what it loads takes as long as all that we load ourselves
        from engine.cli.serving import serve

        serve(configuration(ctx), spawner, demo=demo)
