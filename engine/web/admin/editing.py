"""The configuration in the pages: read, edited with a check as one types, tried on mail, put in force, taken back."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.config import Config, Problem
from engine.directory import OWNER
from engine.drawing.pipeline import drawn
from engine.drawing.svg import as_svg
from engine.observe.events import event
from engine.operations import editing, revising
from engine.operations.editing import Edit, Looked
from engine.operations.impossible import Impossible, Missing
from engine.operations.previewing import Wanted, Which, differences
from engine.operations.revising import Revisions
from engine.operations.trying import by_program
from engine.revisions import changes, in_folder, unified
from engine.runtime.ordering import Disobeyed
from engine.runtime.state import Running
from engine.web.admin.wordings import saying
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import language_of, texts, translator, worded
from engine.web.pages.account import own
from engine.web.pages.signing_in import field
from engine.web.rendering import environment, page
from engine.web.sessions import require
from engine.web.streams import Emit, EventStream

LISTED = 50
"""Revisions that are listed, the newest first."""

LARGEST = 4 * editing.LARGEST
"""Octets of a request with a text: in a form an octet may take three."""

LINES = 2000
"""Lines of a difference that are shown."""

MOST = 1000
"""Messages on which an edit is tried."""

LETTERS = 1_000_000
"""Octets of a file of messages on which it is tried."""

LONGEST = 600.0
"""Seconds for which it may be tried."""

_ONE = trio.CapacityLimiter(1)
"""Checks of one process: one at a time, as modules are loaded in them."""

_TRIALS = trio.CapacityLimiter(1)
"""Previews of one process: each takes a processor."""


class Written(msgspec.Struct, frozen=True):
    """What a script sends: a file as it is to be."""

    name: Annotated[str, Meta(max_length=4096)]
    text: Annotated[str, Meta(max_length=editing.LARGEST)]


class Tried(Written, frozen=True):
    """The same, to be tried on these messages."""

    source: Annotated[str, Meta(pattern="^(queue|parked|mailbox|file)$")] = "queue"
    offline: bool = False
    letters: Annotated[bytes, Meta(max_length=LETTERS)] = b""


def _with_lf(text: str) -> str:
    """Lines as they stand in files: forms send CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


async def _in_turn(look: Any, *args: Any) -> Any:
    """What it finds, in a thread. Missing is 404."""
    try:
        return await trio.to_thread.run_sync(look, *args, limiter=_ONE)
    except Missing as error:
        raise HTTPException(404) from error


def _config(request: Request) -> Config:
    return context_of(request).config


# -- what there is


@require(OWNER)
async def _overview(request: Request) -> Response:
    return await _shown(request)


async def _shown(request: Request, status: int = 200, *, why: str = "") -> Response:
    """The page of files and revisions. ``why``: what was not done."""
    found = await _in_turn(_there_is, _config(request))
    number = request.query_params.get("revision", "")
    done = request.query_params.get("done", "")
    told = _done(request).get(done, "") if number.isascii() and number.isdigit() else ""
    done = told % {"number": number[:12]} if told else ""
    return page(request, "admin/configuration.html", status, why=why, done=done, **found, **_words(request))


def _there_is(config: Config) -> dict[str, Any]:
    """Files, revisions, what is on trial."""
    found: dict[str, Any] = {"files": editing.files_of(config), "unapplied": editing.unapplied(config)}
    found |= {"rows": [], "trial": None, "current": 0}
    with suppress(Missing):
        revisions = Revisions(config.path, config.server.data)
        found["rows"] = [revisions.row(kept) for kept in revisions.all[::-1][:LISTED]]
        found["trial"] = revisions.on_trial
        found["current"] = revisions.in_force.number if revisions.in_force else 0
    return found


def _words(request: Request) -> dict[str, Any]:
    """Closed sets of the engine in words."""
    _ = translator(request)
    return {
        "say": saying(_),
        "hindrances": {
            "code": _("Code of the server is edited on the machine alone, unless [web] edit_code allows it here."),
            "outside": _("It lies outside the folder of the configuration."),
            "unwritable": _("The server's user may not write to its folder."),
            "owner": _("It belongs to another user of the machine."),
        },
        "states": {
            "opening": _("being opened"),
            "in force": _("in force"),
            "on trial": _("on trial"),
            "was in force": _("was in force"),
            "was on trial": _("was on trial"),
            "was to be opened": _("was to be opened"),
            "refused": _("refused"),
            "withdrawn": _("withdrawn"),
        },
    }


def _done(request: Request) -> Mapping[str, str]:
    _ = translator(request)
    return {
        "applied": _("Revision %(number)s is in force."),
        "trial": _("Revision %(number)s is on trial."),
        "ended": _("The trial is over; revision %(number)s is in force."),
    }


# -- editing


@require(OWNER)
async def _edit(request: Request) -> Response:
    """The editor, with what stands in the file."""
    config, name = _config(request), request.query_params.get("name", "")
    file = await _in_turn(editing.file_of, config, name)
    try:
        stands = await _in_turn(editing.read, file)
    except Impossible as error:
        return await _shown(request, 409, why=worded(request, error))
    looked = await _in_turn(editing.looked_over, config, Edit(name, stands.text))
    return _editor(request, Edit(name, stands.text), stands.digest, looked)


def _editor(request: Request, edit: Edit, digest: str, looked: Looked, status: int = 200) -> Response:
    config = _config(request)
    return page(
        request, "admin/editor.html", status, file=editing.file_of(config, edit.name), edit=edit, digest=digest,
        looked=_told(request, config, edit, looked), **_words(request),
    )  # fmt: skip


def _told(request: Request, config: Config, edit: Edit, looked: Looked, *, is_editor: bool = True) -> str:
    """What there is to say of an edit, and what it changes, as a part of a page. ``is_editor``: one that has lines."""
    path = editing.file_of(config, edit.name).path
    rows = [(kind, _place(config, one), one, (one.path or config.path) == path)
            for kind, some in (("bad", looked.problems), ("warn", looked.warnings)) for one in some]  # fmt: skip
    lines = editing.difference(config, edit)
    template = environment(language_of(request)).get_template("admin/editor_check.html")
    more = max(len(lines) - LINES, 0)
    return str(template.render(rows=rows, lines=lines[:LINES], more=more, is_editor=is_editor))


def _place(config: Config, problem: Problem) -> str:
    """The name of the file that a problem is in."""
    path = problem.path or config.path
    folder = config.path.parent
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


@require(OWNER)
@bounded(body=LARGEST)
async def _check(request: Request) -> Response:
    """What is wrong with a text, as one types it."""
    said = await _said(request, Written)
    edit, config = Edit(said.name, _with_lf(said.text)), _config(request)
    try:
        looked = await _in_turn(editing.looked_over, config, edit)
    except Impossible as error:
        raise HTTPException(409, str(error)) from error
    return JSONResponse({
        "html": await trio.to_thread.run_sync(_told, request, config, edit, looked),
        "bad": _marked(config, edit, looked.problems),
        "warn": _marked(config, edit, looked.warnings),
    })  # fmt: skip


def _marked(config: Config, edit: Edit, problems: Sequence[Problem]) -> list[int]:
    """The lines of the edited file that are to be marked."""
    path = editing.file_of(config, edit.name).path
    return sorted({one.line for one in problems if one.line and (one.path or config.path) == path})


async def _said(request: Request, kind: type[Any]) -> Any:
    """What a script sends. HTTPException."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        raise HTTPException(400, str(error)) from error


# -- reviewing


@require(OWNER, largest=LARGEST)
@bounded(body=LARGEST)
async def _review(request: Request) -> Response:
    """What an edit changes, before it is put in force; with mistakes it goes back to the editor."""
    edit, digest = await _form(request)
    config = _config(request)
    try:
        looked = await _in_turn(editing.looked_over, config, edit)
    except Impossible as error:
        return await _shown(request, 409, why=worded(request, error))
    if looked.problems:
        return _editor(request, edit, digest, looked, 422)
    return _reviewed(request, edit, digest, looked)


def _reviewed(request: Request, edit: Edit, digest: str, looked: Looked, why: str = "") -> Response:
    config, say = _config(request), saying(texts(language_of(request)).gettext)
    after = looked.after
    return page(
        request,
        "admin/review.html",
        409 if why else 200,
        why=why,
        file=editing.file_of(config, edit.name),
        edit=edit,
        digest=digest,
        looked=_told(request, config, edit, looked, is_editor=False),
        parts=_parts(config, after) if after else [],
        picture=as_svg(drawn(after), style=False, say=say) if after else "",
        canary=config.server.canary,
        sources=_sources(request),
        **_words(request),
        **_kinds(request),
    )


def _parts(before: Config, after: Config) -> list[tuple[str, str, list[str]]]:
    """What would be opened, closed and restarted: of what, how, which."""
    found = differences(before, after)
    return [(what, how, names) for what in found for how, names in found[what].items() if names and how != "the same"]


def _sources(request: Request) -> Mapping[str, str]:
    _ = translator(request)
    return {
        "queue": _("what waits in the queue"),
        "parked": _("what is parked"),
        "mailbox": _("the latest in my own mailbox"),
        "file": _("letters in a file"),
    }


def _kinds(request: Request) -> dict[str, Any]:
    """What differs, in words."""
    _ = translator(request)
    return {
        "whats": {
            "stages": _("Stages"), "listeners": _("Listeners"), "workers": _("Workers"), "lanes": _("Lanes"),
            "restart": _("Only after a restart"),
        },
        "hows": {
            "new": _("new"), "changed": _("changed"), "gone": _("gone"), "needed": "",
        },
        "kinds": {
            "verdict": _("Verdict"), "route": _("Way"), "recipient": _("Recipient"), "wording": _("Wording"),
            "sender": _("Sender"), "fact": _("Fact"), "header": _("Header"), "content": _("Content"),
        },
    }  # fmt: skip


async def _form(request: Request) -> tuple[Edit, str]:
    """The edit that a form has, and the digest of what stood there."""
    text = _with_lf(await field(request, "text"))
    if len(text) > editing.LARGEST:
        raise HTTPException(413)
    return Edit(await field(request, "name"), text), await field(request, "digest")


@require(OWNER, largest=LARGEST)
@bounded(body=LARGEST)
async def _edit_further(request: Request) -> Response:
    """The editor with a text that was reviewed."""
    edit, digest = await _form(request)
    looked = await _in_turn(editing.looked_over, _config(request), edit)
    return _editor(request, edit, digest, looked)


# -- trying


@require(OWNER)
@bounded(body=LARGEST, seconds=math.inf)
async def _try(request: Request) -> Response:
    """Take mail through what is in force and through an edit, and tell how far it is and what came of it."""
    said = await _said(request, Tried)
    edit, config = Edit(said.name, _with_lf(said.text)), _config(request)
    try:
        if (await _in_turn(editing.looked_over, config, edit)).problems:
            raise HTTPException(422)
        wanted = await _in_turn(_wanted, config, edit, _which(request, said), said.offline)
    except Impossible as error:
        raise HTTPException(409, str(error)) from error
    _note(request, "tried", file=edit.name)
    return EventStream(request, partial(_tell, request, wanted, said.source))


def _which(request: Request, said: Any) -> Which:
    """The messages: of mailboxes that of whoever asks alone, for an owner may not read those of others."""
    account = own(request).account
    return Which(said.source, MOST, account.id, account.address, said.letters)


def _wanted(config: Config, edit: Edit, which: Which, offline: bool) -> Wanted:
    before = Revisions(config.path, config.server.data).current()
    return Wanted(
        str(config.path),
        before.text,
        in_folder(before.files, config.path.parent),
        editing.pipeline_text(config, edit),
        offline=offline,
        after_files=dict(editing.after_files(config, edit)),
        which=which,
    )


async def _tell(request: Request, wanted: Wanted, source: str, emit: Emit) -> None:
    _ = translator(request)
    send, hear = trio.open_memory_channel[tuple[int, int]](math.inf)
    try:
        _TRIALS.acquire_on_behalf_of_nowait(send)
    except trio.WouldBlock:
        await emit("refused", _("Somebody else tries a configuration just now."))
        return
    try:
        with trio.move_on_after(LONGEST) as time_left:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_tell_how_far, hear, emit)
                found = await by_program(
                    "engine.operations.previewing", wanted, lambda done, total: send.send_nowait((done, total))
                )
                nursery.cancel_scope.cancel()
            await emit("result", _result(request, found, source))
        if time_left.cancelled_caught:
            await emit("refused", _("It took too long. Try it on less mail."))
    except* Impossible as group:
        await emit("refused", worded(request, group.exceptions[0]))
    finally:
        _TRIALS.release_on_behalf_of(send)


async def _tell_how_far(hear: "trio.MemoryReceiveChannel[tuple[int, int]]", emit: Emit) -> None:
    async for done, total in hear:
        await emit("progress", [done, total])


def _result(request: Request, found: Mapping[str, Any], source: str) -> str:
    """What came of it, as a part of a page."""
    template = environment(language_of(request)).get_template("admin/review_tried.html")
    return str(template.render(tried=found["tried"], is_ours=source in ("queue", "parked"), **_kinds(request)))


# -- putting in force


@require(OWNER, largest=LARGEST)
@bounded(body=LARGEST, seconds=120)
async def _apply(request: Request) -> Response:
    edit, digest = await _form(request)
    config, by = _config(request), own(request).account.address
    share = _share(await field(request, "canary"))
    put = partial(editing.put_in_force, config, edit, digest, by, share)
    try:
        running = await trio.to_thread.run_sync(put)
    except Missing as error:
        raise HTTPException(404) from error
    except (Impossible, Disobeyed) as error:
        _note(request, "not-applied", file=edit.name)
        looked = await _in_turn(editing.looked_over, config, edit)
        return _reviewed(request, edit, digest, looked, why=worded(request, error))
    _note(request, "applied", file=edit.name, revision=_number(running))
    return _back_to(running, "trial" if running.trial else "applied")


def _share(text: str) -> float | None:
    """Per cent of the mail on which it is tried first; None: as the configuration says."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 100 else None


def _number(running: Running) -> int:
    return running.trial.revision if running.trial else running.revision


def _back_to(running: Running, done: str) -> Response:
    return RedirectResponse(f"/admin/configuration?done={done}&revision={_number(running)}", 303)


def _note(request: Request, what: str, *, file: str | None = None, revision: int | None = None) -> None:
    """Have it in the log who has done what with the configuration."""
    by, peer = own(request).account.address, context_of(request).peer(request)
    event("web-configuration-changed", what=what, file=file, revision=revision, by=by, peer=peer)


# -- revisions


@require(OWNER)
async def _revision(request: Request) -> Response:
    number = request.query_params.get("number", "")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise HTTPException(404)
    found = await _in_turn(_told_of, _config(request), int(number))
    return page(request, "admin/revision.html", **found, **_words(request))


def _told_of(config: Config, number: int) -> dict[str, Any]:
    """A revision: what it changed, and what going back to it would change. Missing."""
    revisions = Revisions(config.path, config.server.data)
    kept, current = revisions.get(number), revisions.current()
    before = next((one for one in revisions.all if one.number == kept.before), None)
    return {
        "row": revisions.row(kept),
        "kept": kept,
        "changed": list(map(str, changes(before, kept))) if before else [],
        "lines": unified(before, kept)[:LINES] if before else [],
        "to_it": unified(current, kept)[:LINES] if current.number != number else [],
        "is_current": current.number == number,
    }


@require(OWNER)
@bounded(seconds=120)
async def _go_back(request: Request) -> Response:
    number = await field(request, "number")
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise HTTPException(404)
    config, by = _config(request), own(request).account.address

    def put() -> Running:
        revisions = Revisions(config.path, config.server.data)
        return revising.put_in_force(revisions, revisions.get(int(number)), by, 0)

    return await _changed(request, put, "back")


@require(OWNER)
@bounded(seconds=120)
async def _end_trial(request: Request) -> Response:
    what = await field(request, "what")
    if what not in ("promote", "abort"):
        raise HTTPException(400)
    config, by = _config(request), own(request).account.address

    def abort() -> Running:
        revisions = Revisions(config.path, config.server.data)
        return revising.put_in_force(revisions, revisions.current(), by, 0)  # and let the files say so again

    if what == "abort":
        return await _changed(request, abort, "aborted")
    return await _changed(request, partial(revising.end_trial, config.server.data, by, promote=True), "promoted")


async def _changed(request: Request, change: Any, what: str) -> Response:
    """Have it done, in a thread."""
    try:
        running: Running = await trio.to_thread.run_sync(change)
    except Missing as error:
        raise HTTPException(404) from error
    except (Impossible, Disobeyed) as error:
        return await _shown(request, 409, why=worded(request, error))
    _note(request, what, revision=_number(running))
    return _back_to(running, "applied" if what == "back" else "ended")


ROUTES = [
    Route("/admin/configuration", _overview, methods=["GET"]),
    Route("/admin/configuration/file", _edit, methods=["GET"]),
    Route("/admin/configuration/check", _check, methods=["POST"]),
    Route("/admin/configuration/edit", _edit_further, methods=["POST"]),
    Route("/admin/configuration/review", _review, methods=["POST"]),
    Route("/admin/configuration/try", _try, methods=["POST"]),
    Route("/admin/configuration/apply", _apply, methods=["POST"]),
    Route("/admin/configuration/revision", _revision, methods=["GET"]),
    Route("/admin/configuration/back", _go_back, methods=["POST"]),
    Route("/admin/configuration/trial", _end_trial, methods=["POST"]),
]
