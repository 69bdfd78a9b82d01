"""What somebody wants of the webmail: a page with a form."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.web.mail.acting import change
from engine.web.mail.desk import desk_of, read, session
from engine.web.mail.settings import SIGNATURE, Settings, command, settings
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.text import N_

_NAME = 100
"""Characters of a name."""


@require()
async def shown(request: Request) -> Response:
    desk = desk_of(request)
    found = await read(settings, desk.mailboxes, session(request).account.id)
    return page(request, "mail/settings.html", settings=found, kept=request.query_params.get("kept") == "1")


@require()
async def kept(request: Request) -> Response:
    desk = desk_of(request)
    await desk.boxes(request)  # which are made if this is the first use
    form = await request.form()
    name, signature = str(form.get("name", "")).strip(), str(form.get("signature", ""))
    if len(name) > _NAME or len(signature) > SIGNATURE:
        raise HTTPException(400, N_("that is too long"))
    wanted = Settings(name, signature.replace("\r\n", "\n").strip("\n"), form.get("plain") == "on")
    await change(desk, command(session(request).account.id, wanted))
    return RedirectResponse("/mail/settings?kept=1", 303)
