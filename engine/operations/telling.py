"""The story of a message in lines for people: how far indented, in which style, and what."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import singledispatch
from typing import Any, TypeAlias

from engine.history.entries import Arrived, Attempted, Born, Entry, Leg, Noted, Outcome, Placed, Sent, TurnedAway
from engine.history.reading import Told
from engine.history.story import Story, steps
from engine.message import MessageId
from engine.queue.store import Record
from engine.units import measured, spelled

Line: TypeAlias = tuple[int, str, str]

FACT = 200
"""Characters of a fact that are shown; `--json` has all."""

_HEAD, _BODY, _GOOD, _BAD, _LATE, _DIM = "bold", "", "green", "red", "yellow", "dim"
_STYLES = {
    "delivered": _GOOD, "accepted": _GOOD, "failed": _BAD, "refused": _BAD, "deferred": _LATE, "held": _LATE,
    "parked": _LATE, "put-off": _LATE,
}  # fmt: skip

_CAME = {
    "report": "the report of a failure", "warning": "the report of a delay", "sent": "what was sent on or answered",
    "split": "a part with recipients of its own", "parted": "a part that was set apart",
    "journal": "the copy for a journal",
}  # fmt: skip

_NOTED = {
    "released": "let go on by an operator", "deleted": "deleted by an operator", "expired": "deleted, parked too long",
    "parked": "parked", "in line": "put into a line", "tried now": "an operator wants it tried now",
    "given up": "given up by an operator",
}  # fmt: skip


def lines_of(story: Story, record: Record | None) -> list[Line]:
    """All of it but what is next."""
    return [*_heading(story, record), *_relatives(story), *(line for one in story.told for line in _entry(one))]


def _heading(story: Story, record: Record | None) -> Iterator[Line]:
    begin = story.begin
    yield 0, _HEAD, " ".join(filter(None, (str(story.id), begin.header_id if begin else "")))
    if begin is not None:
        yield 1, _BODY, f"from {begin.sender or '<>'} to {', '.join(begin.to)}, {measured(begin.size)}"
    elif record is not None:
        to = ", ".join(one.address for one in record.envelope.recipients)
        yield 1, _BODY, f"from {record.envelope.sender or '<>'} to {to}, {measured(record.size)}"
        yield (
            1,
            _DIM,
            "how it came is not known: it was within the last second, or too long ago, or was not noted",
        )
    if isinstance(begin, Arrived) and (came := _came(begin.session)):
        yield 1, _BODY, came


def _came(session: Sequence[str]) -> str:
    peer, helo, protocol, tls, login = (*session, "", "", "", "", "")[:5]
    if not peer:
        return ""
    said = [f"by {protocol} from {peer}", helo and f"({helo})", tls and f"under {tls}", login and f"as {login}"]
    return " ".join(filter(None, said))


def _relatives(story: Story) -> Iterator[Line]:
    if parent := story.parent:
        yield 1, _BODY, f"it is {_CAME.get(parent.why, parent.why)}, come of {MessageId(parent.parent)}"
    for child in story.children:
        what = f"{_CAME.get(child.why, child.why)}, to {', '.join(child.to)}: {MessageId(child.id)}"
        yield 1, _BODY, f"of it came {what}"


def _entry(one: Told) -> Iterator[Line]:
    lines = list(_told(one.entry))
    if lines:
        (_, style, first), *others = lines
        yield 0, style, f"{_clock(one.entry.time)}  {first}  [{one.worker}{_revision(one.entry)}]"
        yield from others


def _clock(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(" ", "milliseconds").replace("+00:00", "Z")


def _revision(entry: Entry) -> str:
    number = getattr(entry, "revision", 0)
    return f", revision {number}" if number else ""


def _took(began: float, ended: float) -> str:
    seconds = ended - began
    if not began or seconds < 0:
        return ""
    return f", in {seconds * 1000:,.0f} ms" if seconds < 10 else f", in {spelled(seconds)}"


@singledispatch
def _told(entry: Entry) -> Iterable[Line]:
    """What an entry says: first a heading."""
    raise NotImplementedError(type(entry).__name__)


@_told.register
def _(entry: Arrived) -> Iterator[Line]:
    text = f": {entry.text}" if entry.text else ""
    took = _took(entry.began, entry.time)
    yield 0, _STYLES.get(entry.what, _HEAD), f"{entry.what} in the lane {entry.lane}{text}{took}"
    if entry.log:
        yield 1, _DIM, entry.log
    yield from _legs(entry.legs)
    for outcome in entry.refused:
        yield from _outcome(outcome)


@_told.register
def _(entry: Attempted) -> Iterator[Line]:
    counts = "" if any(outcome.what == "held" for outcome in entry.outcomes) else f" {entry.number}"
    yield 0, _HEAD, f"attempt{counts} has ended{_took(entry.began, entry.time)}"
    yield from _legs(entry.legs)
    for outcome in entry.outcomes:
        yield from _outcome(outcome)
    if entry.state:
        line = f" in the line {entry.line}" if entry.line else ""
        yield 1, _BODY, f"left in the queue, {entry.state}{line}, due {_clock(entry.due)}"


@_told.register
def _(entry: Born) -> Iterator[Line]:
    yield 0, _HEAD, f"it came of {MessageId(entry.parent)}: {_CAME.get(entry.why, entry.why)}"


@_told.register
def _(entry: Sent) -> Iterator[Line]:
    style = _LATE if entry.trouble else _GOOD if all(one[:1] == "2" for one in entry.replies) else _BAD
    server = f"{entry.host} [{entry.address}]" if entry.host != entry.address else entry.host
    yield 0, style, f"{server} for {', '.join(entry.to)}{_took(entry.began, entry.time)}"
    said = [f"site {entry.site}", entry.source and f"from {entry.source}", entry.tls]
    yield 1, _BODY, "; ".join(filter(None, said)) + (f" (wanted: {entry.policy})" if entry.policy else "")
    if entry.trouble:
        yield 1, style, entry.trouble + (f": {entry.reply}" if entry.reply else "")
    several = len(entry.replies) == len(entry.to) > 1
    for to, reply in zip(entry.to, entry.replies, strict=False):
        yield 1, style, f"{to}: {reply or 'no reply'}" if several else reply


@_told.register
def _(entry: Placed) -> Iterator[Line]:
    where = ", ".join(entry.places) or "nowhere"
    by = " (as a script says)" if entry.scripted else ""
    yield 0, _GOOD, f"{entry.to}: {entry.what}, {where}{by}; account {entry.account}"


@_told.register
def _(entry: Noted) -> Iterator[Line]:
    about = ", ".join(filter(None, (entry.text, *entry.to)))
    yield 0, _STYLES.get(entry.what, _HEAD), _NOTED.get(entry.what, entry.what) + (f": {about}" if about else "")


@_told.register
def _(entry: TurnedAway) -> Iterator[Line]:
    yield 0, _BAD, " ".join(filter(None, (entry.peer, "turned away:", entry.code, entry.text)))


def _outcome(outcome: Outcome) -> Iterator[Line]:
    style = _STYLES.get(outcome.what, _BODY)
    origin = f" (for {outcome.original})" if outcome.original and outcome.original != outcome.to else ""
    said = [outcome.code, outcome.text, outcome.remote and f"by {outcome.remote}", outcome.log]
    again = f", again in {spelled(outcome.again)}" if outcome.again else ""
    line = f", in the line {outcome.line}" if outcome.line else ""
    text = " ".join(filter(None, said))
    yield 1, style, f"{outcome.to}{origin}: {outcome.what}{f' {text}' if text else ''}{line}{again}"
    if outcome.reply:
        yield 2, style, outcome.reply


def _legs(legs: Iterable[Leg]) -> Iterator[Line]:
    for leg in legs:
        if leg.to:
            yield 1, _DIM, f"for {', '.join(leg.to)}"
        for step in steps(leg):
            worker = f"  [{step['worker']}]" if "worker" in step else ""
            yield 1, _BODY, f"{step['stage']}: {step['verdict']}, {step['ms']:g} ms{worker}"
            yield from _facts(step.get("facts") or {})
            for part in step.get("each", ()):
                yield 2, _BODY, f"{', '.join(part['to'])}: {part['verdict']}" if part["to"] else part["verdict"]
                yield from _facts(part["facts"], 3)


def _facts(facts: dict[str, Any], depth: int = 2) -> Iterator[Line]:
    for name, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield depth, _DIM, f"{name} = {text[:FACT]}{'…' if len(text) > FACT else ''}"
