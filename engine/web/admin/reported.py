"""Reports of others: who sends in the name of our domains, and whether it passes (DMARC); how TLS goes, in and out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR
from engine.figures.charts import Chart
from engine.operations import figures, reported, reports
from engine.operations.figures import SpanName
from engine.operations.reports import Dmarc, DmarcSource
from engine.reports.dmarc_inbox import KeptDmarc
from engine.reports.inbox import Kept
from engine.reports.naming import names
from engine.web.admin.charts import as_file, domains_of, seen, wordings
from engine.web.admin.drawn import Drawing, Picture, Wording
from engine.web.admin.scope import operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.rendering import page
from engine.web.sessions import require

SPANS: Mapping[str, int] = {"month": 31, "quarter": 92, "year": 366}
"""Days."""

MOST = 100
"""Sources, and results, that a page shows."""

PATIENCE = 2.0
"""Seconds that the DNS has to say who the sources are."""

_COLUMNS = (
    "domain", "source", "name", "messages", "passed", "failed", "dkim", "spf", "disposition", "from", "signed_by",
    "reasons",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page is about. ``domain`` is empty: all that whoever asks may see."""

    span: str
    domain: str
    domains: list[str]

    @property
    def days(self) -> int:
        return SPANS[self.span]


def _asked(request: Request) -> _Asked:
    """HTTPException."""
    domains = domains_of(request)
    span, domain = request.query_params.get("span", "month"), request.query_params.get("domain", "")
    if span not in SPANS or (domain and domain not in domains):
        raise HTTPException(404)
    return _Asked(span, domain, domains)


def _wordings(request: Request) -> Mapping[str, Wording]:
    """What these charts are called."""
    _ = translator(request)
    messages, sessions = _("messages"), _("sessions")
    return {
        "dmarc-results": Wording(
            _("Mail in our name, by what it passed"),
            messages,
            {
                "both": _("DKIM and SPF"),
                "dkim": _("DKIM alone"),
                "spf": _("SPF alone"),
                "failed": _("neither: it failed"),
            },
        ),
        "dmarc-dispositions": Wording(
            _("What was done with it"),
            messages,
            {"none": _("delivered"), "quarantine": _("quarantined"), "reject": _("refused")},
        ),
        "tls-received": Wording(
            _("Sessions of others with our servers, by result"),
            sessions,
            {"success": _("as they should be"), "unexplained": _("failed, unexplained")},
        ),
        "tls-received-policies": Wording(
            _("Sessions of others that failed, by policy"),
            sessions,
            {"sts": "MTA-STS", "tlsa": "DANE", "no-policy-found": _("no policy")},
        ),
    }


def _pictures(
    request: Request, asked: _Asked, times: Sequence[int], charts: Sequence[Chart], path: str
) -> list[Picture]:
    drawing, words = Drawing(request, asked.span, times, days=True), _wordings(request)
    rest = f"&span={asked.span}" + (f"&domain={asked.domain}" if asked.domain else "")
    return [drawing.picture(one, words[one.name], f"{path}?chart={one.name}{rest}") for one in charts]


# DMARC


async def _dmarc_reports(request: Request, asked: _Asked, now: float) -> list[KeptDmarc]:
    """StorageError."""
    inbox, by = context_of(request).inbox.dmarc, operator(request)
    since = reported.since(asked.days, now)
    return await trio.to_thread.run_sync(lambda: reported.dmarc_of(inbox.reports(since), by, asked.domain))


async def _named(request: Request, found: Dmarc) -> dict[str, str]:
    return await names(context_of(request).resolver().ask, [one.source for one in found.sources], PATIENCE)


@require(ADMINISTRATOR)
async def _dmarc(request: Request) -> Response:
    asked, now = _asked(request), time.time()
    kept = await _dmarc_reports(request, asked, now)
    found = await trio.to_thread.run_sync(reported.dmarc_summed, kept)
    times, charts = reported.dmarc_days(kept, asked.days, now)
    messages = sum(one.messages for one in found.sources)
    return page(
        request,
        "admin/dmarc.html",
        asked=asked,
        spans=list(SPANS),
        pictures=_pictures(request, asked, times, charts, "/admin/reports/dmarc.csv"),
        sources=found.sources[:MOST],
        left_out=max(len(found.sources) - MOST, 0),
        names=await _named(request, found),
        reporters=reported.dmarc_reporters(kept)[:MOST],
        reports=len(kept),
        messages=messages,
        passed=sum(one.passed for one in found.sources) / messages if messages else None,
        done=_wordings(request)["dmarc-dispositions"].names,
        rest=_rest(asked),
    )


@require(ADMINISTRATOR)
async def _dmarc_values(request: Request) -> Response:
    asked, now = _asked(request), time.time()
    kept = await _dmarc_reports(request, asked, now)
    chart = request.query_params.get("chart", "")
    if chart == "sources":
        found = await trio.to_thread.run_sync(reported.dmarc_summed, kept)
        known = await _named(request, found)
        rows = [_row(one, known.get(one.source, "")) for one in found.sources]
        return as_file(figures.as_csv(_COLUMNS, rows), f"dmarc-sources-{asked.span}.csv")
    return _of_days(*reported.dmarc_days(kept, asked.days, now), chart)


def _row(one: DmarcSource, name: str) -> list[object]:
    several = (one.disposition, one.header_from, one.signed_by, one.reasons)
    return [
        one.domain, one.source, name, one.messages, one.passed, one.failed, one.dkim, one.spf,
        *(", ".join(texts) for texts in several),
    ]  # fmt: skip


# TLS


async def _tls_reports(request: Request, asked: _Asked, now: float) -> list[Kept]:
    """StorageError."""
    inbox, by = context_of(request).inbox, operator(request)
    since = reported.since(asked.days, now)
    return await trio.to_thread.run_sync(lambda: reported.tls_of(inbox.reports(since), by, asked.domain))


@require(ADMINISTRATOR)
async def _tls(request: Request) -> Response:
    asked, now = _asked(request), time.time()
    kept = await _tls_reports(request, asked, now)
    times, charts = reported.tls_days(kept, asked.days, now, asked.domain)
    results = reports.by_failure([one.report for one in kept], asked.domain)
    return page(
        request,
        "admin/tls.html",
        asked=asked,
        spans=list(SPANS),
        pictures=_pictures(request, asked, times, charts, "/admin/reports/tls.csv"),
        sent=await _sent(request, asked),
        results=results[:MOST],
        reporters=reported.tls_reporters(kept)[:MOST],
        reports=len(kept),
        rest=_rest(asked),
    )


async def _sent(request: Request, asked: _Asked) -> list[Picture]:
    """Sessions with servers that we send to: of the whole server, for those who may see it."""
    if asked.domain or operator(request).domains is not None:
        return []
    span = cast(SpanName, "year" if asked.span == "quarter" else asked.span)
    found = await seen(request, span, part="tls")
    drawing, words = Drawing(request, span, found.times), wordings(request)
    return [
        drawing.picture(one, words[one.name], f"/admin/charts.csv?chart={one.name}&span={span}&part=tls")
        for one in found.charts
    ]


@require(ADMINISTRATOR)
async def _tls_values(request: Request) -> Response:
    asked, now = _asked(request), time.time()
    kept = await _tls_reports(request, asked, now)
    days = reported.tls_days(kept, asked.days, now, asked.domain)
    return _of_days(*days, request.query_params.get("chart", ""))


def _of_days(times: Sequence[int], charts: Sequence[Chart], name: str) -> Response:
    """One chart for spreadsheets, its days in UTC. HTTPException."""
    one = next((one for one in charts if one.name == name), None)
    if one is None:
        raise HTTPException(404)
    days = [time.strftime("%Y-%m-%d", time.gmtime(begin)) for begin in times]
    rows = zip(days, *(line.values for line in one.series), strict=False)
    return as_file(figures.as_csv(["day", *(line.name for line in one.series)], rows), f"{name}.csv")


def _rest(asked: _Asked) -> str:
    return f"&domain={asked.domain}" if asked.domain else ""


ROUTES = [
    Route("/admin/reports/dmarc", _dmarc, methods=["GET"]),
    Route("/admin/reports/dmarc.csv", _dmarc_values, methods=["GET"]),
    Route("/admin/reports/tls", _tls, methods=["GET"]),
    Route("/admin/reports/tls.csv", _tls_values, methods=["GET"]),
]
