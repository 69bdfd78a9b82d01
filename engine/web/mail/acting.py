"""What people do with messages in a list: flags, moves, deletion – many at once, and undone at a word.

An act names messages by mailbox; its answer says what would undo it, in the same form, so that undoing is an act too.
Only what has changed is undone: who marks ten messages as read of which nine were read gets one back unread.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.directory import Account
from engine.finding.boxes import DELETE, EXPUNGE, INSERT, WRITE, Box, Boxes
from engine.finding.boxes import SEEN as MAY_SEE
from engine.mailbox.commands import Answer, Command, Create, Delete, Expunge, Move, Problem, Rename, Store
from engine.mailbox.flags import FLAGGED, SEEN, Mode
from engine.mailbox.layout import INBOX
from engine.mailbox.names import canonical, is_reserved
from engine.mailbox.quotas import NO_QUOTA
from engine.web.bounds import bounded
from engine.web.languages import translated
from engine.web.mail.desk import Desk, desk_of, read, said, session
from engine.web.sessions import require
from engine.web.text import N_

MESSAGES: Final = 20_000
"""Messages of one act."""

BODY: Final = 512 * 1024
"""Octets of one: of so many UIDs."""

_FLAGS: Final = {"seen": (Mode.ADD, SEEN), "unseen": (Mode.REMOVE, SEEN), "flag": (Mode.ADD, FLAGGED),
                 "unflag": (Mode.REMOVE, FLAGGED)}  # fmt: skip
_OPPOSITE: Final = {"seen": "unseen", "unseen": "seen", "flag": "unflag", "unflag": "flag", "label": "unlabel",
                    "unlabel": "label"}  # fmt: skip
_USES: Final = {"archive": "\\Archive", "junk": "\\Junk", "trash": "\\Trash"}

_WORDS: Final = {
    Problem.NONEXISTENT: N_("there is no such mailbox"),
    Problem.ALREADYEXISTS: N_("there is such a mailbox already"),
    Problem.CANNOT: N_("that cannot be done with this mailbox"),
    Problem.HASCHILDREN: N_("there are mailboxes below it"),
    Problem.OVERQUOTA: N_("there is no room"),
    Problem.LIMIT: N_("there are too many labels"),
}

Kind = Literal[
    "seen", "unseen", "flag", "unflag", "label", "unlabel", "move", "archive", "inbox", "junk", "trash", "expunge"
]  # fmt: skip


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, with which messages: UIDs by Box.id."""

    act: Kind
    items: dict[str, tuple[int, ...]]
    to: str = ""  # Box.id: of a move
    label: str = ""  # a keyword


class Done(msgspec.Struct, frozen=True):
    """What came of it. ``trouble``: why the rest was not done; what was can be undone all the same."""

    done: int
    undo: tuple[Act, ...] = ()
    trouble: str = ""


class Hand(NamedTuple):
    """Who acts."""

    desk: Desk
    boxes: Boxes
    account: Account


@bounded(body=BODY)
@require()
async def act(request: Request) -> Response:
    """One act, or several: a list of them."""
    acts = await said(request, tuple[Act, ...])
    if sum(len(uids) for one in acts for uids in one.items.values()) > MESSAGES:
        raise HTTPException(400, N_("at most %(most)s messages at once", most=MESSAGES))
    desk = desk_of(request)
    hand = Hand(desk, await desk.boxes(request), session(request).account)
    found = await _all(hand, [(one, name, uids) for one in acts for name, uids in one.items.items()])
    told = msgspec.structs.replace(found, trouble=translated(request, found.trouble)) if found.trouble else found
    return Response(msgspec.json.encode(told), media_type="application/json")


async def _all(hand: Hand, wanted: Sequence[tuple[Act, str, tuple[int, ...]]]) -> Done:
    """One after the other. What cannot be done ends it; an error where nothing was done before."""
    done, undo = 0, list[Act]()
    for one, name, uids in wanted:
        try:
            found = await _one(hand, one, name, tuple(sorted(set(uids))))
        except HTTPException as error:
            if not done:
                raise
            return Done(done, tuple(reversed(undo)), error.detail)
        done += found.done
        undo += found.undo
    return Done(done, tuple(reversed(undo)))  # what was done last is undone first


async def _one(hand: Hand, wanted: Act, name: str, uids: tuple[int, ...]) -> Done:
    """One act on the messages of one mailbox."""
    desk, boxes, account = hand
    box = await read(boxes.box, name)
    if box is None:
        raise HTTPException(404, N_("there is no such mailbox"))
    if wanted.act == "expunge":
        return await _expunge(desk, box, uids)
    if wanted.act in _OPPOSITE:
        return await _flag(desk, account, box, wanted, uids)
    to = await read(_destination, boxes, wanted)
    if to is None:
        raise HTTPException(404, N_("there is no such mailbox"))
    return await _move(desk, account, box, to, uids)


def _destination(boxes: Boxes, wanted: Act) -> Box | None:
    """Where messages are to go. It blocks."""
    if wanted.act == "move":
        return boxes.box(wanted.to)
    if wanted.act == "inbox":
        return next((box for box in boxes.all() if box.account == boxes.me.account and box.number == INBOX), None)
    return boxes.of_use(_USES[wanted.act])


async def _flag(desk: Desk, me: Account, box: Box, wanted: Act, uids: tuple[int, ...]) -> Done:
    _demand(box, MAY_SEE if wanted.act in ("seen", "unseen") else WRITE)
    if wanted.act in _FLAGS:
        mode, flags = _FLAGS[wanted.act]
        keywords: tuple[str, ...] = ()
    else:
        mode, flags, keywords = Mode.ADD if wanted.act == "label" else Mode.REMOVE, 0, (_label(wanted.label),)
    command = Store(
        account=box.account, mailbox=box.number, uids=uids, mode=mode, flags=flags, keywords=keywords
    )  # fmt: skip
    answer = await change(desk, command)
    if not answer.sources:
        return Done(0)
    if wanted.act == "label":
        desk.teaching.labelled(me.id, box, wanted.label, answer.sources)
    opposite = Act(_OPPOSITE[wanted.act], {box.id: answer.sources}, label=wanted.label)  # type: ignore[arg-type]
    return Done(len(answer.sources), (opposite,))


async def _move(desk: Desk, me: Account, box: Box, to: Box, uids: tuple[int, ...]) -> Done:
    if to.id == box.id:
        return Done(0)
    _demand(box, DELETE + EXPUNGE)
    _demand(to, INSERT)
    if to.account not in (box.account, me.id):
        raise HTTPException(403, N_("a message moves within one account, or into one's own"))
    quota = await desk.context.quotas.limit(me) if to.account != box.account else NO_QUOTA
    command = Move(
        account=box.account, mailbox=box.number, uids=uids, to=to.number, to_account=to.account, quota=quota
    )  # fmt: skip
    answer = await change(desk, command)
    if not answer.uids:
        return Done(0)
    desk.teaching.moved(me.id, box, to, answer.uids)
    return Done(len(answer.uids), (Act("move", {to.id: tuple(sorted(answer.uids))}, to=box.id),))


async def _expunge(desk: Desk, box: Box, uids: tuple[int, ...]) -> Done:
    """For good; it is asked for in Trash and Junk alone, where nothing undoes it."""
    _demand(box, DELETE + EXPUNGE)
    command = Expunge(account=box.account, mailbox=box.number, uids=uids, deleted_only=False)
    return Done(len((await change(desk, command)).sources))


def _label(text: str) -> str:
    """A keyword: an atom of IMAP (RFC 9051 9)."""
    if not (0 < len(text) <= 60 and text.isascii() and text.isprintable()) or set(text) & set('(){ %*"\\]'):
        raise HTTPException(400, N_("a label has letters, digits and signs, and no spaces"))
    return text


def _demand(box: Box, rights: str) -> None:
    if not all(map(box.may, rights)):
        raise HTTPException(403, N_("its owner does not let you do that"))


async def change(desk: Desk, command: Command) -> Answer:
    """Have the owner of the mailboxes do it. 409 with the reason where it cannot be done."""
    answer = await desk.context.change(command)  # type: ignore[arg-type]
    if answer.problem is not None:
        raise HTTPException(409, _WORDS.get(answer.problem, N_("that cannot be done")))
    return answer


class Naming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to become of a mailbox of one's own."""

    name: str = ""
    to: str = ""


@require()
async def name(request: Request) -> Response:
    """Make, rename or delete a mailbox: ``name`` alone, ``name`` and ``to``, ``DELETE`` of ``name``."""
    wanted = await said(request, Naming)
    account = session(request).account.id
    command: Command
    if request.method == "DELETE":
        command = Delete(account=account, name=wanted.name)
    elif wanted.to:
        command = Rename(account=account, name=wanted.name, to=_name(wanted.to))
    else:
        command = Create(account=account, name=_name(wanted.name))
    await change(desk_of(request), command)
    return JSONResponse({})


def _name(text: str) -> str:
    try:
        found = canonical(text.strip())
    except ValueError as error:
        raise HTTPException(400, N_("no mailbox can have such a name")) from error
    if is_reserved(found):
        raise HTTPException(400, N_("names that begin so are mailboxes of others"))
    return found
