"""What an auditor does by an open grant: search, read in the frame of the webmail, take files and exports away.

Before anything is shown its entry is in the audit log.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.directory import AUDITOR
from engine.exchange.letters import pieces_of
from engine.finding import words
from engine.finding.boxes import Box, parsed
from engine.finding.listing import Line
from engine.finding.search import Hit, TooLong, place_of
from engine.mailbox import MessageGone
from engine.message import MessageId
from engine.operations import oversight as operations
from engine.operations.looking import boxes
from engine.oversight import Grant, Refusal
from engine.oversight.export import MANIFEST, MBOX, Place
from engine.oversight.store import FOLDER
from engine.web.admin.overseer import kept, overseeing, overseer
from engine.web.admin.oversight import granted, number_of, to_grant, values
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.mail import frame, reading
from engine.web.mail.desk import Desk, desk_of, number, read
from engine.web.mail.opened import Opened, section_of
from engine.web.mail.passes import PartPass
from engine.web.mail.pictures import NoPicture
from engine.web.pages.account import own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import is_ours, require
from engine.web.sessions.session import account_of

MOST = 10_000
"""Messages of an export of what was found."""

EXPORTS = "exports"
"""The folder beside the store in which they lie, by grant."""


_FILE = {
    "content-security-policy": reading.SOURCE,
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}
"""Headers of what is nobody's page."""


class Found(NamedTuple):
    """A message in the list of what was found."""

    line: Line
    box: Box
    address: str  # whose mailbox it is in


@overseeing
async def _show(request: Request) -> Response:
    """A grant; with ``q`` what a search finds, which only the one sees whom it is for."""
    query = request.query_params
    opened, grant = await granted(request, number_of(query.get("number", "")))
    shown = values(request, grant)
    text, following, slow = query.get("q", "")[: words.LONGEST], "", False
    found: list[Found] = []
    mistakes: tuple[str, ...] = ()
    if "q" in query and shown["may_look"]:
        _check_ours(request)
        look = partial(operations.look, opened, overseer(request), grant.number, "searched", query=text)
        await _noted(look)
        try:
            hits, after, mistakes = await _search(request, grant, text, reading.hit_at(query.get("after", "")))
        except TooLong:
            slow, hits, after = True, [], None
        found = await read(_lines, desk_of(request), grant, hits)
        following = place_of(after) if after else ""
    exports = await read(_exports, request, grant) if shown["may_look"] else []
    return page(
        request, "admin/grant.html", found=found, query=text, searched="q" in query, following=following,
        mistakes=mistakes, slow=slow, exports=exports, **shown,
    )  # fmt: skip


def _check_ours(request: Request) -> None:
    """403 for what a page of somebody else, or a letter, has a browser ask for: nobody else writes into the log."""
    if not is_ours(request):
        raise HTTPException(403)


async def _noted(look: "partial[Grant]") -> Grant:
    """Have the entry written. 403: the grant is over by now, or was somebody else's."""
    try:
        return await trio.to_thread.run_sync(look)
    except Refusal as error:
        raise HTTPException(403) from error


async def _search(
    request: Request, grant: Grant, text: str, after: Hit | None
) -> tuple[list[Hit], Hit | None, tuple[str, ...]]:
    desk = desk_of(request)
    search = words.read(text, datetime.now().astimezone().date())
    views = await desk.finding.views(await read(boxes, desk.mailboxes, grant, search.box))
    hits, following = await desk.search(own(request).account.id, views, search, after)
    return hits, following, search.mistakes


def _lines(desk: Desk, grant: Grant, hits: Sequence[Hit]) -> list[Found]:
    """The hits as they are listed, in their order."""
    among = {box.id: box for box in boxes(desk.mailboxes, grant)}
    addresses = {one.account: one.address for one in grant.whose}
    lines = {
        (name, line.uid): line
        for name in {hit.box for hit in hits}
        for line in desk.listing(among[name]).lines([hit.uid for hit in hits if hit.box == name])
    }
    return [
        Found(lines[hit.box, hit.uid], among[hit.box], addresses[among[hit.box].account])
        for hit in hits
        if (hit.box, hit.uid) in lines
    ]


class Asked(NamedTuple):
    """A message that an address is about."""

    desk: Desk
    grant: Grant
    box: Box
    uid: int


async def _asked(request: Request) -> Asked:
    """404: there is none of that name within a grant of theirs; 403: that is over."""
    _check_ours(request)
    path = request.path_params
    opened, desk = await kept(request), desk_of(request)
    try:
        grant = await trio.to_thread.run_sync(
            opened.usable, number_of(path["number"]), own(request).account.address
        )  # fmt: skip
    except Refusal as error:
        raise HTTPException(403) from error
    place = parsed(path["box"])
    among = await read(boxes, desk.mailboxes, grant)
    box = next((box for box in among if (box.account, box.number) == place), None)
    if box is None:
        raise HTTPException(404)
    return Asked(desk, grant, box, number(path["uid"]))


async def _opening(request: Request, asked: Asked, found: Opened, part: str) -> None:
    """Have it noted that a message, or a part of it, is opened."""
    about = [one.address for one in asked.grant.whose if one.account == asked.box.account]
    details = {
        "folder": asked.box.name, "mailbox": asked.box.number, "uid": asked.uid, "message_id": found.message_id,
        "part": part, "about": about,
    }  # fmt: skip
    opened = await kept(request)
    await _noted(partial(operations.look, opened, overseer(request), asked.grant.number, "message-opened", **details))


async def _open(asked: Asked) -> Opened:
    try:
        return await read(asked.desk.opener(asked.box).open, asked.uid, plain=False)
    except MessageGone as error:
        raise HTTPException(404) from error


@require(AUDITOR)
async def _message(request: Request) -> Response:
    """A message: its header, the frame of its text, its files."""
    asked = await _asked(request)
    found = await _open(asked)
    await _opening(request, asked, found, "text")
    seen = PartPass(
        asked.desk.passes.until(), own(request).id, asked.box.account, asked.box.number, asked.uid, ()
    )  # fmt: skip
    address = next(one.address for one in asked.grant.whose if one.account == asked.box.account)
    return page(
        request, "admin/opened.html", message=found, box=asked.box, address=address, number=asked.grant.number,
        text=asked.desk.passes.made(seen), at=f"{asked.grant.number}/{asked.box.id}/{asked.uid}",
    )  # fmt: skip


@require(AUDITOR)
async def _text(request: Request) -> Response:
    """The page in the frame, for whoever has just been noted to open the message. Nothing is fetched from elsewhere."""
    desk = desk_of(request)
    seen = desk.passes.read(request.path_params["pass"])
    me = own(request)
    if not isinstance(seen, PartPass) or seen.session != me.id or seen.numbers:
        raise HTTPException(404)
    if not await _may_read(request, me.account.address, seen.account_of):
        raise HTTPException(403)
    box = Box(seen.account_of, seen.mailbox, "", "", "r")
    try:
        found = await read(desk.opener(box).open, seen.uid, plain=False)
    except MessageGone as error:
        raise HTTPException(404) from error
    inline = partial(reading.inline_picture, desk, me.id, box, found, at="/admin/oversight/seen")
    texts = [await read(reading.harmless, desk.opener(box), found, text, inline) for text in found.texts]
    plain = not any(text.html for text in found.texts)
    html = frame.page('<hr class="part">'.join(text.html for text in texts), title=found.subject, plain=plain)
    return HTMLResponse(html, headers=reading.framed(desk.context.origin(request)))


async def _may_read(request: Request, address: str, account: int) -> bool:
    """Whether somebody has an open grant for the mail of that account."""
    grants = await read((await kept(request)).grants)
    return any(one.by == address and one.covers(account) and _is_open(one) for one in grants)


def _is_open(grant: Grant) -> bool:
    return grant.state(time.time()) == "open"


async def _seen(request: Request) -> Response:
    """A picture of an opened message, for the frame, which has no session: the pass says whose it is."""
    desk = desk_of(request)
    given = desk.passes.read(request.path_params["pass"])
    if not isinstance(given, PartPass) or not given.numbers:
        raise HTTPException(404)
    stored = desk.context.sessions.of_id(given.session)
    account = await account_of(desk.context, stored) if stored is not None else None
    if account is None or not await _may_read(request, account.address, given.account_of):
        raise HTTPException(404)
    try:
        return reading.as_picture(*await read(reading.picture, desk, given))
    except (NoPicture, MessageGone) as error:
        raise HTTPException(404, str(error)) from error


@require(AUDITOR)
async def _part(request: Request) -> Response:
    """A file of a message, to be kept."""
    asked = await _asked(request)
    numbers = section_of(request.path_params["section"])
    if numbers is None:
        raise HTTPException(404)
    found = await _open(asked)
    await _opening(request, asked, found, request.path_params["section"])
    try:
        file, pieces = await read(asked.desk.opener(asked.box).octets, asked.uid, numbers)
        first = await read(next, pieces, b"")
    except MessageGone as error:
        raise HTTPException(404) from error
    return StreamingResponse(reading.in_threads(first, pieces), headers=reading.as_file(file, first, request))


@require(AUDITOR)
async def _source(request: Request) -> Response:
    """The message as it came, as text."""
    asked = await _asked(request)
    found = await _open(asked)
    await _opening(request, asked, found, "source")
    try:
        size, pieces = await read(asked.desk.opener(asked.box).source, asked.uid)
        first = await read(next, pieces, b"")
    except MessageGone as error:
        raise HTTPException(404) from error
    headers = {**_FILE, "content-type": "text/plain; charset=utf-8", "content-length": str(size)}
    return StreamingResponse(reading.in_threads(first, pieces), headers=headers)


# -- exports


def _folder(request: Request, grant: Grant) -> Path:
    return context_of(request).data / FOLDER / EXPORTS / str(grant.number)


class Kept(NamedTuple):
    """An export that lies there."""

    name: str
    size: int
    made: float


def _exports(request: Request, grant: Grant) -> list[Kept]:
    """Those that are whole, the newest first."""
    found = []
    with suppress(FileNotFoundError):
        for folder in _folder(request, grant).iterdir():
            with suppress(FileNotFoundError):
                made = (folder / MANIFEST).stat().st_mtime
                found.append(Kept(folder.name, (folder / MBOX).stat().st_size, made))
    return sorted(found, key=lambda one: one.made, reverse=True)


@require(AUDITOR)
@bounded(seconds=1800)
async def _export(request: Request) -> Response:
    """Take out all mail of a grant, or what a search finds; it lies there until it is removed."""
    opened, grant = await granted(request, number_of(await field(request, "number")))
    if not values(request, grant)["may_look"]:
        raise HTTPException(403)
    text, only = (await field(request, "q"))[: words.LONGEST], None
    if text:
        try:
            only = await _all_found(request, grant, text)
        except TooLong as error:
            raise HTTPException(503) from error
    folder = _folder(request, grant) / str(MessageId.new())
    run = partial(
        operations.export, opened, context_of(request).mailboxes(), overseer(request), grant.number, folder,
        query=text, only=only,
    )  # fmt: skip
    try:
        await trio.to_thread.run_sync(run)
    except Refusal as error:
        raise HTTPException(403) from error
    return to_grant(grant.number)


async def _all_found(request: Request, grant: Grant, text: str) -> set[Place]:
    places, after = set[Place](), None
    among = {box.id: box for box in await read(boxes, desk_of(request).mailboxes, grant)}
    while len(places) < MOST:
        hits, after, _ = await _search(request, grant, text, after)
        places |= {Place(among[hit.box].account, among[hit.box].number, hit.uid) for hit in hits}
        if after is None:
            break
    return places


@require(AUDITOR)
@bounded(seconds=1800)
async def _fetch(request: Request) -> Response:
    """A file of an export, for the one who has made it, while the grant is open."""
    _check_ours(request)
    path = request.path_params
    opened, grant = await granted(request, number_of(path["number"]))
    if path["file"] not in (MBOX, MANIFEST) or path["name"] not in {one.name for one in _exports(request, grant)}:
        raise HTTPException(404)
    await _noted(
        partial(
            operations.look, opened, overseer(request), grant.number, "export-fetched", export=path["name"],
            file=path["file"],
        )
    )  # fmt: skip
    file = await read((_folder(request, grant) / path["name"] / path["file"]).open, "rb")
    headers = {
        **_FILE,
        "content-type": "application/octet-stream",
        "content-length": str(os.fstat(file.fileno()).st_size),
        "content-disposition": f"attachment; filename=grant-{grant.number}-{path['file']}",
    }
    return StreamingResponse(reading.in_threads(b"", pieces_of(file)), headers=headers)


@require(AUDITOR)
async def _remove(request: Request) -> Response:
    """Remove an export that lies there."""
    opened, grant = await granted(request, number_of(await field(request, "number")))
    name = await field(request, "name")
    if name not in {one.name for one in _exports(request, grant)}:
        raise HTTPException(404)
    await _noted(
        partial(operations.look, opened, overseer(request), grant.number, "export-removed", export=name)
    )  # fmt: skip
    await read(_unlinked, _folder(request, grant) / name)
    return RedirectResponse(f"/admin/oversight/grant?number={grant.number}", 303)


def _unlinked(folder: Path) -> None:
    for file in (MANIFEST, MBOX):
        (folder / file).unlink(missing_ok=True)
    folder.rmdir()


ROUTES = [
    Route("/admin/oversight/grant", _show, methods=["GET"]),
    Route("/admin/oversight/message/{number}/{box}/{uid}", _message, methods=["GET"]),
    Route("/admin/oversight/text/{pass}", _text, methods=["GET"]),
    Route("/admin/oversight/seen/{pass}", _seen, methods=["GET"]),
    Route("/admin/oversight/part/{number}/{box}/{uid}/{section}", _part, methods=["GET"]),
    Route("/admin/oversight/source/{number}/{box}/{uid}", _source, methods=["GET"]),
    Route("/admin/oversight/export", _export, methods=["POST"]),
    Route("/admin/oversight/export/remove", _remove, methods=["POST"]),
    Route("/admin/oversight/export/{number}/{name}/{file}", _fetch, methods=["GET"]),
]
