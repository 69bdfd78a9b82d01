"""Operations about how the server did over time."""

import time
from functools import partial
from typing import Annotated

from msgspec import Meta

from engine.operations import figures
from engine.operations.figures import Figures, Part, SpanName
from engine.web.api.operating import operator_of
from engine.web.api.operation import Asked, Call, Operation


class OfTime(Asked, frozen=True):
    span: Annotated[SpanName, Meta(description="How far to look back.")] = "day"
    domain: Annotated[str, Meta(max_length=255, description="Only of this domain.")] = ""
    part: Annotated[Part, Meta(description="Of mail, or of TLS with the servers that we send to.")] = "mail"


async def show_figures(call: Call, *, query: OfTime) -> Figures:
    """Show what the server has measured over time: mail, spam, delays, the queue, logins."""

    def read() -> Figures:
        store = call.context.figures.opened()
        look = partial(figures.seen, store, operator_of(call), query.span, time.time())
        return figures.told(look(domain=query.domain, part=query.part))

    return await call.blocking(read)


ROWS = (Operation("GET", "/measures/figures", "measures:read", show_figures, by_domain=True),)
