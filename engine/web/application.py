"""What is served by HTTP: `/metrics`, and `/health/live` and `/health/ready`."""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from engine.observe.measures import Counter
from engine.web.collecting import Collected
from engine.web.exposition import OPEN, PLAIN, render, wants_open
from engine.web.health import reasons, warnings

_REQUESTS = Counter("postroad_web_requests_total", "Requests to the web process.", ("path", "status"))

_PRIVATE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Access:
    """Who may see more than whether we are well: whoever shows one of ``tokens``; where there are none, everybody."""

    def __init__(self) -> None:
        self.tokens: Sequence[bytes] = ()

    def allows(self, request: Request) -> bool:
        """Whether it shows one (RFC 6750 2.1)."""
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        offered = shown.strip().encode() if kind.lower() == "bearer" else b""
        return not self.tokens or any(hmac.compare_digest(offered, token) for token in self.tokens)


def application(collected: Callable[[], Awaitable[Collected]], access: Access) -> Starlette:
    """The whole of it. ``collected``: what all workers measure now."""

    async def metrics(request: Request) -> Response:
        if not access.allows(request):
            raise HTTPException(401, headers={"www-authenticate": 'Bearer realm="metrics"'})
        open_metrics = wants_open(request.headers.get("Accept", ""))
        text = render(await collected(), open_metrics=open_metrics)
        return Response(text, headers={**_PRIVATE, "content-type": OPEN if open_metrics else PLAIN})

    async def live(_: Request) -> Response:
        return JSONResponse({"alive": True}, headers=_PRIVATE)

    async def ready(request: Request) -> Response:
        now = await collected()
        found = reasons(now)
        why = {"reasons": found, "warnings": warnings(now)}
        told = {"ready": not found, **(why if access.allows(request) else {})}
        return JSONResponse(told, 503 if found else 200, headers=_PRIVATE)

    paths = {"/metrics": metrics, "/health/live": live, "/health/ready": ready}
    found = Starlette(
        routes=[Route(path, _counted(path, answer), methods=["GET"]) for path, answer in paths.items()],
        exception_handlers={HTTPException: _refused},
    )
    found.router.redirect_slashes = False
    return found


def _counted(path: str, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def counted(request: Request) -> Response:
        try:
            response = await answer(request)
        except HTTPException as error:
            _REQUESTS.of(path, str(error.status_code)).value += 1
            raise
        _REQUESTS.of(path, str(response.status_code)).value += 1
        return response

    return counted


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers={**_PRIVATE, **(error.headers or {})})
