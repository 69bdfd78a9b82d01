"""Import of accounts from a CSV file: looked through whole, then done, with its progress and a file of what came."""

import io
from collections.abc import Iterator, Sequence

import trio
from msgspec.structs import replace
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, DirectoryError, Embedded, passwords
from engine.observe.events import event
from engine.operations import importing
from engine.operations.importing import COLUMNS, Entry, Sheet
from engine.operations.operator import Forbidden, Operator
from engine.operations.sheets import LineMistake
from engine.storage.environment import StorageError
from engine.web.admin.imports import Import, Imports, Progress
from engine.web.admin.scope import operator
from engine.web.bounds import bounded
from engine.web.context import Context, context_of
from engine.web.languages import translator, worded
from engine.web.pages.account import embedded, own
from engine.web.pages.invited import link
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

_FILE = 4 * 2**20
"""Octets of a file: some 50,000 accounts."""

_MISTAKES = 200
"""Mistakes that are shown."""

_STEP = 20
"""Accounts between two words about how far it is: some seconds, for each password takes its time."""

INVITE, GENERATE, NOTHING = "invite", "generate", "nothing"
"""What those get whose line has no password."""


@require(ADMINISTRATOR)
async def _ask(request: Request) -> Response:
    return _form(request)


def _form(
    request: Request, status: int = 200, *, why: str = "", mistakes: Sequence[LineMistake] = (), count: int = 0
) -> Response:
    some = [(one.line, worded(request, one.text)) for one in mistakes[:_MISTAKES]]
    return page(request, "admin/import.html", status, columns=COLUMNS, why=why, mistakes=some, count=count)


@bounded(body=_FILE + 64 * 1024, seconds=120.0)
@require(ADMINISTRATOR, files=1)
async def _look(request: Request) -> Response:
    """Look the file through, and say what would be done."""
    _ = translator(request)
    file = (await request.form()).get("file")
    if not isinstance(file, UploadFile):
        return _form(request, 422, why=_("Choose a file."))
    try:
        text = (await file.read(_FILE + 1)).decode("utf-8-sig")
    except UnicodeDecodeError:
        return _form(request, 422, why=_("The file is not in UTF-8. Spreadsheets offer that when they save as CSV."))
    directory, by = embedded(request), operator(request)
    sheet = importing.parsed(io.StringIO(text, newline=""))
    mistakes = await trio.to_thread.run_sync(importing.checked, directory, by, sheet)
    if mistakes:
        return _form(request, 422, mistakes=mistakes, count=len(mistakes))
    if not sheet.entries:
        return _form(request, 422, why=_("There is no account in the file."))
    kept = await trio.to_thread.run_sync(_imports(request).keep, own(request).account.id, text)
    plan = await trio.to_thread.run_sync(importing.planned, directory, sheet)
    bare = sum(not one.password for one in sheet.entries)
    return page(request, "admin/import_plan.html", plan=plan, bare=bare, id=kept.id)


def _imports(request: Request) -> Imports:
    return Imports(context_of(request).data)


def _known(request: Request, identity: str) -> Import:
    """One of whoever asks. HTTPException."""
    found = _imports(request).find(own(request).account.id, identity)
    if found is None:
        raise HTTPException(404)
    return found


@require(ADMINISTRATOR)
async def _begin(request: Request) -> Response:
    """Begin, unless it was begun already; then go to where one sees how far it is."""
    found, how = _known(request, await field(request, "id")), await field(request, "how")
    directory, by = embedded(request), operator(request)
    try:
        text = await trio.to_thread.run_sync(found.sheet)
    except FileNotFoundError:  # it is done
        return RedirectResponse(f"/admin/import/progress?id={found.id}", 303)
    sheet = importing.parsed(io.StringIO(text, newline=""))
    mistakes = await trio.to_thread.run_sync(importing.checked, directory, by, sheet)
    if mistakes:  # the directory is another one by now
        return _form(request, 422, mistakes=mistakes, count=len(mistakes))
    columns = ("address", "link" if how == INVITE else "password")
    if await trio.to_thread.run_sync(found.begin, len(sheet.entries), columns):
        work = _Work(context_of(request), directory, by, found, sheet.entries, how, link(request, ""))
        trio.lowlevel.spawn_system_task(work.run)
    return RedirectResponse(f"/admin/import/progress?id={found.id}", 303)


class _Work:
    """An import that goes on, whoever looks."""

    def __init__(  # noqa: PLR0917
        self, context: Context, directory: Embedded, by: Operator, kept: Import, entries: Sequence[Entry], how: str,
        link: str,
    ) -> None:  # fmt: skip
        self._context = context
        self._directory = directory
        self._by = by
        self._kept = kept
        self._entries = entries
        self._how = how
        self._link = link

    async def run(self) -> None:
        """To its end. Nothing that goes wrong in it goes further."""
        progress = Progress("running", 0, len(self._entries))
        try:
            for start in range(0, len(self._entries), _STEP):
                some = self._entries[start : start + _STEP]
                progress = await trio.to_thread.run_sync(self._some, some, progress)
            progress = replace(progress, state="done")
        except (DirectoryError, StorageError, Forbidden, OSError) as error:
            event("import-failed", by=self._by.name, error=str(error))
            progress = replace(progress, state="failed")
        except Exception as error:
            event.bug("import", error)
            progress = replace(progress, state="failed")
        try:
            await trio.to_thread.run_sync(self._kept.tell, progress)
        except OSError as error:
            event("import-failed", by=self._by.name, error=str(error))

    def _some(self, entries: Sequence[Entry], progress: Progress) -> Progress:
        """So many more. Blocks."""
        new = {one.address for one in entries if self._directory.account(one.address) is None}
        if self._how == GENERATE:
            entries = [
                replace(one, password=passwords.generated()) if one.address in new and not one.password else one
                for one in entries
            ]
            # Before they are set: whoever breaks off in between has passwords of nobody, and not people without one.
            self._kept.add((one.address, one.password) for one in entries if one.address in new)
        done = importing.take_in(self._directory, self._by, Sheet(entries, ()))
        if self._how == INVITE:
            self._kept.add(self._invited(one for one in entries if one.address in new and not one.password))
        progress = Progress(
            "running", progress.done + len(entries), progress.total, progress.added + done.added,
            progress.there + done.there,
        )  # fmt: skip
        self._kept.tell(progress)
        return progress

    def _invited(self, entries: Iterator[Entry]) -> Iterator[tuple[str, str]]:
        """With the link of each."""
        invitations = self._context.sessions.invitations
        for entry in entries:
            account = self._directory.account(entry.address)
            if account is not None:
                token = invitations.invite(account, self._by.name)
                yield account.address, f"{self._link}{token}"


@require(ADMINISTRATOR)
async def _progress(request: Request) -> Response:
    """How far it is: for people, or a script of theirs."""
    found = _known(request, request.query_params.get("id", ""))
    progress = await trio.to_thread.run_sync(found.progress)
    if progress is None:
        raise HTTPException(404)
    if "text/html" not in request.headers.get("Accept", ""):
        state = "broken" if progress.is_broken_off else progress.state
        return JSONResponse({"state": state, "done": progress.done, "total": progress.total})
    return page(request, "admin/import_progress.html", id=found.id, progress=progress)


@require(ADMINISTRATOR)
async def _result(request: Request) -> Response:
    found = _known(request, request.query_params.get("id", ""))
    try:
        octets = await trio.to_thread.run_sync(found.result)
    except FileNotFoundError as error:
        raise HTTPException(404) from error
    headers = {"content-disposition": 'attachment; filename="accounts.csv"'}
    return Response(octets, media_type="text/csv; charset=utf-8", headers=headers)


@require(ADMINISTRATOR)
async def _forget(request: Request) -> Response:
    found = _known(request, await field(request, "id"))
    progress = await trio.to_thread.run_sync(found.progress)
    if progress is not None and progress.state == "running" and not progress.is_broken_off:
        raise HTTPException(409)
    await trio.to_thread.run_sync(found.forget)
    return RedirectResponse("/admin/accounts", 303)


ROUTES = [
    Route("/admin/import", _ask, methods=["GET"]),
    Route("/admin/import", _look, methods=["POST"]),
    Route("/admin/import/begin", _begin, methods=["POST"]),
    Route("/admin/import/progress", _progress, methods=["GET"]),
    Route("/admin/import/result", _result, methods=["GET"]),
    Route("/admin/import/forget", _forget, methods=["POST"]),
]
