"""What somebody wants of the webmail: a page with a form."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.directory import Account
from engine.web.mail.acting import change
from engine.web.mail.desk import desk_of, read, session
from engine.web.mail.drafts import authors
from engine.web.mail.sending import named
from engine.web.mail.settings import MOST, SIGNATURE, Settings, command, settings
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.text import N_

_NAME = 100
"""Characters of a name."""


@require()
async def shown(request: Request) -> Response:
    desk, account = desk_of(request), session(request).account
    found, kept = await read(settings, desk.mailboxes, account.id), request.query_params.get("kept") == "1"
    return page(request, "mail/settings.html", settings=found, kept=kept, others=_others(account))


def _others(account: Account) -> list[str]:
    """The names besides their own in which somebody writes."""
    return [*named(account.send_as), *authors(account)][:MOST]


@require()
async def kept(request: Request) -> Response:
    desk = desk_of(request)
    await desk.boxes(request)  # which are made if this is the first use
    form = await request.form()
    name, signature = str(form.get("name", "")).strip(), str(form.get("signature", ""))
    account = session(request).account
    others = {one: str(form.get(f"signature-{one}", "")) for one in _others(account)}
    if len(name) > _NAME or max(map(len, (signature, *others.values()))) > SIGNATURE:
        raise HTTPException(400, N_("that is too long"))
    own = {one: tidy for one, text in others.items() if (tidy := _tidy(text))}
    await change(desk, command(account.id, Settings(name, _tidy(signature), form.get("plain") == "on", own)))
    return RedirectResponse("/mail/settings?kept=1", 303)


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").strip("\n")
