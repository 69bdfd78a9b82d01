"""How the server is, refreshed by server-sent events."""

import math
from collections.abc import Sequence
from typing import Any

from babel.numbers import format_decimal
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engine.directory import OWNER
from engine.watching.wording import time_taken
from engine.web.admin.charts import sparks
from engine.web.admin.watch import Watch
from engine.web.admin.wordings import figures
from engine.web.bounds import bounded
from engine.web.languages import language_of
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.streams import Emit, EventStream
from engine.wording.phrases import said


def routes(watch: Watch) -> Sequence[BaseRoute]:
    @require(OWNER)
    async def overview(request: Request) -> Response:
        return page(
            request, "admin/overview.html", now=_told(watch, language_of(request)), sparks=await sparks(request)
        )

    @require(OWNER)
    @bounded(seconds=math.inf)
    async def overview_live(request: Request) -> Response:
        language = language_of(request)

        async def produce(emit: Emit) -> None:
            with watch.watching():
                await emit("points", [list(point) for point in watch.points])
                while True:
                    await emit("now", _told(watch, language))
                    await watch.next()

        return EventStream(request, produce)

    return [
        Route("/admin/overview", overview, methods=["GET"]),
        Route("/admin/overview/live", overview_live, methods=["GET"]),
    ]


def _told(watch: Watch, language: str) -> dict[str, Any]:
    """What the tiles say."""
    reading = watch.reading
    queued = sum(reading.queued.values()) if reading else 0
    answering, expected = watch.answering
    point = watch.points[-1] if watch.points else None
    return {
        "arriving": _number(reading.arriving if reading else 0, language),
        "leaving": _number(reading.leaving if reading else 0, language),
        "queued": _number(queued, language),
        "oldest": figures(time_taken(reading.oldest), language) if reading and reading.oldest else "–",
        "workers": f"{answering}/{expected}",
        "reasons": [said(language, one) for one in watch.reasons],
        "warnings": [said(language, one) for one in watch.warnings],
        "point": list(point) if point else None,
    }


def _number(value: float, language: str) -> str:
    return str(format_decimal(round(value, 1 if value < 10 else 0), locale=language))
