"""How a command says that it could not be done."""

import click

from engine.observe.visible import visible


class _Said(click.ClickException):
    def format_message(self) -> str:
        return visible(self.message)


class Refused(_Said):
    """A command that could not be done: there is no such thing, or it is there already. Exit code 1."""


class Unusable(_Said):
    """A command whose arguments or configuration cannot be used."""

    exit_code = 2
