"""The pipeline as it runs: lanes, links, stages and sites, drawn and as tables, refreshed by server-sent events."""

import math
import urllib.parse
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engine.directory import OWNER
from engine.drawing.pipeline import NO_NOTES
from engine.drawing.svg import Say, as_svg
from engine.observe.visible import on_one_line
from engine.watching.readings import LinkReading, StageReading
from engine.watching.wording import NOTHING, notes_of, rate, shares, time_taken
from engine.web.admin.standing import Busy, Standing
from engine.web.admin.watch import Watch
from engine.web.admin.wordings import figured, figures, saying
from engine.web.bounds import bounded
from engine.web.languages import language_of, texts
from engine.web.rendering import environment, page
from engine.web.sessions import require
from engine.web.streams import Emit, EventStream


def routes(watch: Watch, standing: Standing) -> Sequence[BaseRoute]:
    @require(OWNER)
    async def pipeline(request: Request) -> Response:
        language = language_of(request)
        tables = _tables(watch, await standing.now(), language)
        return page(request, "admin/pipeline.html", picture=_picture(watch, language), tables=tables)

    @require(OWNER)
    @bounded(seconds=math.inf)
    async def pipeline_live(request: Request) -> Response:
        language = language_of(request)

        async def produce(emit: Emit) -> None:
            shown = ("", "")
            with watch.watching():
                while True:
                    now = _picture(watch, language), _tables(watch, await standing.now(), language)
                    for name, before, text in zip(("picture", "tables"), shown, now, strict=True):
                        if text != before:
                            await emit(name, text)
                    shown = now
                    await watch.next()

        return EventStream(request, produce)

    return [
        Route("/admin/pipeline", pipeline, methods=["GET"]),
        Route("/admin/pipeline/live", pipeline_live, methods=["GET"]),
    ]


def address_of(link: str) -> str:
    """Where one sees what passes a link."""
    return f"/admin/pipeline/link?{urllib.parse.urlencode({'name': link})}"


def _picture(watch: Watch, language: str) -> str:
    """The drawing that `postroad show` makes, with its figures where there are any."""
    say = saying(texts(language).gettext)
    notes = figured(notes_of(watch.reading, say, full=True), language) if watch.reading is not None else NO_NOTES
    return as_svg(watch.pipeline, notes, style=False, say=say, leads=address_of)


def _tables(watch: Watch, sites: Sequence[Busy], language: str) -> str:
    """The same figures, and the sites, as tables."""
    say = saying(texts(language).gettext)
    read = {one.name: one for one in watch.reading.links} if watch.reading else {}
    return str(
        environment(language)
        .get_template("admin/pipeline_tables.html")
        .render(
            links=[_link(name, read.get(name), language) for name in watch.pipeline.links],
            stages=[_stage(one, say, language) for one in watch.reading.stages] if watch.reading else [],
            sites=sites,
            plain=on_one_line,
        )
    )


def _link(name: str, read: LinkReading | None, language: str) -> dict[str, str]:
    told = dict.fromkeys(("rate", "depth", "lag", "refused"), NOTHING)
    if read is not None:
        said = (rate(read.rate), f"{read.depth:,}", time_taken(read.lag), rate(read.refused))
        told = {key: figures(text, language) for key, text in zip(told, said, strict=True)}
    return {"name": name, "address": address_of(name), **told}


def _stage(read: StageReading, say: Say, language: str) -> dict[str, str]:
    said = {
        "rate": rate(read.rate),
        "shares": ", ".join(shares(read, say=say)) or NOTHING,
        "half": time_taken(read.half),
        "almost_all": time_taken(read.almost_all),
    }
    return {"name": read.name, **{key: figures(text, language) for key, text in said.items()}}
