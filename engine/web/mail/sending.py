"""Sending: what lies in Drafts goes through the lane of submission, and a copy of it into Sent.

A letter is kept before it is sent, and taken out of Drafts after the server has it: whatever happens in between, it is
not lost. For a few seconds sending can be undone: nothing has left Drafts by then.
"""

import time
from typing import Any, Final, NamedTuple

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.config import Config
from engine.links.request import Unanswered
from engine.mailbox import MessageGone
from engine.mailbox.commands import Store
from engine.mailbox.flags import ANSWERED, SEEN, Mode
from engine.mime import fields
from engine.runtime.places import processes
from engine.runtime.services import SUBMIT_SERVICE
from engine.web.bounds import bounded
from engine.web.mail import drafts, invitations
from engine.web.mail.acting import change
from engine.web.mail.desk import Desk, desk_of, read, said, session
from engine.web.mail.opened import Person
from engine.web.mail.pictures import kind
from engine.web.mail.settings import settings
from engine.web.mail.uploads import EACH, NoRoom, TooLarge
from engine.web.mail.writing import Written, message, people
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.text import N_

LISTENERS: Final = ("submission", "submissions")
"""Whose rules hold for what is written here: those for mail programs of people with an account."""

DELAY: Final = 10.0
"""Seconds in which sending can be undone."""

LATER: Final = 366 * 24 * 3600
"""Seconds for which a letter may wait; the stage may allow less."""

_BODY: Final = 12 * 1024 * 1024
"""Octets of a letter as the page says it: text and HTML, each of some millions of characters at most."""

_TOKEN: Final = 64

_SENDING: Final = "sending"
"""The kind of the step that is taken by whoever sends a letter, or takes it back."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be sent."""

    draft: str  # Box.id/UID
    token: str  # by which it can be undone
    answers: str = ""  # Box.id/UID: the message that this is a reply to
    forwards: str = ""
    at: float = 0.0  # Unix time; 0: now


class Way(NamedTuple):
    """Who takes what is sent."""

    listener: str
    worker: str


def way(config: Config) -> Way | None:
    """None: nobody does, as no lane takes mail of people with an account."""
    for course in config.courses.values():
        for listener in LISTENERS:
            if course.source and listener in course.listen:
                place = config.stages[course.source].place
                for process in processes(config):
                    if process.place == place:
                        return Way(listener, process.name)
    return None


@require()
async def write(request: Request) -> Response:
    """The page on which a letter is written."""
    desk = desk_of(request)
    account = session(request).account
    wanted = await read(settings, desk.mailboxes, account.id)
    begun = await drafts.begun(desk, request)
    return page(
        request, "mail/write.html", begun=begun, settings=wanted, senders=[account.address, *named(account.send_as)],
        authors=drafts.authors(account), may_send=way(desk.context.config) is not None,
    )  # fmt: skip


def named(granted: tuple[str, ...]) -> list[str]:
    """Addresses in whose name somebody may send; of whole domains none is known."""
    return [address for address in granted if not address.startswith("@")]


@bounded(body=_BODY)
@require()
async def draft(request: Request) -> Response:
    """Keep a letter in Drafts."""
    desk = desk_of(request)
    letter = await drafts.asked(request)
    name = (await read(settings, desk.mailboxes, session(request).account.id)).name
    async with desk.turns.of(("draft", session(request).account.id)):  # each is in memory whole
        return JSONResponse({"draft": await drafts.keep(desk, request, letter, name)})


@require()
async def discard(request: Request) -> Response:
    """Throw away what was kept of a letter."""
    await drafts.drop(desk_of(request), request, request.query_params.get("draft", ""))
    return JSONResponse({})


@bounded(body=EACH + 1024, seconds=600)
@require()
async def upload(request: Request) -> Response:
    """Take a file that is attached: the body is the file."""
    desk = desk_of(request)
    try:
        reserve = 2 * int(desk.context.config.queue.reserve)
        identity, size = await desk.uploads.take(session(request).account.id, request.stream(), reserve)
    except TooLarge as error:
        raise HTTPException(413, N_("the file is too large")) from error
    except NoRoom as error:
        raise HTTPException(507, N_("there is no room")) from error
    return JSONResponse({"upload": identity, "size": size})


@require()
async def uploaded(request: Request) -> Response:
    """A picture that was uploaded, as it stands in the text."""
    desk = desk_of(request)
    try:
        octets = await read(desk.uploads.read, session(request).account.id, request.path_params["id"])
    except KeyError as error:
        raise HTTPException(404) from error
    media = kind(octets[:16])
    if not media:
        raise HTTPException(404)
    return Response(octets, media_type=media, headers={"content-security-policy": "sandbox; default-src 'none'"})


@bounded(seconds=600)
@require()
async def send(request: Request) -> Response:
    """Wait for DELAY seconds, then send, unless it is undone meanwhile. The page may be gone before it is answered."""
    desk, sessions = desk_of(request), desk_of(request).context.sessions
    order = await said(request, Order)
    key = _key(request, order.token)
    await trio.to_thread.run_sync(sessions.name_step, key, _SENDING, 60 * DELAY)
    undone = desk.waiting.setdefault(key, trio.Event())
    try:
        with trio.move_on_after(DELAY):
            await undone.wait()
    finally:
        desk.waiting.pop(key, None)
    # Whoever takes the step decides, in whichever process that is: sent or undone, and never both.
    if await trio.to_thread.run_sync(sessions.take_step, key, _SENDING) is None:
        return JSONResponse({"sent": False, "draft": order.draft})
    return JSONResponse({"sent": True, "refused": await _send(desk, request, order)})


def _key(request: Request, token: str) -> str:
    """By which one's own letter is known that is about to be sent."""
    return f"{session(request).account.id} {token[:_TOKEN]}"


class Undoing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not to be sent."""

    token: str  # of its Order


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says to an invitation."""

    message: str  # Box.id/UID
    section: str
    how: invitations.How
    text: str


@bounded(seconds=600)
@require()
async def answer(request: Request) -> Response:
    """Answer an invitation, at once."""
    desk, account = desk_of(request), session(request).account
    given = await said(request, Answer)
    try:
        _, octets = await drafts.part(desk, request, given.message, given.section)
        to, summary, reply = invitations.answer(octets, account.address, given.how)
        name = (await read(settings, desk.mailboxes, account.id)).name
        written = Written(
            Person(name, account.address), people(to), subject=f"{given.text[:100]}: {summary}", text=given.text + "\n",
            reply=reply,
        )  # fmt: skip
        letter = message(written, message_id=drafts.new_id(desk), now=time.time(), bcc=False)
    except ValueError as error:
        raise HTTPException(400, error.args[0]) from error
    place = await drafts.put(desk, request, letter)
    return JSONResponse({"refused": await _send(desk, request, Order(place, "", answers=given.message))})


@require()
async def unsend(request: Request) -> Response:
    """Take back what was to be sent. ``undone``: whether it was not too late."""
    desk = desk_of(request)
    key = _key(request, (await said(request, Undoing)).token)
    taken = await trio.to_thread.run_sync(desk.context.sessions.take_step, key, _SENDING)
    if (waiting := desk.waiting.get(key)) is not None:
        waiting.set()
    return JSONResponse({"undone": taken is not None})


async def _send(desk: Desk, request: Request, order: Order) -> list[dict[str, Any]]:
    """Submit it, keep a copy, take it out of Drafts; the recipients that were refused. 409 if all were."""
    async with desk.turns.of(("send", session(request).account.id)):  # as above
        return await _sent(desk, request, order)


async def _sent(desk: Desk, request: Request, order: Order) -> list[dict[str, Any]]:
    box, uid = await drafts.found(desk, request, order.draft)
    opener = desk.opener(box)
    try:
        opened = await read(opener.open, uid)
        _, pieces = await read(opener.source, uid)
        octets = await read(b"".join, pieces)
    except MessageGone as error:
        raise HTTPException(404, N_("the letter is not in Drafts any more")) from error
    recipients = list(dict.fromkeys(one.address for one in (*opened.to, *opened.cc, *opened.bcc)))
    if not recipients or not opened.senders:
        raise HTTPException(400, N_("the letter is to nobody"))
    by = (opened.agents or opened.senders)[0].address  # who hears of failures: whoever has sent it
    told = await _submitted(desk, request, [by, *recipients], without_bcc(octets), order.at)
    refused = [
        {"to": to, "code": code, "text": text}
        for to, (code, _, text) in zip(recipients, told, strict=True)
        if code >= 300
    ]
    if len(refused) == len(recipients):
        raise HTTPException(409, str(refused[0]["text"]))
    await _settle(desk, request, order, octets)
    return refused


async def _submitted(
    desk: Desk, request: Request, to: list[str], content: bytes, at: float
) -> list[tuple[int, str, str]]:
    """What became of each recipient. 503: nobody knows."""
    found = way(desk.context.config)
    if found is None:
        raise HTTPException(409, N_("no lane of this server takes mail of people with an account"))
    who = found.listener, session(request).account.address, desk.context.peer(request)
    try:
        told = await desk.context.ask(found.worker, SUBMIT_SERVICE, "submit", who, to, at, octets=content, seconds=400)
    except Unanswered as error:
        raise HTTPException(503, N_("it is not known whether it was sent: look into Sent, and try again")) from error
    return [tuple(one) for one in told]


async def _settle(desk: Desk, request: Request, order: Order, octets: bytes) -> None:
    """The server has it: keep a copy, and note what it was an answer to."""
    boxes = await desk.boxes(request)
    sent = await read(boxes.of_use, "\\Sent")
    if sent is not None:
        await drafts.append(desk, request, sent, octets, SEEN)
    await drafts.drop(desk, request, order.draft)
    for place, flags, keywords in ((order.answers, ANSWERED, ()), (order.forwards, 0, ("$Forwarded",))):
        if place:
            box, uid = await drafts.found(desk, request, place)
            if box.may("w"):
                await change(desk, Store(
                    account=box.account, mailbox=box.number, uids=(uid,), mode=Mode.ADD, flags=flags,
                    keywords=keywords,
                ))  # fmt: skip


def without_bcc(octets: bytes) -> bytes:
    """The message as its readers get it (RFC 5322 3.6.3)."""
    end = fields.end_of_header(octets)
    return fields.only(octets[:end], {b"bcc"}, negate=True) + octets[end:]
