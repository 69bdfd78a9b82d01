"""A list is left by one click in the webmail: our server tells the list's, which learns nothing else of the reader."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.net.https import Unreached
from engine.observe.events import event
from engine.web.bounds import bounded
from engine.web.mail import reading
from engine.web.mail.desk import session
from engine.web.mail.leaving import click, way
from engine.web.mail.pictures import target_of
from engine.web.sessions import require
from engine.web.text import N_


@bounded(seconds=60)
@require()
async def leave(request: Request) -> Response:
    """Leave the list by one click. What a letter says is read anew: nobody says by the request where it goes."""
    desk, found = await reading.opened_for(request)
    leaving = way(found.offer)
    if leaving is None or leaving.how != "click":
        raise HTTPException(404)
    host, port, target = target_of(leaving.where)
    try:
        status = await click(desk.https, host, target, port)
    except Unreached as error:
        raise HTTPException(502, N_("the list's server does not answer")) from error
    event("list-left", address=session(request).account.address, host=host, status=status)
    if not 200 <= status < 300:
        raise HTTPException(502, N_("the list's server does not take it"))
    return JSONResponse({"left": host})
