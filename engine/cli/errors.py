"""How a command says that it could not be done."""

import click


class Refused(click.ClickException):
    """A command that could not be done: there is no such thing, or it is there already. Exit code 1."""


class Unusable(click.ClickException):
    """A command whose arguments or configuration cannot be used."""

    exit_code = 2
