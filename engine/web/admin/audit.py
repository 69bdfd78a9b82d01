"""The audit log: who has looked at whose mail, what was held, and whether the log is as it was written."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from engine.operations import auditing
from engine.oversight import Entry
from engine.web.admin.overseer import kept, overseeing, overseer
from engine.web.bounds import bounded
from engine.web.languages import translator
from engine.web.mail.reading import SOURCE, in_threads
from engine.web.rendering import page

PAGE = 50
"""Entries of one page."""


@overseeing
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, verified: auditing.Verified | None = None) -> Response:
    query = request.query_params
    before, about = query.get("before", ""), query.get("about", "").strip().lower()[:300]
    start = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else 0
    opened, what = await kept(request), query.get("what", "")[:50]
    look = partial(
        auditing.listed, opened, overseer(request), count=PAGE + 1, before=start, what=what, about=about
    )  # fmt: skip
    found = await trio.to_thread.run_sync(look)
    return page(
        request, "admin/audit.html", kinds=_kinds(request),
        entries=[(one, _details(request, one)) for one in found[:PAGE]],
        following=found[PAGE - 1].number if len(found) > PAGE else 0, about=about, what=what, verified=verified,
    )  # fmt: skip


def _kinds(request: Request) -> dict[str, str]:
    """What entries tell of, in words."""
    _: Callable[[str], str] = translator(request)
    return {
        "grant-asked": _("A grant was asked for"),
        "grant-consented": _("A grant was consented to"),
        "grant-refused": _("A grant was refused"),
        "grant-ended": _("A grant was ended"),
        "people-told": _("The people were told"),
        "searched": _("Mail was searched"),
        "message-opened": _("A message was opened"),
        "export-begun": _("An export was begun"),
        "export-done": _("An export was made"),
        "export-fetched": _("An export was fetched"),
        "export-removed": _("An export was removed"),
        "mailbox-exported": _("A mailbox was exported by a command"),
        "hold-begun": _("A hold began"),
        "hold-widened": _("Somebody came to what is held"),
        "hold-lifted": _("A hold was lifted"),
        "oversight-changed": _("The settings of oversight changed"),
        "retention-changed": _("The retention rules changed"),
        "journaling-changed": _("The journaling rules changed"),
    }


def _fields(request: Request) -> dict[str, str]:
    """What an entry says besides, in words. Values stand as they do in the log, for they can be verified."""
    _: Callable[[str], str] = translator(request)
    return {
        "grant": _("Grant"), "accounts": _("Accounts"), "account": _("Account"), "reason": _("Reason"),
        "seconds": _("For how many seconds"), "consent": _("Consent"), "until": _("until"), "since": _("since"),
        "query": _("Search"), "messages": _("Messages"), "folder": _("Folder"), "mailbox": _("Mailbox"),
        "part": _("Part"), "export": _("Export"), "size": _("Size"), "folders": _("Folders"), "to": _("To"),
        "from": _("From"), "revision": _("Revision"), "uid": "UID", "message_id": "Message-ID", "sha256": "SHA-256",
        "manifest_sha256": _("SHA-256 of the manifest"), "file": _("File"), "found": _("Found"),
        "freed": _("Let go"),
    }  # fmt: skip


def _details(request: Request, entry: Entry) -> list[tuple[str, str]]:
    """Names in words, and values as they stand in the log."""
    names = _fields(request)
    return [
        (names.get(name, name), value if isinstance(value, str) else msgspec.json.encode(value).decode())
        for name, value in entry.details.items()
    ]


@overseeing
@bounded(seconds=600)
async def _verify(request: Request) -> Response:
    opened = await kept(request)
    found = await trio.to_thread.run_sync(lambda: auditing.verified(opened.lines(), overseer(request)))
    return await _listed(request, found)


@overseeing
@bounded(seconds=1800)
async def _export(request: Request) -> Response:
    """The whole log, as `postroad audit export` writes it."""
    opened, by = await kept(request), overseer(request)
    headers = {
        "content-type": "application/octet-stream",
        "content-disposition": "attachment; filename=audit.jsonl",
        "content-security-policy": SOURCE,
        "cache-control": "private, no-store",
    }
    return StreamingResponse(in_threads(b"", _pieces(auditing.exported(opened, by))), headers=headers)


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Some lines at once: each piece is a look in a thread."""
    some: list[bytes] = []
    for line in lines:
        some.append(line)
        if len(some) == 200:
            yield b"\n".join((*some, b""))
            some.clear()
    if some:
        yield b"\n".join((*some, b""))


ROUTES = [
    Route("/admin/audit", _list, methods=["GET"]),
    Route("/admin/audit/verify", _verify, methods=["POST"]),
    Route("/admin/audit/export", _export, methods=["GET"]),
]
