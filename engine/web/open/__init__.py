"""What the site has for everybody, without a login: what letters link to, reports on TLS, policies of MTA-STS."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from engine.web.context import Context
from engine.web.open.parked import parked
from engine.web.open.policies import policy
from engine.web.open.tls_reports import take
from engine.web.open.unsubscribing import unsubscribe


def routes(_: Context) -> Sequence[BaseRoute]:
    """What is not configured is not there."""
    return [
        Route("/unsubscribe/{token}", unsubscribe, methods=["GET", "POST"]),
        Route("/quarantine", parked, methods=["GET", "POST"]),
        Route("/reports/tls", take, methods=["POST"]),
        Route("/.well-known/mta-sts.txt", policy, methods=["GET"]),
    ]
