"""The page with rules, and with what is answered while one is away."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.mailbox.commands import ActivateScript, PutScript
from engine.sieve import ScriptError, compile_script
from engine.web.mail import rules
from engine.web.mail.acting import change
from engine.web.mail.desk import Desk, desk_of, read, session
from engine.web.mail.rules import Away, Rule, Rules
from engine.web.rendering import page
from engine.web.sessions import require


@require()
async def shown(request: Request) -> Response:
    """The form, as it was kept last."""
    desk = desk_of(request)
    found, other = await read(_now, desk, session(request).account.id)
    boxes = await read((await desk.boxes(request)).all)
    own = [box for box in boxes if box.account == session(request).account.id]
    return page(
        request, "mail/rules.html", rules=found, other=other, boxes=own, kept=request.query_params.get("kept") == "1"
    )  # fmt: skip


def _now(desk: Desk, account: int) -> tuple[Rules, str]:
    """What the form says, and the name of another script that is active; empty: none is."""
    mailboxes = desk.mailboxes
    script = mailboxes.script(account, rules.NAME)
    found = rules.read(script) if script is not None else None
    active = next((one.name for one in mailboxes.scripts(account) if one.active and one.name != rules.NAME), "")
    return found or Rules(), active


@require()
async def kept(request: Request) -> Response:
    """Keep the form, and let its script be the active one; in the place of another one only if that is wanted."""
    desk, account = desk_of(request), session(request).account
    form = await request.form()
    try:
        wanted = rules.checked(_said({name: str(value) for name, value in form.items()}))
        octets = rules.written(wanted)
        compile_script(octets)
    except (ValueError, ScriptError) as error:
        raise HTTPException(400, error.args[0]) from error
    await desk.boxes(request)  # which are made if this is the first use
    sieve = desk.context.config.sieve
    await change(desk, PutScript(
        account=account.id, name=rules.NAME, content=octets, most=sieve.scripts, room=int(sieve.total_size)
    ))  # fmt: skip
    _, other = await read(_now, desk, account.id)
    if not other or form.get("instead") == "on":
        await change(desk, ActivateScript(account=account.id, name=rules.NAME))
    return RedirectResponse("/mail/rules?kept=1", 303)


def _said(form: Mapping[str, str]) -> Rules:
    """What the fields of the form say. ValueError."""
    found = list[Rule]()
    for number in range(rules.MOST):
        text = form.get(f"text-{number}", "").strip()
        field: Any = form.get(f"field-{number}", "from")
        if field not in ("from", "to", "subject", "list"):
            raise ValueError("there is no such field")
        if text:
            on = {name for name in ("read", "flag") if form.get(f"{name}-{number}") == "on"}
            found.append(Rule(field, text, form.get(f"into-{number}", ""), "read" in on, "flag" in on))
    away = Away(
        form.get("away") == "on", form.get("subject", "").strip(), form.get("answer", "").replace("\r\n", "\n"),
        form.get("since", ""), form.get("until", ""),
    )  # fmt: skip
    return Rules(tuple(found), away)
