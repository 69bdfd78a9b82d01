"""Links of List-Unsubscribe: one click takes an address off (RFC 8058), and people who follow them are asked first."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.config import secrets_in
from engine.directory import Unavailable
from engine.unsubscribe import Clicks, Link
from engine.unsubscribe import Request as Click
from engine.unsubscribe.one_click import BODY_LIMIT
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.rendering import page

_PRIVATE = {
    "referrer-policy": "no-referrer",  # the link is a secret of the address
    "x-robots-tag": "noindex",
}


@bounded(body=BODY_LIMIT, seconds=30)
async def unsubscribe(request: Request) -> Response:
    """A page with a button, or what has become of the click. No session, no token: the link is all that it takes."""
    context = context_of(request)
    settings = context.config.open.unsubscribe
    if settings is None:
        raise HTTPException(404)
    try:
        secrets = secrets_in(settings.secret_file)  # read again each time: one may have been added
    except OSError as error:
        raise Unavailable(f"cannot read {settings.secret_file}: {error.strerror}") from error

    async def remove(link: Link) -> None:
        await context.unsubscribe(link.address, link.list, context.peer(request))

    click = Click(
        request.method, request.path_params["token"], request.headers.get("content-type", ""), await request.body()
    )
    answer = await Clicks(secrets, settings.max_age, remove).answer(click)
    address, name = (answer.link.address, answer.link.list) if answer.link else ("", "")
    response = page(request, "open/unsubscribe.html", answer.code, what=answer.what, address=address, list=name)
    response.headers.update(_PRIVATE)
    return response
