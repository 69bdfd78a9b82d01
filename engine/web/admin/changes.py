"""What was changed, by whom, and when: for owners and auditors. And the word to open pages that something has."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.directory import AUDITOR, HELPDESK, OWNER
from engine.runtime.changes import Change
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import language_of, translator, worded
from engine.web.pages.account import own
from engine.web.rendering import page, shown_moment, shown_size
from engine.web.sessions import require
from engine.web.streams import states

PAGE = 100
"""Changes of one page."""

_LONGEST = 200
"""Characters of what is looked for."""

_NOT_TOLD = frozenset({"peer", "account"})
_SIZES = frozenset({"octets", "total_octets", "size"})
_MOMENTS = frozenset({"until"})
_SETS = frozenset({"what", "decision", "word", "mail", "state", "posting"})


def kinds(request: Request) -> Mapping[str, str]:
    """What can have happened, in the reader's language. What other parts tell of stands by its own name."""
    _ = translator(request)
    return {
        "account-added": _("Account added"),
        "account-changed": _("Account changed"),
        "account-removed": _("Account removed"),
        "domain-added": _("Domain added"),
        "domain-removed": _("Domain removed"),
        "alias-added": _("Alias added"),
        "alias-changed": _("Alias changed"),
        "alias-removed": _("Alias removed"),
        "group-added": _("Group added"),
        "group-changed": _("Group changed"),
        "group-removed": _("Group removed"),
        "quota-set": _("Quota set"),
        "quota-unset": _("Quota taken back"),
        "rights-set": _("Rights given"),
        "folder-added": _("Public folder added"),
        "folder-removed": _("Public folder removed"),
        "mail-undeleted": _("Mail brought back"),
        "parked-decided": _("Parked mail decided on"),
        "suppression-added": _("Recipient suppressed"),
        "suppression-removed": _("Suppression ended"),
        "list-changed": _("Allow or block list changed"),
        "keys-made": _("Keys made"),
        "keys-used": _("Keys in use"),
        "key-removed": _("Key removed"),
        "queue-ordered": _("Order about mail in the queue"),
        "reloaded": _("Configuration put in force"),
        "parked-read": _("Parked mail read"),
        "ban-set": _("Kept out"),
        "ban-lifted": _("Let in again"),
        "rate-lifted": _("May send on"),
        "suspicion-lifted": _("Not suspected any more"),
        "site-suspended": _("Site suspended"),
        "shaping-action-lifted": _("Action on a site ended"),
        "certificate-wanted": _("Certificate asked for"),
        "migration-begun": _("Moving in begun"),
        "migration-changed": _("Moving in changed"),
        "migration-ended": _("Moving in ended"),
        "audited": _("Entry of the audit log"),
    }


def fields(request: Request) -> Mapping[str, str]:
    """What is told of a change, in the reader's language. Other names stand as they are in the log."""
    _ = translator(request)
    return {
        "address": _("Address"),
        "domain": _("Domain"),
        "name": _("Name"),
        "what": _("What"),
        "targets": _("Stands for"),
        "members": _("Members"),
        "added": _("come"),
        "removed": _("gone"),
        "posting": _("May write to it"),
        "owners": _("Owners"),
        "who": _("Who"),
        "folder": _("Folder"),
        "rights": _("Rights"),
        "octets": _("Size"),
        "messages": _("Messages"),
        "mail": _("Mail"),
        "to": _("To"),
        "id": _("Message"),
        "account": _("Account"),
        "admin": _("Mail of the postmaster"),
        "total_octets": _("Size of all"),
        "total_messages": _("Messages of all"),
        "decision": _("Decision"),
        "entries": _("Entries"),
        "count": _("Entries"),
        "tenant": _("Tenant"),
        "list": _("List"),
        "word": _("What"),
        "selector": _("Key"),
        "selectors": _("Keys"),
        "until": _("until"),
        "site": _("Destination"),
        "certificate": _("Certificate"),
        "server": _("Server"),
        "user": _("User there"),
        "state": _("State"),
        "why": _("Why"),
        "before": _("Had come before"),
        "size": _("Size"),
        "left": _("Could not be taken"),
        "number": _("Number"),
        "about": _("About the mail of"),
        "hash": _("Hash"),
        "order": _("Order"),
        "which": _("Which mail"),
    }


def values(request: Request) -> Mapping[str, str]:
    """Words of closed sets that stand as values, in the reader's language."""
    _ = translator(request)
    return {
        "release": _("Release"), "delete": _("Delete"), "allow": _("allowed"), "block": _("blocked"),
        "remove": _("removed"), "import": _("imported"), "kept": _("kept"), "erased": _("erased"),
        "pause": _("Pause"), "resume": _("Go on"), "forget": _("Take off the list"), "done": _("done"),
        "failed": _("ended with an error"), "full": _("full"), "refused": _("refused"), "stopped": _("stopped"),
        "everybody": _("everybody"), "members": _("members"),
    }  # fmt: skip


def deeds(request: Request) -> Sequence[tuple[str, str]]:
    """What can have been done to an account: how the log says it, and the reader's language; the longest first."""
    _ = translator(request)
    return (
        ("no app password", _("app password taken back:")),
        ("app password", _("new app password:")),
        ("no second factor", _("second factor switched off")),
        ("second factor", _("second factor set up")),
        ("no passkeys", _("all passkeys removed")),
        ("no passkey", _("passkey removed")),
        ("passkey", _("new passkey")),
        ("password", _("new password")),
        ("no admin", _("gets no more mail of the postmaster")),
        ("admin", _("gets the mail of the postmaster")),
        ("sends as", _("sends as:")),
        ("sends on behalf of", _("sends on behalf of:")),
        ("not suspended", _("suspension ended")),
        ("suspended", _("suspended")),
        ("invitation", _("invited")),
        ("sessions ended", _("sessions ended")),
        ("roles", _("roles:")),
    )


def deed(known: Sequence[tuple[str, str]], text: str) -> str:
    """It in the reader's language, with what the log names besides."""
    for said, words in known:
        if text == said or text.startswith(f"{said} "):
            return f"{words} {text[len(said) :].strip()}".strip()
    return text


def details(change: Change) -> list[tuple[str, str]]:
    """What is said of it besides: name and value, as the log has them."""
    return [(name, _plain(value)) for name, value in change.values.items() if name not in _NOT_TOLD]


def _worded(request: Request, told: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names and values as the page shows them."""
    names, words, known = fields(request), values(request), deeds(request)
    language = language_of(request)

    def value(name: str, text: str) -> str:
        if name in _SIZES and text.isdigit():
            return shown_size(int(text), language)
        if name in _MOMENTS:
            return shown_moment(float(text), language=language)
        if name in _SETS:
            return words.get(text) or deed(known, text)
        return worded(request, text) if name == "why" else text

    return [(names.get(name, name), value(name, text)) for name, text in told]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def looked_for(kind: str, by: str, text: str, since: float, until: float) -> Callable[[Change], bool]:
    """Whether a change is one of those: of a kind, by somebody, about something, between two times."""

    def wanted(change: Change) -> bool:
        return (
            (not kind or change.kind == kind)
            and by in change.by.lower()
            and since <= change.time < until
            and (not text or any(text in value.lower() for _, value in details(change)))
        )

    return wanted


def _day(text: str) -> float | None:
    """Midnight at the beginning of a day, as Unix time, where the server is."""
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _next_day(text: str) -> float | None:
    try:
        return _day((date.fromisoformat(text) + timedelta(days=1)).isoformat())
    except (ValueError, OverflowError):
        return None


@require()
async def _show(request: Request) -> Response:
    roles = own(request).roles
    if OWNER not in roles.given and AUDITOR not in roles.given:
        raise HTTPException(403)
    asked = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in ("kind", "by", "text")}
    days = {name: request.query_params.get(name, "")[:10] for name in ("since", "until")}
    since, until = _day(days["since"]) or 0.0, _next_day(days["until"]) or math.inf
    wanted = looked_for(asked["kind"], asked["by"].lower(), asked["text"].lower(), since, until)
    changes, before = context_of(request).changes, request.query_params.get("before", "")[:40]
    found = await trio.to_thread.run_sync(changes.search, wanted, PAGE, before)
    return page(
        request,
        "admin/changes.html",
        rows=[(one, _worded(request, details(one))) for one in found.changes],
        rest=found.rest,
        kinds=kinds(request),
        asked=asked | days,
        today=time.strftime("%Y-%m-%d"),
    )


@bounded(seconds=math.inf)
@require()
async def _live(request: Request) -> Response:
    context, roles = context_of(request), own(request).roles
    if not roles.has(HELPDESK) and not roles.has(AUDITOR):
        raise HTTPException(403)

    async def state() -> str:
        return context.changed

    return states(request, state)


ROUTES = [
    Route("/admin/changes", _show, methods=["GET"]),
    Route("/admin/changes/live", _live, methods=["GET"]),
]
