"""The DNS of a domain: what is published, what is missing or wrong, and the records to copy.

The questions go to the servers that the server itself asks, but not by way of what it remembers: who has just published
a record wants to know of it. The page does not wait for them: its script asks for the answers.
"""

from functools import partial
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, DirectoryError, Embedded, Invalid
from engine.net.dns import Resolver
from engine.observe.visible import on_one_line
from engine.operations import presence
from engine.operations.impossible import Impossible
from engine.operations.presence import PresenceRow
from engine.web.admin.scope import operator
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import translator, worded
from engine.web.pages.account import own
from engine.web.rendering import page
from engine.web.sessions import require

AT_ONCE = trio.CapacityLimiter(4)
"""Domains that this process looks at at once: each takes some twenty questions."""


def _domains(request: Request) -> list[str]:
    """Those that whoever asks administers."""
    directory, roles = context_of(request).directory(), own(request).roles
    if isinstance(directory, Embedded):
        return [one.name for one in directory.domains() if roles.administers(one.name)]
    return [name for name in context_of(request).config.domains.local if roles.administers(name)]


def _domain(request: Request) -> str:
    """That which is asked about; empty: none. 404 for one that is not theirs."""
    wanted = request.query_params.get("domain", "").strip().lower()[:253]
    if wanted and wanted not in _domains(request):
        raise HTTPException(404)
    return wanted


@require(ADMINISTRATOR)
@bounded(seconds=30)
async def _show(request: Request) -> Response:
    """The page; ``look``: with the answers, for who has no script."""
    domain, config, by = _domain(request), context_of(request).config, operator(request)
    lines, why = list[str](), ""
    if domain:
        try:
            lines = await trio.to_thread.run_sync(presence.zone, config, by, domain)
        except (Impossible, Invalid) as error:
            why = worded(request, error)
    looks = bool(domain and not why and request.query_params.get("look"))
    return page(
        request, "admin/dns.html", domains=_domains(request), domain=domain, why=why, looks=looks,
        lines=[_line(request, one) for one in lines],
        **_words(request), findings=await _findings(request, domain) if looks else [],
    )  # fmt: skip


@require(ADMINISTRATOR)
@bounded(seconds=30)
async def _found(request: Request) -> Response:
    """What the DNS says, as a piece of the page."""
    domain = _domain(request)
    if not domain:
        raise HTTPException(404)
    try:
        found = await _findings(request, domain)
    except (Impossible, Invalid, DirectoryError) as error:
        raise HTTPException(503, str(error)) from error
    return page(request, "admin/dns_findings.html", findings=found, domain=domain, **_words(request))


async def _findings(request: Request, domain: str) -> list[PresenceRow]:
    config = context_of(request).config
    resolver = Resolver(config.dns.servers, timeout=config.dns.timeout)
    check = partial(presence.checked, resolver.ask, presence.publicly(resolver), config, operator(request))
    async with AT_ONCE:
        return await check(domain)


def _words(request: Request) -> dict[str, Any]:
    """What is looked at, and what is said of it, in the reader's language."""
    _ = translator(request)
    return {
        "plain": on_one_line,
        "verdicts": {
            "good": (_("good"), "good"), "missing": (_("missing"), "warn"), "wrong": (_("wrong"), "bad"),
            "unknown": (_("nobody could say"), "info"),
        },
        "means": {
            "MX": _("Where mail for the domain goes."),
            "A,": _("Where the server is found."),
            "PTR": _("The name of the address, without which many refuse mail. Whoever gave you the address sets it."),
            "SPF": _("Who may send in the name of the domain."),
            "DKIM": _("The key by which our signatures are verified."),
            "DMARC": _("What others are to do with mail that is not from you."),
            "MTA-STS": _("That mail to you comes under verified TLS alone."),
            "TLS-RPT": _("Where others report how TLS with you went."),
            "DANE": _("The key of the server, where DNSSEC vouches for it."),
            "DNSSEC": _("That answers about the domain cannot be forged."),
            "SRV": _("Where mail programs find this service."),
            "autoconfig": _("Where some mail programs ask for their settings."),
        },
    }  # fmt: skip


def _line(request: Request, line: str) -> str:
    """One of a zone file; comments are in the reader's language."""
    return f"; {worded(request, line[2:])}" if line.startswith("; ") else line


ROUTES = [
    Route("/admin/dns", _show, methods=["GET"]),
    Route("/admin/dns/findings", _found, methods=["GET"]),
]
