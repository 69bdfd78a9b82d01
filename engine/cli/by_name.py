"""A group of commands that knows where each is, and loads the file of one when it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class ByName(click.Group):
    """``places``: of each command its module in this package and its name there, "queue_looking:show"."""

    def __init__(self, *arguments: Any, places: Mapping[str, str], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._places = places

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"engine.cli.{module}"), name)
        return command
