"""A letter that is being written: how it is said by the page, and how it becomes the message in Drafts."""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from engine.mailbox import MessageGone
from engine.mailbox.commands import Append, Appended, Expunge
from engine.mailbox.flags import DRAFT, SEEN
from engine.mailbox.incoming import IncomingFile
from engine.mailbox.layout import INLINE
from engine.web.mail import writing
from engine.web.mail.acting import change
from engine.web.mail.boxes import Box
from engine.web.mail.cleaning import cleaned
from engine.web.mail.desk import Desk, number, read, said, session
from engine.web.mail.opened import File, Opened, Person, same_id, section_of
from engine.web.mail.pictures import kind
from engine.web.mail.writing import Mistake, Piece, Written
from engine.web.text import N_

PIECES: Final = 100
"""Files of a letter."""


class Attached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: one that was uploaded, or a part of a message; ``section`` empty: that message whole."""

    name: str
    media: str = ""
    upload: str = ""
    message: str = ""  # Box.id/UID
    section: str = ""

    @property
    def shown_at(self) -> str:
        """Its address, by which the page shows it in the text if it is a picture."""
        return f"/mail/uploaded/{self.upload}" if self.upload else f"/mail/part/{self.message}/{self.section}?show=1"


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page says."""

    sender: str = ""
    to: str = ""
    cc: str = ""
    bcc: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    attached: tuple[Attached, ...] = ()
    in_reply_to: str = ""
    references: str = ""
    draft: str = ""  # Box.id/UID of what was kept before, which this takes the place of


async def asked(request: Request) -> Draft:
    """The one that the page says. 400 for what no page of ours says."""
    found = await said(request, Draft)
    if len(found.text) > writing.TEXT or len(found.html) > writing.TEXT or len(found.attached) > PIECES:
        raise HTTPException(400, N_("the letter is too large"))
    return found


async def keep(desk: Desk, request: Request, draft: Draft, name: str) -> str:
    """Put it into Drafts, in the place of what was there of it; Box.id/UID. ``name``: before the address.

    400 for a Mistake, 409 where it cannot be kept.
    """
    account = session(request).account
    try:
        pieces = [await _piece(desk, request, one) for one in draft.attached]
        octets = await read(_octets, draft, Person(name, draft.sender or account.address), pieces, desk)
    except Mistake as error:
        raise HTTPException(400, error.text) from error
    place = await put(desk, request, octets)
    await drop(desk, request, draft.draft)
    return place


async def put(desk: Desk, request: Request, octets: bytes) -> str:
    """Put a message into Drafts; Box.id/UID. 409 where it cannot be kept."""
    box = await read((await desk.boxes(request)).of_use, "\\Drafts")
    if box is None:
        raise HTTPException(409, N_("there is no mailbox for drafts"))
    return f"{box.id}/{await append(desk, request, box, octets, SEEN | DRAFT)}"


def new_id(desk: Desk) -> str:
    """A Message-ID that nothing else has."""
    return f"<{uuid4()}@{desk.context.config.server.hostname}>"


async def append(desk: Desk, request: Request, box: Box, octets: bytes, flags: int) -> int:
    """Put a message into one's own mailbox; its UID."""
    account = session(request).account
    quota = await desk.context.quotas.limit(account)
    send = partial(Append, account=box.account, mailbox=box.number, quota=quota)
    if len(octets) <= INLINE:
        answer = await change(desk, send(messages=(Appended(octets, flags=flags),)))
    else:
        reserve = 2 * int(desk.context.config.queue.reserve)
        with await read(IncomingFile.holding, octets, desk.mailboxes.path, reserve) as file:
            answer = await change(desk, send(messages=(Appended(file=file.name, flags=flags),)))
    return answer.uids[0]


async def drop(desk: Desk, request: Request, place: str) -> None:
    """Take away what was kept of a letter before: from Drafts alone."""
    if not place:
        return
    box, uid = await found(desk, request, place)
    if box.use == "\\Drafts" and box.account == session(request).account.id:
        await change(desk, Expunge(account=box.account, mailbox=box.number, uids=(uid,), deleted_only=False))


async def found(desk: Desk, request: Request, place: str) -> tuple[Box, int]:
    """The message that ``Box.id/UID`` means. 404."""
    name, _, uid = place.partition("/")
    return await desk.box(request, name), number(uid)


def _octets(draft: Draft, sender: Person, pieces: list[Piece], desk: Desk) -> bytes:
    """Mistake."""
    html = draft.html
    if html:
        html, pieces = _with_pictures(html, draft, pieces)
    return writing.message(
        Written(
            sender=Person(sender.name, writing.people(sender.address)[0].address),
            to=writing.people(draft.to),
            cc=writing.people(draft.cc),
            bcc=writing.people(draft.bcc),
            subject=draft.subject,
            text=draft.text,
            html=html,
            in_reply_to=draft.in_reply_to,
            references=draft.references,
            pieces=tuple(pieces),
        ),
        message_id=new_id(desk),
        now=time.time(),
        bcc=True,
    )


def _with_pictures(html: str, draft: Draft, pieces: list[Piece]) -> tuple[str, list[Piece]]:
    """The HTML with its pictures as parts of the letter, and the files with those named so. Mistake."""
    shown: dict[str, str] = {}
    named = list[Piece]()
    for place, (one, piece) in enumerate(zip(draft.attached, pieces, strict=True)):
        media = kind(piece.octets[:16])
        if media and one.shown_at in html:
            html = html.replace(one.shown_at, f"cid:{place}")
            shown[str(place)] = f"{uuid4()}@postroad"
            named.append(piece._replace(cid=shown[str(place)], media=media))
        else:
            named.append(piece)
    return writing.clean(html, shown), named


async def _piece(desk: Desk, request: Request, one: Attached) -> Piece:
    """What is attached, whole. Mistake, 404."""
    if one.upload:
        try:
            octets = await read(desk.uploads.read, session(request).account.id, one.upload)
        except KeyError as error:
            raise Mistake(N_("%(name)s is not there any more: attach it again", name=one.name)) from error
        return Piece(one.name, one.media, octets)
    try:
        if one.section:
            file, octets = await part(desk, request, one.message, one.section)
            return Piece(one.name, file.media, octets)
        box, uid = await found(desk, request, one.message)
        _, pieces = await read(desk.opener(box).source, uid)
        return Piece(one.name, "message/rfc822", await read(b"".join, pieces))
    except MessageGone as error:
        raise Mistake(N_("%(name)s is not there any more", name=one.name)) from error


async def part(desk: Desk, request: Request, place: str, section: str) -> tuple[File, bytes]:
    """A part of a message, whole. MessageGone, 404."""
    box, uid = await found(desk, request, place)
    numbers = section_of(section)
    if numbers is None:
        raise HTTPException(404)
    file, pieces = await read(desk.opener(box).octets, uid, numbers)
    return file, await read(b"".join, pieces)


async def begun(desk: Desk, request: Request) -> dict[str, Any]:
    """What a letter begins with, by what the address says: ``reply``, ``all``, ``forward``, ``attach``, ``draft``."""
    query = request.query_params
    for how in ("reply", "all", "forward", "attach", "draft"):
        if place := query.get(how):
            box, uid = await found(desk, request, place)
            try:
                opened = await read(desk.opener(box).open, uid, plain=True)
                text = await read(_text, desk, box, opened)
            except MessageGone as error:
                raise HTTPException(404) from error
            begun = _BLANK | _BEGUN[how](request, place, opened, text)
            if how == "draft":
                begun["html"] = await read(_html, desk, box, opened, place)
            return begun
    return _BLANK | {"to": query.get("to", ""), "subject": query.get("subject", "")}


def _text(desk: Desk, box: Box, opened: Opened) -> str:
    """The text of a message as plain text."""
    opener = desk.opener(box)
    texts = []
    for text in opened.texts:
        written = opener.text(opened.uid, text.numbers)
        texts.append(writing.plain_of(writing.clean(written, {})) if text.html else written)
    return "\n".join(texts).replace("\r\n", "\n")


def _html(desk: Desk, box: Box, draft: Opened, place: str) -> str:
    """The HTML of a draft as it is edited: with its pictures at addresses of ours; empty: it is plain text."""
    opener = desk.opener(box)
    opened = opener.open(draft.uid)

    def inline(cid: str) -> str | None:
        for file in (*opened.inline, *opened.files):
            if file.cid and same_id(cid, file.cid):
                return f"/mail/part/{place}/{file.section}?show=1"
        return None

    texts = [opener.text(opened.uid, text.numbers) for text in opened.texts if text.html]
    return "".join(cleaned(text, inline=inline).html for text in texts)


def _own(request: Request) -> frozenset[str]:
    account = session(request).account
    return frozenset({account.address, *account.send_as})


def _listed(some: tuple[Person, ...]) -> str:
    return ", ".join(shown(one) for one in some)


def shown(one: Person) -> str:
    """Somebody as people write it into a field."""
    if not one.name:
        return one.address
    name = one.name.replace("\\", "").replace('"', "")
    return f'"{name}" <{one.address}>' if re.search(r"[^\w ]", name) else f"{name} <{one.address}>"


def _replied(request: Request, place: str, opened: Opened, text: str, *, everybody: bool = False) -> dict[str, Any]:
    to, cc = writing.reply_to(opened, _own(request), everybody=everybody)
    in_reply_to, references = writing.thread_of(opened)
    return {
        "to": _listed(to), "cc": _listed(cc), "subject": writing.reply_subject(opened.subject),
        "in_reply_to": in_reply_to, "references": references, "quote": text, "quoted": opened, "answers": place,
        "addressed": [one.address for one in (*opened.to, *opened.cc)],
    }  # fmt: skip


def _attached(place: str, opened: Opened) -> list[dict[str, Any]]:
    """All its files, as parts of that message."""
    return [
        {"name": file.name, "media": file.media, "message": place, "section": file.section, "size": file.size}
        for file in (*opened.files, *opened.inline)
    ]


def _forwarded(request: Request, place: str, opened: Opened, text: str) -> dict[str, Any]:
    del request
    return {
        "subject": writing.forward_subject(opened.subject), "quote": text, "quoted": opened,
        "attached": _attached(place, opened), "forwards": place, "forwarded": True,
    }  # fmt: skip


def _enclosed(request: Request, place: str, opened: Opened, text: str) -> dict[str, Any]:
    del request, text
    file = {"name": f"{opened.subject[:60] or 'message'}.eml", "message": place, "size": opened.size}
    return {"subject": writing.forward_subject(opened.subject), "attached": [file], "forwards": place}


def _resumed(request: Request, place: str, opened: Opened, text: str) -> dict[str, Any]:
    del request
    return {
        "to": _listed(opened.to), "cc": _listed(opened.cc), "bcc": _listed(opened.bcc), "subject": opened.subject,
        "text": text, "attached": _attached(place, opened), "draft": place, "in_reply_to": "",
        "references": opened.references, "sender": opened.senders[0].address if opened.senders else "",
    }  # fmt: skip


_BLANK: Final[dict[str, Any]] = {
    "sender": "", "to": "", "cc": "", "bcc": "", "subject": "", "text": "", "html": "", "quote": "", "quoted": None,
    "attached": [], "draft": "", "answers": "", "forwards": "", "in_reply_to": "", "references": "", "addressed": [],
    "forwarded": False,
}  # fmt: skip

_BEGUN: Final[dict[str, Callable[[Request, str, Opened, str], dict[str, Any]]]] = {
    "reply": _replied,
    "all": partial(_replied, everybody=True),
    "forward": _forwarded,
    "attach": _enclosed,
    "draft": _resumed,
}
