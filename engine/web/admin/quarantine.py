"""Quarantine: parked mail is found and looked at, harmlessly; let go on, deleted, learnt from, once it was counted."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.config import Config
from engine.directory import ADMINISTRATOR
from engine.message import Message, MessageId
from engine.mime.charsets import beginning
from engine.mime.digest import between
from engine.mime.part import Part
from engine.mime.sections import numbered
from engine.mime.structure import structure
from engine.mime.transfer import decoded
from engine.observe.visible import on_one_line, visible
from engine.operations import quarantine as operations
from engine.operations.operator import Operator
from engine.operations.quarantine import Parked
from engine.operations.reading import Ask
from engine.operations.shards import opened
from engine.quarantine.held import Held, Wanted
from engine.queue.store import Shard, shard_numbers
from engine.spam import Kind, Words
from engine.web import means
from engine.web.admin.looking import looked
from engine.web.admin.scope import operator
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import ngettext, translator
from engine.web.mail import frame
from engine.web.mail.cleaning import LONGEST, TooDeep, cleaned
from engine.web.mail.opened import File, Numbers, sorted_parts
from engine.web.rendering import page
from engine.web.sessions import require

MOST: Final = 200
"""Messages that a list shows."""

AT_ONCE: Final = 200
"""Messages that are read and decided about in one go: others want to look at the queue too."""

POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""Of the frame with a parked letter: unlike one that its reader has got, not even its links lead anywhere."""

_UNSHOWN = 20
"""Messages of which it is told why nothing came of them."""

_DAY = 86_400.0

DAYS: Final = ("1", "7", "30")
"""Spans within which mail was parked that can be asked for."""

Order: TypeAlias = Literal["release", "delete", "ham", "spam"]

KINDS: Mapping[Order, Kind] = {"release": "ham", "delete": "spam", "ham": "ham", "spam": "spam"}
"""What the spam filter learns by each order, if it is to."""

DECISIONS: Mapping[Order, operations.Decision] = {"release": "release", "delete": "delete"}
"""Orders after which they are parked no more."""

_FIELDS = ("to", "sender", "reason", "stage", "score", "days")


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for, as it was written."""

    to: str = ""
    sender: str = ""
    reason: str = ""
    stage: str = ""
    score: str = ""
    days: str = ""
    until: str = ""  # parked no later than this Unix time: what was counted, and nothing that came since

    @classmethod
    def of(cls, values: Mapping[str, object]) -> "Filter":
        found = {name: str(values.get(name) or "").strip()[:320] for name in (*_FIELDS, "until")}
        return cls(**found)

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in _FIELDS)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names and values that are not empty."""
        return [(name, value) for name in _FIELDS if (value := getattr(self, name))]

    def wanted(self, now: float) -> Wanted:
        """ValueError where a number is none."""
        return Wanted(
            to=self.to, sender=self.sender, reason=self.reason, stage=self.stage,
            score=_number(self.score) if self.score else None,
            after=now - int(self.days) * _DAY if self.days in DAYS else 0.0,
            until=_number(self.until) if self.until else 2.0**40,
        )  # fmt: skip


def _number(text: str) -> float:
    """ValueError."""
    found = float(text.replace(",", "."))
    if not math.isfinite(found):
        raise ValueError(text)
    return found


class Letter(NamedTuple):
    """The text of a parked message, harmless, and what was left out of it."""

    html: str
    title: str
    plain: bool


class Done(NamedTuple):
    """What an order came to."""

    done: int
    undone: Sequence[tuple[MessageId, str]]  # and why not


@contextmanager
def _shards(config: Config) -> Iterator[list[Shard]]:
    """All shards, to be read for a moment. StorageError."""
    with ExitStack() as stack:
        yield [stack.enter_context(opened(config, number)) for number in shard_numbers(config.server.data)]


# The list


@require(ADMINISTRATOR)
@bounded(seconds=120)
async def _list(request: Request) -> Response:
    asked, by, config = Filter.of(request.query_params), operator(request), context_of(request).config
    why, count, rows = "", 0, list[operations.ParkedRow]()
    try:
        wanted = asked.wanted(time.time())
    except ValueError:
        _ = translator(request)
        why = _("Write the score as a number.")
    else:
        count, rows = await looked(_newest, config, by, wanted)
    return page(
        request, "admin/quarantine.html", 422 if why else 200, rows=rows, count=count, asked=asked, why=why, days=DAYS,
        orders=_names(request), done=_told(request), plain=on_one_line, expire=_expiry(config),
    )  # fmt: skip


def _newest(config: Config, by: Operator, wanted: Wanted) -> tuple[int, list[operations.ParkedRow]]:
    with _shards(config) as shards:
        return operations.newest(shards, by, wanted, MOST)


def _expiry(config: Config) -> int:
    """Days after which what is parked is deleted; 0: never."""
    return round(config.quarantine.expire / _DAY) if config.quarantine else 0


def _names(request: Request) -> Mapping[Order, str]:
    """What can be done, in words. The spam filter learns for all domains, so that is for those who have all."""
    _ = translator(request)
    found: dict[Order, str] = {"release": _("Release"), "delete": _("Delete")}
    if operator(request).domains is None:
        found |= {"ham": _("Teach: wanted"), "spam": _("Teach: spam")}
    return found


def _told(request: Request) -> str:
    """What the last order came to."""
    count = request.query_params.get("done", "")
    if not (count.isascii() and count.isdigit() and len(count) < 12):
        return ""
    return ngettext(request, "It was done to %(num)s message.", "It was done to %(num)s messages.", int(count))


# One message


@require(ADMINISTRATOR)
@bounded(seconds=120)
async def _show(request: Request) -> Response:
    identity = _identity(request.query_params.get("id", ""))
    found = await looked(_found, context_of(request).config, operator(request), identity)
    if found is None:
        raise HTTPException(404)
    parked, files = found
    return page(
        request, "admin/parked.html", one=parked, files=files, facts=_facts(parked), orders=_names(request),
        reads=request.query_params.get("text") == "1", plain=on_one_line, visible=visible,
    )  # fmt: skip


def _identity(text: str) -> MessageId:
    try:
        return MessageId.parse(text)
    except ValueError as error:
        raise HTTPException(404) from error


def _found(config: Config, by: Operator, identity: MessageId) -> tuple[Parked, list[File]] | None:
    with _shards(config) as shards:
        parked = operations.shown(shards, by, identity)
        files = operations.looked_into(shards, by, identity, _files)
    return None if parked is None else (parked, files or [])


def _files(held: Held) -> list[File]:
    return sorted_parts(structure(held.message.chunks()))[1]


def _facts(parked: Parked) -> list[tuple[str, str]]:
    """What stages found out, as text."""
    return [(name, on_one_line(_text(value))[:500]) for name, value in sorted(parked.facts.items())]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


@require(ADMINISTRATOR)
@bounded(seconds=120)
async def _body(request: Request) -> Response:
    """The page in the frame. That somebody has read it is told in the log."""
    by, identity = operator(request), _identity(request.query_params.get("id", ""))
    letter = await looked(_letter, context_of(request).config, by, identity)
    if letter is None:
        raise HTTPException(404)
    await by.told("parked-read", id=str(identity))
    headers = {"content-security-policy": POLICY, "x-frame-options": "SAMEORIGIN", "referrer-policy": "no-referrer"}
    return HTMLResponse(frame.page(letter.html, title=letter.title, plain=letter.plain), headers=headers)


def _letter(config: Config, by: Operator, identity: MessageId) -> Letter | None:
    with _shards(config) as shards:
        return operations.looked_into(shards, by, identity, lambda held: _read(held.message))


def _read(message: Message) -> Letter:
    """Its text: nothing of it is fetched, and nothing of it is run."""
    whole = structure(message.chunks())
    texts, _ = sorted_parts(whole)
    shown = [_shown(message, whole, text.numbers, html=text.html) for text in texts]
    plain = not any(text.html for text in texts)
    return Letter('<hr class="part">'.join(shown), on_one_line(message.header("Subject") or ""), plain)


def _shown(message: Message, whole: Part, numbers: Numbers, *, html: bool) -> str:
    part = numbered(whole, numbers)
    assert part is not None
    written = _written(message, part)
    if html:
        try:
            return cleaned(written, inline=lambda _: None).html
        except TooDeep:
            pass
    return frame.text(written)


def _written(message: Message, part: Part) -> str:
    """A part as characters, LONGEST of them at most."""
    octets = decoded(between(message.chunks(), part.body, part.end), part.encoding)
    return beginning(octets, part.charset, LONGEST)


# What is done with them


@require(ADMINISTRATOR)
@bounded(seconds=600)
async def _order(request: Request) -> Response:
    """Say how many they are; with ``sure`` have it done."""
    form = await request.form()
    names, asked = _names(request), Filter.of(form)
    order = next((one for one in names if one == form.get("order")), None)
    if order is None:
        raise HTTPException(400)
    try:
        ids = [MessageId.parse(one) for one in form.getlist("id")[:MOST] if isinstance(one, str)]
        wanted = asked.wanted(time.time())
    except ValueError as error:
        raise HTTPException(400) from error
    config, by = context_of(request).config, operator(request)
    chosen = await looked(_chosen, config, by, ids, wanted)
    if not form.get("sure"):
        return page(
            request, "admin/quarantine_order.html", order=order, name=names[order], ids=ids, asked=asked,
            count=len(chosen), until=repr(time.time()), may_teach="ham" in names,
        )  # fmt: skip
    teaches = order in ("ham", "spam") or (bool(form.get("train")) and "ham" in names)
    words = context_of(request).stores.spam.words() if teaches else None
    done = await Word(config, by, order, wanted, words).carry_out(means.ask(context_of(request)), chosen)
    if done.undone:
        return page(request, "admin/quarantine_done.html", name=names[order], done=done, most=_UNSHOWN)
    return RedirectResponse(f"/admin/quarantine?done={done.done}", 303)


def _chosen(config: Config, by: Operator, ids: Sequence[MessageId], wanted: Wanted) -> list[MessageId]:
    with _shards(config) as shards:
        return [one.id for one in operations.choose(shards, by, ids, wanted)[0]]


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody wants done. ``words``: of the spam filter, if it is to learn by it."""

    config: Config
    by: Operator
    order: Order
    wanted: Wanted
    words: Words | None

    async def carry_out(self, ask: Ask, ids: Sequence[MessageId]) -> Done:
        """Have it done to these, some at a time. StorageError."""
        done, undone = 0, list[tuple[MessageId, str]]()
        for start in range(0, len(ids), AT_ONCE):
            finish = await looked(self._prepared, ids[start : start + AT_ONCE])
            said = await trio.to_thread.run_sync(finish, ask)
            done += sum(not why for why in said.values())
            undone += [(identity, why) for identity, why in said.items() if why]
        return Done(done, undone)

    def _prepared(self, ids: Sequence[MessageId]) -> Callable[[Ask], dict[MessageId, str]]:
        """Read what can be learnt of them while they are there. What it gives does the rest, and says why what was not
        done."""
        with _shards(self.config) as shards:
            chosen, absent = operations.choose(shards, self.by, ids, self.wanted)
            lessons = operations.lessons(self.by, KINDS[self.order], chosen) if self.words is not None else {}

        def finish(ask: Ask) -> dict[MessageId, str]:
            said = {one.id: self._decide(ask, one) for one in chosen}
            if self.words is not None:
                operations.learn(self.words, self.by, [lessons[identity] for identity, why in said.items() if not why])
            return said | dict.fromkeys(absent, "it is not parked")

        return finish

    def _decide(self, ask: Ask, one: operations.Chosen) -> str:
        decision = DECISIONS.get(self.order)
        return operations.decide(ask, self.by, decision, one) if decision else ""


ROUTES = [
    Route("/admin/quarantine", _list, methods=["GET"]),
    Route("/admin/quarantine/message", _show, methods=["GET"]),
    Route("/admin/quarantine/body", _body, methods=["GET"]),
    Route("/admin/quarantine/order", _order, methods=["POST"]),
]
