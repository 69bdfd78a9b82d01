"""How a command says that it could not be done."""

from collections.abc import Iterator

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


def readable(error: BaseException) -> BaseException:
    """What the machine refused, as the end of a command in one line; any other error, which is a bug, unchanged."""
    from engine.operations.impossible import Impossible
    from engine.storage.environment import plain  # slow to import

    errors = list(inner(error))
    for found in errors:
        if isinstance(found, KeyboardInterrupt):
            return click.Abort()
        if isinstance(found, BrokenPipeError):  # who read our answer has seen enough: click ends without a word
            return found
    texts = [str(found) if isinstance(found, Impossible) else plain(found) for found in errors]
    return Refused(texts[0]) if all(texts) else error


def inner(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, which nurseries raise; or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for found in error.exceptions:
        yield from inner(found)
