"""Pages that are read: the window with its lists, a message, and the frame in which it stands."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from engine.directory import asked
from engine.finding import words
from engine.finding.boxes import READ, Box, counted
from engine.finding.listing import Conversation, Window
from engine.finding.search import Hit, TooLong, hit_of, place_of
from engine.mailbox import Access, MessageGone
from engine.web.languages import language_of, translator
from engine.web.mail import drafts, frame, invitations
from engine.web.mail.acting import MESSAGES
from engine.web.mail.cleaning import Cleaned, TooDeep, cleaned
from engine.web.mail.desk import Desk, desk_of, number, read, session
from engine.web.mail.fates import fates
from engine.web.mail.labels import keywords_by_name, labels
from engine.web.mail.leaving import way
from engine.web.mail.opened import File, Opened, Opener, Text, same_id, section_of
from engine.web.mail.passes import PartPass, RemotePass
from engine.web.mail.pictures import NoPicture, kind
from engine.web.rendering import page, shown_date
from engine.web.sessions import require
from engine.web.sessions.session import account_of
from engine.web.text import N_

SOURCE: Final = "sandbox; default-src 'none'"
"""The Content-Security-Policy of what is nobody's page: files and sources of messages."""

_FILE: Final = {
    "content-security-policy": SOURCE,
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}

SHOWN: Final = frozenset({"image/png", "image/gif", "image/jpeg", "image/webp"})
"""What a file may be served as besides octets: what can hold no script, and is so by its first octets."""


@require()
async def window(request: Request) -> Response:
    """The whole page, with one mailbox listed."""
    desk = desk_of(request)
    boxes = await read((await desk.boxes(request)).all)
    wanted = request.query_params.get("box", "")
    box = next((box for box in boxes if box.id == wanted), boxes[0])
    found = await _window(desk, request, box)
    return page(
        request, "mail/window.html", boxes=boxes, box=box, window=found, unseen=counted(boxes), **_view(request),
        labels=await read(labels, desk.mailboxes, session(request).account.id),
        quota=await desk.context.quotas.of(session(request).account),
    )  # fmt: skip


@require()
async def folders(request: Request) -> Response:
    """The list of mailboxes alone."""
    boxes = await read((await desk_of(request).boxes(request)).all)
    wanted = request.query_params.get("box", "")
    box = next((box for box in boxes if box.id == wanted), boxes[0])
    return page(request, "mail/folders.html", boxes=boxes, box=box)


@require()
async def listed(request: Request) -> Response:
    """A window of a mailbox, or of what is found: lines alone."""
    desk = desk_of(request)
    box = await desk.box(request, request.path_params["box"])
    return page(
        request, "mail/lines.html", box=box, window=await _window(desk, request, box), **_view(request),
        labels=await read(labels, desk.mailboxes, session(request).account.id),
    )  # fmt: skip


@require()
async def everything(request: Request) -> Response:
    """All messages of a mailbox, or as many of the newest as one act may be about."""
    desk = desk_of(request)
    box = await desk.box(request, request.path_params["box"])
    return JSONResponse({"uids": await read(desk.listing(box).uids, MESSAGES)})


def _view(request: Request) -> dict[str, Any]:
    """What the address says of how a list is shown."""
    query = request.query_params
    return {"threads": query.get("view") != "plain", "search": query.get("q", "")[: words.LONGEST]}


async def _window(desk: Desk, request: Request, box: Box) -> Window:
    view, query = _view(request), request.query_params
    before = query.get("before", "0")
    if view["search"]:
        return await _found(desk, request, box, view["search"], before)
    down = number(query.get("down", "0"))
    return await read(desk.listing(box).window, number(before), threads=view["threads"], down=down)


async def _found(desk: Desk, request: Request, box: Box, text: str, after: str) -> Window:
    """What a search finds; it goes on after a hit, which ``before`` names."""
    known = await read(labels, desk.mailboxes, session(request).account.id)
    search = words.read(text, datetime.now().astimezone().date(), keywords_by_name(known))
    boxes = await desk.boxes(request)
    if search.box.lower() in words.EVERYWHERE:
        among = await read(boxes.all)
    elif search.box:
        named = await read(boxes.named, search.box)
        among = [named] if named is not None else []
    else:
        among = [box]
    views = await desk.finding.views(among)
    try:
        hits, following = await desk.search(session(request).account.id, views, search, hit_at(after))
    except TooLong as error:
        raise HTTPException(503, N_("the search takes too long; say more of what you look for")) from error
    lines = await read(_lines, desk, {box.id: box for box in among}, hits)
    return Window(tuple(lines), place_of(following) if following else 0, tuple(search.mistakes))


def _lines(desk: Desk, boxes: dict[str, Box], hits: Iterable[Hit]) -> Iterable[Conversation]:
    """Each by itself, in the order of the hits."""
    hits = list(hits)
    found = {}
    for name in {hit.box for hit in hits}:
        for line in desk.listing(boxes[name]).lines([hit.uid for hit in hits if hit.box == name]):
            found[name, line.uid] = Conversation((line,))
    return [found[hit.box, hit.uid] for hit in hits if (hit.box, hit.uid) in found]


def hit_at(text: str) -> Hit | None:
    """Where a list goes on; None: it begins. 404 for what ``place_of`` did not make."""
    if text in ("", "0"):
        return None
    try:
        return hit_of(text)
    except ValueError as error:
        raise HTTPException(404) from error


@require()
async def message(request: Request) -> Response:
    """One message: its header, the frame of its text, its files."""
    desk, box, uid = await _asked(request)
    found = await _open(desk, box, uid, plain=request.query_params.get("plain") == "1")
    lines = await read(desk.listing(box).lines, [uid])
    if not lines:
        raise HTTPException(404)
    remote = 0 if request.query_params.get("remote") == "1" else await _remote(desk, box, found)
    return page(
        request, "mail/message.html", box=box, message=found, line=lines[0], remote=remote,
        labels=await read(labels, desk.mailboxes, session(request).account.id),
        invitation=await _invitation(desk, request, box, found),
        fates=await read(fates, desk.context.data, session(request).account.address, found) if box.outgoing else [],
        shown=request.query_params.get("remote") == "1", plain=request.query_params.get("plain") == "1",
        print=request.query_params.get("print") == "1", leaving=way(found.offer),
    )  # fmt: skip


async def _invitation(desk: Desk, request: Request, box: Box, found: Opened) -> invitations.Invitation | None:
    """The invitation in it, if there is one."""
    file = invitations.calendar_in(found.files)
    if file is None:
        return None
    try:
        _, octets = await drafts.part(desk, request, f"{box.id}/{found.uid}", file.section)
    except MessageGone as error:
        raise HTTPException(404) from error
    return await read(invitations.read, octets, file.section)


async def _remote(desk: Desk, box: Box, found: Opened) -> int:
    """Pieces of it that are elsewhere."""
    count = 0
    for text in found.texts:
        if text.html:
            count += (await read(harmless, desk.opener(box), found, text, _nothing)).remote
    return count


def _nothing(_: str) -> str | None:
    return None


@require()
async def body(request: Request) -> Response:
    """The page in the frame: the text of a message and nothing else."""
    desk, box, uid = await _asked(request)
    query = request.query_params
    found = await _open(desk, box, uid, plain=query.get("plain") == "1")
    inline = partial(inline_picture, desk, session(request).id, box, found)
    remote = partial(_by_way_of_us, desk, session(request).id) if query.get("remote") == "1" else None
    texts = [await read(harmless, desk.opener(box), found, text, inline, remote) for text in found.texts]
    plain = not any(text.html for text in found.texts)
    shown = '<hr class="part">'.join(text.html for text in texts)
    head = frame.heading(_heading(request, found)) if query.get("print") == "1" else ""
    html = frame.page(head + shown, title=found.subject, plain=plain and not head)
    return HTMLResponse(html, headers=framed(desk.context.origin(request)))


def _heading(request: Request, found: Opened) -> Iterator[tuple[str, str]]:
    """What stands above a letter that is printed."""
    _ = translator(request)
    people = ((_("From"), found.senders), (_("To"), found.to), (_("Cc"), found.cc))
    yield from ((name, ", ".join(map(str, some))) for name, some in people if some)
    yield _("Date"), shown_date(found.sent, "long", language=language_of(request))
    yield _("Subject"), found.subject
    if found.files:
        yield _("Attachments"), ", ".join(file.name for file in found.files)


def framed(origin: str) -> dict[str, str]:
    """Headers of the page in the frame."""
    return {
        "content-security-policy": frame.policy(origin),
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "no-referrer",
        "cache-control": "private, no-store",
    }


def harmless(opener: Opener, found: Opened, text: Text, inline: Any, remote: Any = None) -> Cleaned:
    """One part of the text, harmless."""
    try:
        written = opener.text(found.uid, text.numbers)
    except MessageGone as error:
        raise HTTPException(404) from error
    if not text.html:
        return Cleaned(frame.text(written))
    try:
        return cleaned(written, inline=inline, remote=remote)
    except TooDeep:
        return Cleaned(frame.text(written))


def inline_picture(
    desk: Desk, session_id: bytes, box: Box, found: Opened, cid: str, *, at: str = "/mail/seen"
) -> str | None:
    """The address of a picture in the message, below ``at``."""
    for file in (*found.inline, *found.files):
        if file.cid and same_id(cid, file.cid):
            given = PartPass(desk.passes.until(), session_id, box.account, box.number, found.uid, file.numbers)
            return f"{at}/{desk.passes.made(given)}"
    return None


def _by_way_of_us(desk: Desk, session_id: bytes, address: str) -> str:
    return f"/mail/seen/{desk.passes.made(RemotePass(desk.passes.until(), session_id, address))}"


async def seen(request: Request) -> Response:
    """A picture of a message, for whoever has its address: the frame, which has no session."""
    desk = desk_of(request)
    given = desk.passes.read(request.path_params["pass"])
    if given is None or not await _may_see(desk, given):
        raise HTTPException(404)
    try:
        if isinstance(given, RemotePass):
            media, octets = await desk.fetching.fetch(given.address)
        else:
            media, octets = await read(picture, desk, given)
    except (NoPicture, MessageGone) as error:
        raise HTTPException(404, str(error)) from error
    return as_picture(media, octets)


def as_picture(media: str, octets: bytes) -> Response:
    """For a frame without an origin."""
    return Response(octets, headers={
        **_FILE, "content-type": media, "cache-control": "private, max-age=3600",
        "cross-origin-resource-policy": "cross-origin",
    })  # fmt: skip


async def _may_see(desk: Desk, given: PartPass | RemotePass) -> bool:
    """Whether whoever was given it is still signed in, and may still read that mailbox."""
    context = desk.context
    stored = context.sessions.of_id(given.session)
    account = await account_of(context, stored) if stored is not None else None
    if account is None or isinstance(given, RemotePass) or given.account_of == account.id:
        return account is not None
    directory, access = context.directory(), Access(desk.mailboxes)
    me = await asked(directory, access.identity, directory, account)
    return READ in await read(access.rights, me, given.account_of, given.mailbox)


def picture(desk: Desk, given: PartPass) -> tuple[str, bytes]:
    """Its type, and its octets. NoPicture, MessageGone."""
    opener = Opener(desk.mailboxes, desk.index, (given.account_of, given.mailbox))
    _, pieces = opener.octets(given.uid, given.numbers)
    octets = b"".join(pieces)
    media = kind(octets[:16])
    if not media:
        raise NoPicture("it is none by its first octets")
    return media, octets


@require()
async def part(request: Request) -> Response:
    """A file of a message, to be kept: never to be opened as a page of ours."""
    desk, box, uid = await _asked(request)
    numbers = section_of(request.path_params["section"])
    if numbers is None:
        raise HTTPException(404)
    try:
        file, pieces = await read(desk.opener(box).octets, uid, numbers)
        first = await read(next, pieces, b"")
    except MessageGone as error:
        raise HTTPException(404) from error
    return StreamingResponse(in_threads(first, pieces), headers=as_file(file, first, request))


def as_file(file: File, first: bytes, request: Request) -> dict[str, str]:
    """Headers by which it is kept under its name, and shown only if it is a picture and that is asked for."""
    media = kind(first[:16]) if request.query_params.get("show") == "1" else ""
    how = "inline" if media in SHOWN else "attachment"
    return {
        **_FILE,
        "content-type": media or "application/octet-stream",
        "content-disposition": f"{how}; filename*=UTF-8''{quote(file.name, safe='')}",
        "cache-control": "private, no-store",
    }


@require()
async def source(request: Request) -> Response:
    """The message as it came, as text or as a file."""
    desk, box, uid = await _asked(request)
    try:
        size, pieces = await read(desk.opener(box).source, uid)
        first = await read(next, pieces, b"")
    except MessageGone as error:
        raise HTTPException(404) from error
    headers = {**_FILE, "content-type": "text/plain; charset=utf-8", "cache-control": "private, no-store"}
    if request.query_params.get("keep") == "1":
        headers["content-type"] = "application/octet-stream"
        headers["content-disposition"] = "attachment; filename=message.eml"
    return StreamingResponse(in_threads(first, pieces), headers={**headers, "content-length": str(size)})


async def in_threads(first: bytes, pieces: Iterator[bytes]) -> Any:
    """Pieces as they are wanted."""
    piece: bytes | None = first
    while piece is not None:
        yield piece
        piece = await trio.to_thread.run_sync(next, pieces, None)


async def opened_for(request: Request) -> tuple[Desk, Opened]:
    """The message that an address is about, read. 404."""
    desk, box, uid = await _asked(request)
    return desk, await _open(desk, box, uid, plain=False)


async def _asked(request: Request) -> tuple[Desk, Box, int]:
    """The message that an address is about."""
    desk = desk_of(request)
    box = await desk.box(request, request.path_params["box"])
    return desk, box, number(request.path_params["uid"])


async def _open(desk: Desk, box: Box, uid: int, *, plain: bool) -> Opened:
    try:
        return await read(desk.opener(box).open, uid, plain=plain)
    except MessageGone as error:
        raise HTTPException(404) from error
