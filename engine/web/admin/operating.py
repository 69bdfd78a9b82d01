"""How operations ask the workers from a thread."""

from functools import partial
from typing import Any

import trio
from starlette.requests import Request

from engine.operations.reading import Ask
from engine.web.context import Context, context_of

PATIENCE = 60.0
"""Seconds that another process of the server has to do something."""


def asking(request: Request) -> Ask:
    """Asks a worker; to be used in threads of ours."""
    context: Context = context_of(request)

    def ask(*question: Any) -> Any:
        return trio.from_thread.run(partial(context.ask, *question, seconds=PATIENCE))

    return ask
