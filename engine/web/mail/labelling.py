"""The page with one's labels."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.web.mail.acting import change
from engine.web.mail.desk import desk_of, read, session
from engine.web.mail.labels import COLOURS, MOST, NAME, Label, command, keyword_of, labels
from engine.web.mail.vcard import shown as of_one_line
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.text import N_


@require()
async def shown(request: Request) -> Response:
    """The form."""
    known = await read(labels, desk_of(request).mailboxes, session(request).account.id)
    return page(
        request, "mail/labels.html", labels=list(known.values()), colours=COLOURS, longest=NAME,
        more=len(known) < MOST, kept=request.query_params.get("kept") == "1",
    )  # fmt: skip


@require()
async def kept(request: Request) -> Response:
    """Keep what the form says. A label without a name is one no more; messages keep its keyword."""
    desk, account = desk_of(request), session(request).account
    await desk.boxes(request)  # which are made if this is the first use
    form = await request.form()
    known = await read(labels, desk.mailboxes, account.id)
    wanted = _said({name: str(value) for name, value in form.items()}, known)
    await change(desk, command(account.id, wanted))
    return RedirectResponse("/mail/labels?kept=1", 303)


def _said(form: Mapping[str, str], known: Mapping[str, Label]) -> list[Label]:
    """The labels of the form. 400 for what no form of ours says."""
    found: dict[str, Label] = {}
    for number in range(MOST + 1):
        name = of_one_line(form.get(f"name-{number}", ""))
        keyword, colour = form.get(f"keyword-{number}", ""), form.get(f"colour-{number}", COLOURS[0])
        if len(name) > NAME or colour not in COLOURS or (keyword and keyword.lower() not in known):
            raise HTTPException(400, N_("that is no label"))
        if name:
            keyword = keyword or keyword_of(name, {*known, *found})
            found[keyword.lower()] = Label(keyword, name, colour)
    if len(found) > MOST:
        raise HTTPException(400, N_("there are too many labels"))
    return list(found.values())
