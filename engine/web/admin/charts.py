"""Charts: what the server has measured over a day, a week, a month or a year; of a domain for who administers it."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import trio
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, Embedded
from engine.figures.charts import Charts
from engine.figures.spans import SPANS
from engine.operations import figures
from engine.operations.figures import Part, SpanName
from engine.storage.environment import StorageError
from engine.web.admin.drawn import Drawing, Wording
from engine.web.admin.scope import operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.rendering import page
from engine.web.sessions import require

_SPARKS = ("taken", "handed-on", "trouble", "spam", "delay", "queue")
_LAST = ("delay", "queue")
"""Of these the last value is told, of the others their sum."""


class Spark(NamedTuple):
    """A chart of the last day in small."""

    name: str
    title: str
    told: str
    drawn: Markup


def wordings(request: Request) -> Mapping[str, Wording]:
    """All charts in the reader's words."""
    _ = translator(request)
    messages, recipients, sessions = _("messages"), _("recipients"), _("sessions")
    good, junk, parked, refused = _("no spam"), _("into Junk"), _("quarantined"), _("refused")
    returned = _("returned")
    policies = {"sts": "MTA-STS", "tlsa": "DANE", "no-policy-found": _("no policy")}
    return {
        "taken": Wording(_("Mail taken in, by lane"), messages, {}),
        "handed-on": Wording(
            _("Mail delivered"), recipients, {"mailboxes": _("into mailboxes"), "servers": _("to other servers")}
        ),
        "trouble": Wording(
            _("Mail that was not delivered"),
            _("recipients and tries"),
            {"deferred": _("deferred"), "returned": returned, "refused": _("refused at the door")},
        ),
        "spam": Wording(
            _("What scanners said"), messages, {"clean": good, "junk": junk, "quarantined": parked, "refused": refused}
        ),
        "viruses": Wording(_("Mail with viruses"), messages, {"viruses": _("with a virus")}),
        "delay": Wording(
            _("Time from acceptance to delivery"),
            _("how long mail took at most"),
            {"p50": _("half of the mail"), "p90": _("90 % of the mail"), "p99": _("99 % of the mail")},
        ),
        "queue": Wording(
            _("The queue"), messages, {"under-way": _("under way or waiting"), "parked": _("held or parked")}
        ),
        "oldest": Wording(_("Age of the oldest message in the queue"), "", {"oldest": _("the oldest")}),
        "logins": Wording(
            _("Logins that failed"), _("tries"), {"wrong": _("wrong password or name"), "banned": _("while banned")}
        ),
        "received": Wording(_("Mail received"), recipients, {"clean": _("into the inbox and folders"), "junk": junk}),
        "sent": Wording(
            _("Mail sent to elsewhere"), recipients, {"sent": _("delivered to other servers"), "returned": returned}
        ),
        "tls-sent": Wording(
            _("Sessions with servers that we send to, by result"), sessions, {"success": _("as they should be")}
        ),
        "tls-sent-policies": Wording(_("Sessions that failed, by policy"), sessions, policies),
    }


def domains_of(request: Request) -> list[str]:
    """Domains of which they may see charts."""
    by, context = operator(request), context_of(request)
    directory = context.directory()
    known = (
        [one.name for one in directory.domains()] if isinstance(directory, Embedded) else context.config.domains.local
    )
    return sorted(filter(by.may, known))


def asked_for(request: Request, domains: Sequence[str]) -> tuple[SpanName, str]:
    """The span and the domain of a page; empty: all of the server. HTTPException."""
    span = next((one for one in SPANS if one == request.query_params.get("span", "day")), None)
    domain = request.query_params.get("domain", "")
    if span is None or (domain and domain not in domains):
        raise HTTPException(404)
    if not domain and operator(request).domains is not None:
        if not domains:
            raise HTTPException(403)
        domain = domains[0]
    return span, domain  # type: ignore[return-value]  # it is one of the names


async def seen(request: Request, span: SpanName, domain: str = "", part: Part = "mail") -> Charts:
    """The charts of all of the server, or of a domain. StorageError."""
    store, by = context_of(request).figures, operator(request)
    look = partial(figures.seen, by=by, span=span, now=time.time(), domain=domain, part=part)
    return await trio.to_thread.run_sync(lambda: look(store.opened()))


@require(ADMINISTRATOR)
async def _charts(request: Request) -> Response:
    domains = domains_of(request)
    span, domain = asked_for(request, domains)
    found = await seen(request, span, domain)
    drawing, words = Drawing(request, span, found.times), wordings(request)
    return page(
        request,
        "admin/charts.html",
        pictures=[drawing.picture(one, words[one.name], _csv(one.name, span, domain)) for one in found.charts],
        span=span,
        spans=list(SPANS),
        domain=domain,
        domains=domains,
        is_owner=operator(request).domains is None,
        keeps=bool(context_of(request).config.figures.keep),
    )


@require(ADMINISTRATOR)
async def _values(request: Request) -> Response:
    span, domain = asked_for(request, domains_of(request))
    part: Part = "tls" if request.query_params.get("part") == "tls" else "mail"
    found, name = await seen(request, span, domain, part), request.query_params.get("chart", "")
    if name not in {one.name for one in found.charts}:
        raise HTTPException(404)
    return as_file(figures.as_csv(*figures.rows_of(found, name)), f"{name}-{span}.csv")


async def sparks(request: Request) -> list[Spark]:
    """The last day in small, for the overview; empty while nothing is kept."""
    try:
        found = await seen(request, "day")
    except StorageError:  # the overview is for days on which something does not work
        return []
    drawing, words = Drawing(request, "day", found.times), wordings(request)
    charts = {one.name: one for one in found.charts}
    told = {name: drawing.last(charts[name]) if name in _LAST else drawing.total(charts[name]) for name in _SPARKS}
    return [
        Spark(name, words[name].title, told[name], drawing.spark(charts[name], words[name].title)) for name in _SPARKS
    ]


def as_file(text: str, name: str) -> Response:
    """What is to be saved under a name of ours."""
    disposition = {"content-disposition": f'attachment; filename="{name}"'}
    return PlainTextResponse(text, media_type="text/csv", headers=disposition)


def _csv(chart: str, span: str, domain: str) -> str:
    return f"/admin/charts.csv?chart={chart}&span={span}" + (f"&domain={domain}" if domain else "")


ROUTES = [
    Route("/admin/charts", _charts, methods=["GET"]),
    Route("/admin/charts.csv", _values, methods=["GET"]),
]
