"""Our own policies of MTA-STS, by the name of the host that is asked (RFC 8461 3.3)."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from engine.web.context import context_of


async def policy(request: Request) -> Response:
    """The policy of the domain: no redirect, and nothing under other names."""
    config = context_of(request).config
    sts, host = config.open.mta_sts, (request.url.hostname or "").lower().rstrip(".")
    if sts is None or host not in sts.hosts(config.domains.local):
        raise HTTPException(404)
    return PlainTextResponse(sts.policy(config.server.hostname))
