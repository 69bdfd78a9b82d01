"""How the server is, and the pipeline as it runs, refreshed by server-sent events."""

import math
from collections.abc import Sequence
from typing import Any

from babel.numbers import format_decimal
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engine.directory import OWNER
from engine.drawing.pipeline import NO_NOTES
from engine.drawing.svg import as_svg
from engine.watching.wording import notes_of, time_taken
from engine.web.admin.charts import sparks
from engine.web.admin.watch import Watch
from engine.web.bounds import bounded
from engine.web.languages import language_of
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.streams import Emit, EventStream


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

    @require(OWNER)
    async def pipeline(request: Request) -> Response:
        return page(request, "admin/pipeline.html", picture=_picture(watch))

    @require(OWNER)
    @bounded(seconds=math.inf)
    async def pipeline_live(request: Request) -> Response:
        async def produce(emit: Emit) -> None:
            shown = ""
            with watch.watching():
                while True:
                    picture = _picture(watch)
                    if picture != shown:
                        await emit("picture", picture)
                    shown = picture
                    await watch.next()

        return EventStream(request, produce)

    return [
        Route("/admin/overview", overview, methods=["GET"]),
        Route("/admin/overview/live", overview_live, methods=["GET"]),
        Route("/admin/pipeline", pipeline, methods=["GET"]),
        Route("/admin/pipeline/live", pipeline_live, methods=["GET"]),
    ]


def _picture(watch: Watch) -> str:
    """The drawing that `postroad show` makes, with its figures where there are any."""
    notes = notes_of(watch.reading) if watch.reading is not None else NO_NOTES
    return as_svg(watch.pipeline, notes, style=False)


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
        "oldest": time_taken(reading.oldest) if reading and reading.oldest else "–",
        "workers": f"{answering}/{expected}",
        "reasons": watch.reasons,
        "point": list(point) if point else None,
    }


def _number(value: float, language: str) -> str:
    return str(format_decimal(round(value, 1 if value < 10 else 0), locale=language))
