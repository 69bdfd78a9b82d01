"""How commands read how long, or how far back: "1h", "30d"."""

import click


def seconds(text: str, option: str) -> float:
    """How long that is. What is no duration is wrong usage of the option."""
    from engine.units import Duration

    try:
        return Duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
