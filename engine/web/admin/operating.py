"""Who acts in a page, as operations know them, and how these ask the workers from a thread."""

from functools import partial
from typing import Any

import trio
from starlette.requests import Request

from engine.directory import ADMINISTRATOR, OWNER
from engine.observe.events import event
from engine.operations.operator import Operator
from engine.operations.reading import Ask
from engine.web.context import Context, context_of
from engine.web.pages.account import own

PATIENCE = 60.0
"""Seconds that another process of the server has to do something."""


def operator_of(request: Request) -> Operator:
    """Whoever is signed in, for the domains that they administer. What they change is told in the log."""
    roles = own(request).roles
    domains = None if OWNER in roles.given else roles.domains(ADMINISTRATOR)
    return Operator(own(request).account.address, domains, event)


def asking(request: Request) -> Ask:
    """Asks a worker; to be used in threads of ours."""
    context: Context = context_of(request)

    def ask(*question: Any) -> Any:
        return trio.from_thread.run(partial(context.ask, *question, seconds=PATIENCE))

    return ask
