"""Problems: what an operation says when it cannot be done, as RFC 9457 has it."""

from collections.abc import Iterator

import msgspec

from engine.directory import AlreadyThere, DirectoryError, InUse, Invalid, NotFound
from engine.links.request import Unanswered
from engine.operations.impossible import Impossible, Missing
from engine.operations.operator import Forbidden
from engine.runtime.ordering import Disobeyed
from engine.scanning.guard import Unreachable
from engine.storage.environment import Full, StorageError

MEDIA = "application/problem+json"

TITLES = {
    400: "The request cannot be read",
    401: "No token that is good here",
    403: "The token does not allow it",
    404: "There is no such thing",
    405: "There is no such method",
    409: "It cannot be done in the state that things are in",
    412: "It is not as it was",
    413: "That is too much",
    415: "It must be JSON",
    422: "What is asked for cannot be meant",
    429: "Too many requests",
    500: "The server has made a mistake",
    502: "Another server does not tell",
    503: "It cannot be done now",
    507: "There is no more room",
}
"""By status; the same text for every problem of that status (RFC 9457 3.1.3)."""


class Mistake(msgspec.Struct, frozen=True):
    """One thing in a request that is wrong."""

    place: str  # "query.limit", "body.which", "" for the whole
    text: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something was not done (RFC 9457). ``mistakes``: of the request, if that was to blame."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    mistakes: tuple[Mistake, ...] = ()


class Problem(Exception):
    """Raised by an operation that cannot be done. ``detail`` is for whoever asks: it holds no secret."""

    def __init__(
        self, status: int, detail: str = "", mistakes: tuple[Mistake, ...] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.details = ProblemDetails(TITLES[status], status, detail=detail, mistakes=mistakes)
        self.headers = headers or {}


def missing(what: str) -> Problem:
    """There is no such thing; or the token must not know of it, which is the same to whoever asks."""
    return Problem(404, f"there is no {what}")


def unmeant(place: str, text: str) -> Problem:
    """A value that has the right form, but cannot be meant."""
    return Problem(422, text, (Mistake(place, text),))


def translated(error: BaseException) -> Problem | None:
    """What an error means to whoever asks, also one in a group, as nurseries raise; None: it is a bug of ours."""
    found = [_of_one(one) for one in _leaves(error)]
    return found[0] if all(found) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for one in error.exceptions:
        yield from _leaves(one)


def _of_one(error: BaseException) -> Problem | None:
    match error:
        case Problem():
            return error
        case Invalid():
            return Problem(422, str(error))
        case Forbidden():
            return Problem(403, str(error))
        case NotFound() | Missing():
            return Problem(404, str(error))
        case AlreadyThere() | InUse() | Impossible():
            return Problem(409, str(error))
        case Unreachable():
            return Problem(502, str(error))
        case Full():
            return Problem(507, "the disk of the server is full")
        case DirectoryError() | StorageError() | Unanswered() | Disobeyed():
            return Problem(503, str(error))
    return None
