"""What a request may take, said where it is answered: ``@bounded(body=…, seconds=…)``."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from engine.web.http import Bounds

T = TypeVar("T")

ORDINARY = Bounds()
"""For what says nothing of itself: forms, and pages."""


def bounded(*, body: int = ORDINARY.body, seconds: float = ORDINARY.seconds) -> Callable[[T], T]:
    """Marks an endpoint: octets of a request, and seconds to the end of the response (math.inf: as long as it takes).

    What is large is to be read by ``request.stream()``, and only once it is known who sends it.
    """

    def marked(endpoint: T) -> T:
        endpoint.bounds = Bounds(body, seconds)  # type: ignore[attr-defined]
        return endpoint

    return marked


def bounds_of(routes: Iterable[BaseRoute], scope: Scope) -> Bounds:
    """Those of the endpoint that the request would come to."""
    for route in routes:
        match, below = route.matches(scope)
        if match is Match.NONE:
            continue
        if inner := getattr(route, "routes", None):
            return bounds_of(inner, {**scope, **below})
        found = getattr(getattr(route, "endpoint", None), "bounds", ORDINARY)
        if match is Match.FULL:
            return found if isinstance(found, Bounds) else ORDINARY
    return ORDINARY
