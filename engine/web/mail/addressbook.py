"""The pages with one's contacts: a list, one of them, files of vCards, and those whom one has written to."""

import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final

import msgspec
import trio
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from engine.directory import split
from engine.finding.words import plain
from engine.storage.environment import Full
from engine.web.bounds import bounded
from engine.web.languages import ngettext, translated, translator
from engine.web.mail import drafts, vcard
from engine.web.mail.contacts import Contact, TooMany
from engine.web.mail.desk import Desk, desk_of, read, session
from engine.web.mail.opened import Person
from engine.web.mail.people import Proposal, groups_in, learn, proposals
from engine.web.mail.vcard import Broken, Card
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.streams import states
from engine.web.text import N_

PAGE: Final = 100
"""Contacts of one page."""

LATEST: Final = 30
"""People who were written to that are listed."""


@require()
async def listed(request: Request) -> Response:
    """The list, or what of it is looked for."""
    desk, account = desk_of(request), session(request).account
    await _learn(desk, request)
    query, group = request.query_params.get("q", "")[:100], request.query_params.get("group", "")
    state = _state(desk)
    everybody = await read(desk.contacts.all, account.id)
    found = sorted(
        ((identity, one) for identity, one in everybody if _is_meant(one, plain(query), group)),
        key=lambda pair: (plain(pair[1].name), pair[0]),
    )
    start = _start(request)
    return page(
        request, "mail/contacts.html", contacts=found[start : start + PAGE], count=len(found), start=start,
        page_size=PAGE, query=query, group=group, groups=groups_in(one for _, one in everybody),
        told=request.query_params.get("told", ""), state=state,
        written=await read(_written, desk, account.id, {a for _, one in everybody for a in one.addresses}),
        as_written=_as_written,
    )  # fmt: skip


def _state(desk: Desk) -> str:
    """Another one when somebody's contacts have changed."""
    return f"{desk.contacts.changes:x}"


@bounded(seconds=math.inf)
@require()
async def live(request: Request) -> Response:
    desk = desk_of(request)

    async def state() -> str:
        return _state(desk)

    return states(request, state)


def _start(request: Request) -> int:
    text = request.query_params.get("from", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _is_meant(one: Contact, wanted: str, group: str) -> bool:
    if group and group not in one.groups:
        return False
    texts = (one.name, one.organization, one.note, *one.addresses, *one.groups)
    return not wanted or any(wanted in plain(text) for text in texts)


def _written(desk: Desk, account: int, known: set[str]) -> list[Person]:
    """Those whom somebody has written to, and has not noted, the last first."""
    found = sorted(desk.contacts.learnt(account), key=lambda one: -one.last)
    return [Person(one.name, one.address) for one in found if one.address not in known][:LATEST]


def _as_written(name: str, addresses: tuple[str, ...]) -> str:
    """Somebody, or all of a group, as a field of addresses has them."""
    if len(addresses) == 1:
        return drafts.shown(Person(name, addresses[0]))
    return ", ".join(addresses)


@require()
async def shown(request: Request) -> Response:
    """The form of one, or of a new one."""
    desk, identity = desk_of(request), request.path_params["id"]
    if identity == "new":
        query = request.query_params
        address = query.get("address", "")[:320]
        contact = Contact(query.get("name", "")[: vcard.NAME], (address,) if address else ())
    else:
        found = await read(desk.contacts.get, session(request).account.id, identity)
        if found is None:
            raise HTTPException(404)
        contact = found
    return _form(request, identity, contact)


def _form(request: Request, identity: str, contact: Contact, why: str = "") -> Response:
    return page(request, "mail/contact.html", 422 if why else 200, contact=contact, id=identity, why=why)


@require()
async def kept(request: Request) -> Response:
    """Keep what the form says."""
    desk, account, identity = desk_of(request), session(request).account, request.path_params["id"]
    await _learn(desk, request)  # which notes whose contacts these are
    form, _ = await request.form(), translator(request)
    before = Contact("") if identity == "new" else await read(desk.contacts.get, account.id, identity)
    if before is None:
        raise HTTPException(404)
    wanted = _said(form, before)
    try:
        wanted = msgspec.structs.replace(wanted, addresses=tuple(map(vcard.valid_address, wanted.addresses)))
        if not wanted.name:
            return _form(request, identity, wanted, _("Say the name."))
        await read(desk.contacts.put, account.id, wanted, "" if identity == "new" else identity)
    except Broken:
        return _form(request, identity, wanted, _("One of these is no address."))
    except (TooMany, Full):
        return _form(request, identity, wanted, _("There is no room for more contacts."))
    except KeyError as error:
        raise HTTPException(404) from error
    return RedirectResponse("/mail/contacts?told=kept", 303)


def _said(form: FormData, before: Contact) -> Contact:
    """What the form says of somebody; what it says nothing of stays."""

    def text(name: str) -> str:
        return str(form.get(name, ""))

    def several(name: str, most: int) -> tuple[str, ...]:
        found = (vcard.shown(line) for line in text(name).replace(",", "\n").splitlines())
        return tuple(dict.fromkeys(line for line in found if line))[:most]

    name = vcard.shown(text("name"))[: vcard.NAME]
    addresses = several("addresses", vcard.ADDRESSES)
    rest = tuple(line for line in before.rest if name == before.name or line.upper()[:2] not in ("N:", "N;"))
    return msgspec.structs.replace(
        before,
        name=name or (addresses[0] if addresses else ""),
        addresses=addresses,
        groups=vcard.groups_of(map(vcard.escaped, several("groups", vcard.GROUPS))),
        note=text("note").replace("\r\n", "\n").strip()[: vcard.NOTE],
        organization=vcard.shown(text("organization"))[: vcard.NAME],
        telephones=tuple(one[:60] for one in several("telephones", vcard.NUMBERS)),
        rest=rest,
    )


@require()
async def removed(request: Request) -> Response:
    """Take away those that were ticked, or the one whose form it was."""
    desk, form = desk_of(request), await request.form()
    chosen = [str(one) for one in form.getlist("id")]
    await read(desk.contacts.remove, session(request).account.id, chosen)
    return RedirectResponse("/mail/contacts?told=removed", 303)


@require()
async def forgotten(request: Request) -> Response:
    """Propose somebody no more who was written to."""
    desk, form = desk_of(request), await request.form()
    await read(desk.contacts.forget, session(request).account.id, [str(form.get("address", ""))])
    return RedirectResponse("/mail/contacts?told=forgotten", 303)


@require()
async def exported(request: Request) -> Response:
    """All, or those of a group, as a file of vCards."""
    desk, account = desk_of(request), session(request).account
    group = request.query_params.get("group", "")
    version: vcard.Version = "3.0" if request.query_params.get("version") == "3.0" else "4.0"
    everybody = await read(desk.contacts.all, account.id)
    cards = (_card(identity, one) for identity, one in everybody if not group or group in one.groups)
    headers = {"content-disposition": "attachment; filename=contacts.vcf", "cache-control": "private, no-store"}
    return StreamingResponse(_pieces(vcard.written(cards, version)), media_type="text/vcard", headers=headers)


async def _pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Some cards at a time: others have their turn in between."""
    gathered = b""
    for piece in pieces:
        gathered += piece
        if len(gathered) > 64 * 1024:
            yield gathered
            gathered = b""
            await trio.lowlevel.checkpoint()
    yield gathered


def _card(identity: str, one: Contact) -> Card:
    return Card(
        one.name, one.uid or f"urn:uuid:{_uuid(identity)}", one.addresses, one.groups, one.note, one.organization,
        one.telephones, one.rest,
    )  # fmt: skip


def _uuid(identity: str) -> str:
    return "-".join((identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:]))


@bounded(body=vcard.FILE + 1024, seconds=120)
@require()
async def imported(request: Request) -> Response:
    """Take a file of vCards: the body is the file."""
    desk, account, _ = desk_of(request), session(request).account, translator(request)
    await _learn(desk, request)
    octets = await request.body()
    try:
        found = await read(vcard.read, octets)
        new, changed = await read(desk.contacts.take, account.id, [_contact(one) for one in found.cards])
    except Broken as error:
        raise HTTPException(400, error.text) from error
    except (TooMany, Full) as error:
        raise HTTPException(409, N_("There is no room for more contacts.")) from error
    troubles = [
        _("Line %(line)s: %(why)s") % {"line": trouble.line, "why": translated(request, trouble.why)}
        for trouble in found.troubles
    ]
    told = ngettext(request, "%(num)s contact is new.", "%(num)s contacts are new.", new)
    if changed:
        told += " " + ngettext(request, "%(num)s has changed.", "%(num)s have changed.", changed)
    return JSONResponse({"told": told, "troubles": troubles, "new": new, "changed": changed})


def _contact(one: Card) -> Contact:
    return Contact(one.name, one.addresses, one.groups, one.note, one.organization, one.telephones, one.uid, one.rest)


@require()
async def completed(request: Request) -> Response:
    """Whom somebody may mean by what was typed."""
    desk, account = desk_of(request), session(request).account
    typed = request.query_params.get("q", "")[:100]
    await _learn(desk, request)
    return JSONResponse(
        [_told(request, one) for one in await read(_proposed, desk, account.id, account.address, typed)]
    )


def _proposed(desk: Desk, account: int, address: str, typed: str) -> list[Proposal]:
    """It blocks."""
    colleagues: list[Person] = []
    name = split(address)
    if desk.context.config.web.colleagues and name is not None:
        some = desk.colleagues.of(desk.context.directory(), desk.mailboxes, name[1])
        colleagues = [one for one in some if one.address != address]
    contacts = [one for _, one in desk.contacts.all(account)]
    return proposals(contacts, desk.contacts.learnt(account), colleagues, typed, time.time())


def _told(request: Request, one: Proposal) -> dict[str, str]:
    """A proposal: what is shown of it, and what it is completed to."""
    if one.kind == "group":
        many = ngettext(request, "%(num)s person", "%(num)s people", len(one.addresses))
        return {"label": f"{one.name} ({many})", "text": ", ".join(one.addresses), "kind": one.kind}
    person = Person(one.name, one.addresses[0])
    return {"label": str(person), "text": drafts.shown(person), "kind": one.kind}


async def _learn(desk: Desk, request: Request) -> None:
    """Take in whom somebody has written to meanwhile."""
    sent = await read((await desk.boxes(request)).of_use, "\\Sent")
    account = session(request).account
    await read(learn, desk.contacts, desk.mailboxes, desk.index, account, sent.number if sent is not None else None)
