"""`postroad shaping`: how mail leaves for each site."""

import click

from engine.cli.shaping_actions import actions, lift, suspend


@click.group()
def shaping() -> None:
    """How mail leaves for each site, and what is done about what sites say."""


for command in (actions, lift, suspend):
    shaping.add_command(command)
