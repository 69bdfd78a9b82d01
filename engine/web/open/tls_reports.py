"""Reports on TLS that others post to us (RFC 8460 3). Anybody can: nothing is believed, and everything is bounded."""

import math
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from engine.directory import asked
from engine.observe.events import event
from engine.reports.posted import BODY_LIMIT, kind_of, read
from engine.reports.tls_received import TlsReport
from engine.reports.unpacked import Unreadable
from engine.units import Rate
from engine.web.bounds import bounded
from engine.web.context import Context, context_of

_AT_ONCE = 2
"""Reports that are read at the same time: one may take some ten megabytes."""

_turns = trio.CapacityLimiter(_AT_ONCE)


@bounded(body=BODY_LIMIT, seconds=60)
async def take(request: Request) -> Response:
    """Keep a report about domains of ours."""
    context = context_of(request)
    settings, peer = context.config.open.tls_reports, context.peer(request)
    if settings is None:
        raise HTTPException(404)
    kind = kind_of(request.headers.get("content-type", ""))
    if not kind:
        raise HTTPException(415, "a report is application/tlsrpt+gzip or application/tlsrpt+json")
    await _admit(context, peer, settings.per_network)
    octets = await request.body()
    async with _turns:
        try:
            report = await trio.to_thread.run_sync(read, kind, octets)
            await _about_us(context, report)
        except Unreadable as error:
            event("tls-report-unread", peer=peer, why=str(error))
            raise HTTPException(400, str(error)) from error
        is_new = await trio.to_thread.run_sync(partial(context.inbox.take, report, settings.keep, peer=peer))
    event(
        "tls-report", peer=peer, domain=report.domains, org=report.org_name, report=report.identity,
        succeeded=report.succeeded, failed=report.failed, new=is_new,
    )  # fmt: skip
    return PlainTextResponse("taken\n" if is_new else "known, or too old\n")


async def _admit(context: Context, peer: str, rate: Rate) -> None:
    """Whether the network may post one more. HTTPException, StorageError."""
    network = context.login.guard.network(peer)
    wait = await context.allowances.take([(f"web/tls-reports/{network}", rate, 1)])
    if wait:
        raise HTTPException(429, "too many reports", {"retry-after": str(math.ceil(wait))})


async def _about_us(context: Context, report: TlsReport) -> None:
    """Unreadable for a report that is about others, even in part: strangers keep nothing here. Unavailable."""
    directory = context.directory()
    domains = report.domains
    if not domains or not await asked(directory, lambda: all(directory.is_local(domain) for domain in domains)):
        raise Unreadable("it is about domains that are not here")
