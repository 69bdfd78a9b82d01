"""Journeys: how a message moves from leg to leg, splits where recipients part, and ends.

There is no task for a message. A leg's verdict comes back in a callback, which sends the message down the next link.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

import trio
from msgspec.structs import replace

from engine.history import history
from engine.history.entries import Arrived, born, header_id, outcome_of, session_of
from engine.history.entries import Leg as LegNoted
from engine.lanes import Course, Leg
from engine.links.link import Done, Way
from engine.message import JOURNAL, PARK, PARKED_BY, SITE, UNSTORED, Fact, Message, MessageId, Octets, Recipient
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.oversight.journaling import reports
from engine.queue.bounce import Failure, Letters, back, bounce, expanded, wants_report
from engine.queue.content import Aside, FileContent, LooseContent, link, put_in_place, remove, set_aside
from engine.queue.delivery import Delivery
from engine.queue.lines import domain_of
from engine.runtime.contents import Said, aside, new_contents
from engine.verdict import (
    NOT_DELIVERED,
    STORE_FIRST,
    Changed,
    Defer,
    Delivered,
    Discard,
    Each,
    Quarantine,
    Reject,
    Route,
    Verdict,
)

_ARRIVALS = Counter(
    "postroad_arrivals_total", "Messages whose content has come, by what their client heard.", ("lane", "answer")
)

LANES = 20
"""Lanes that one message may go through at one attempt: more is a circle."""

_CAME_TO = {Delivered: "accepted", Reject: "refused", Discard: "discarded"}

Final: TypeAlias = "Reject | Defer | Discard | Quarantine | Delivered"


_ANSWERS: dict[type[Verdict], str] = {Delivered: "accepted", Reject: "refused", Discard: "discarded"}
"""How what a client hears of its message is counted."""

_ENDS: dict[type[Verdict], str] = {
    Delivered: "delivered", Reject: "failed", Defer: "deferred", Quarantine: "parked", Discard: "dropped",
}  # fmt: skip
"""How what becomes of a recipient behind `queue` is counted."""

_ROUTES = (Route, tuple)
_lane = attrgetter("lane")


class Road(Protocol):
    """What leads to a leg: a link."""

    def submit(self, message: Message, done: Done, *, start: int = 0, key: str = "") -> None: ...


class Roads(Protocol):
    """What a journey needs of the revision of the configuration that it travels under."""

    @property
    def courses(self) -> Mapping[str, Course]: ...

    @property
    def links(self) -> Mapping[str, Road]: ...

    @property
    def aside(self) -> Aside: ...

    @property
    def number(self) -> int: ...

    @property
    def letters(self) -> Letters: ...

    def count(self, what: str, how_many: int = 1) -> None: ...

    def entered(self) -> None: ...

    def left(self) -> None: ...


class Desk(Protocol):
    """Where it is settled what becomes of a message that was given out: with the queue's owner."""

    def progress(self, delivery: Delivery) -> None: ...

    def keep(self, delivery: Delivery, then: Callable[[], None], *, others: bool = False) -> None: ...

    def settle(self, delivery: Delivery) -> None: ...


class _Part:
    """Recipients of a message that go on together."""

    __slots__ = ("index", "lane", "lanes", "legs", "message", "start")

    def __init__(
        self, message: Message, legs: Sequence[Leg], index: int = 0, start: int = 0, *, lane: str = "", lanes: int = 0
    ) -> None:
        self.message = message
        self.legs = legs
        self.index = index
        self.start = start  # stage within the leg
        self.lane = lane  # picked for all of the part's recipients
        self.lanes = lanes  # that it has been through


class Journey:
    """What journeys before and behind `queue` have in common."""

    __slots__ = ("_for", "_roads", "began", "legs", "way")

    def __init__(self, roads: Roads, message: Message) -> None:
        self._roads = roads
        self.way: Way = []
        self.began = time.time()
        self.legs: list[LegNoted] = []  # for the history
        self._for = message.recipients if history.on else ()  # the recipients of the last of them
        roads.entered()

    def _go(self, part: _Part) -> None:
        if part.index == len(part.legs):
            self._end_of_legs(part)
            return
        leg = part.legs[part.index]
        key = str(part.message.fact(leg.partition, "")) if leg.partition else ""
        self._roads.links[leg.name].submit(
            part.message,
            partial(self._came, part),
            start=part.start,
            key=key,
        )

    def _came(self, part: _Part, verdict: Said, stopped: int, way: Way) -> None:
        for step in way:
            self.way.append(step[:3])
        if history.on:
            to = part.message.recipients
            whom, self._for = () if to == self._for else to, to
            self.legs.append(LegNoted(time.time(), part.legs[part.index].name, whom, way))
        if stopped < len(part.legs[part.index].stages):
            part.start = stopped
        else:
            part.index += 1
            part.start = 0
        made = new_contents(part.message, verdict)
        if made and (large := self._roads.aside.of(made)):
            aside(verdict, large, self._roads.aside.folder, partial(self._followed, part))
        else:
            self._followed(part, verdict)

    def _followed(self, part: _Part, verdict: Said) -> None:
        try:
            self._follow(part, verdict)
        except Exception as error:  # one message's trouble must not stop the link that all others use
            event.bug("journey", error, id=part.message.id)
            self._broke(part, Defer("Local trouble, please try again later", log=repr(error)))

    def _broke(self, part: _Part, verdict: Defer) -> None:
        """An error of ours has stopped a part."""
        self._settled(part.message.envelope.recipients, verdict, part.message)

    def _follow(self, part: _Part, verdict: Said) -> None:
        if isinstance(verdict, Changed):
            part.message = verdict.message
            verdict = verdict.verdict
        if isinstance(verdict, Message):
            part.message = verdict
            self._go(part)
        elif isinstance(verdict, Delivered):
            self._settled(part.message.envelope.recipients, verdict, part.message)
        elif isinstance(verdict, Route) and not any(map(_lane, part.message.envelope.recipients)):
            if verdict.to or verdict.notify:
                self._put_in_place(part, verdict)
            part.lane = verdict.lane or part.lane
            self._go(part)
        elif isinstance(verdict, Each):
            self._split(part, verdict.verdicts)
        elif isinstance(verdict, _ROUTES):
            self._split(part, dict.fromkeys(part.message.recipients, verdict))
        else:
            self._ended(part, verdict)

    def _ended(self, part: _Part, verdict: Final) -> None:
        """That is what becomes of all of the part's recipients."""
        self._settled(part.message.envelope.recipients, verdict, part.message)

    def _put_in_place(self, part: _Part, route: Route) -> None:
        """Let others stand for the recipients. The lane is that of the part, for all of them."""
        laneless = (Route("", route.to, route.notify),)
        others = [one for recipient in part.message.envelope.recipients for one in self._routed(recipient, laneless)]
        part.message = restricted(part.message, others)

    def _split(self, part: _Part, verdicts: Mapping[str, Verdict | tuple[Route, ...]]) -> None:
        going: dict[int, tuple[Message, list[Recipient]]] = {}
        ended: list[tuple[Recipient, Final]] = []
        for recipient in part.message.envelope.recipients:
            verdict = verdicts.get(recipient.address, part.message)
            if isinstance(verdict, Message):
                going.setdefault(id(verdict), (verdict, []))[1].append(recipient)
            elif isinstance(verdict, _ROUTES):
                routed = self._routed(recipient, verdict if isinstance(verdict, tuple) else (verdict,))
                going.setdefault(id(part.message), (part.message, []))[1].extend(routed)
            elif isinstance(verdict, Each):
                ended.append((recipient, Defer("Local trouble", log="a verdict for each within a verdict for each")))
            else:
                ended.append((recipient, verdict))
        for recipient, final in ended:
            self._settled((recipient,), final, part.message)
        for message, recipients in going.values():
            self._go(
                _Part(
                    restricted(message, recipients),
                    part.legs,
                    part.index,
                    part.start,
                    lane=part.lane,
                    lanes=part.lanes,
                )
            )

    def _routed(self, recipient: Recipient, routes: Sequence[Route]) -> list[Recipient]:
        """Those who stand for it from now on, each with its lane."""
        is_list = _is_list(recipient, routes)
        routed = [one for route in routes for one in _in_place_of(recipient, route, is_list=is_list)]
        self._became(recipient, routed)
        if is_list and (told := expanded(recipient)):
            self._tell(told)
        return routed

    def _became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:
        """An alias has turned one recipient into others, or it goes down several lanes."""

    def _tell(self, expansion: Failure) -> None:
        """The sender is to be told of a list."""
        raise NotImplementedError

    def _end_of_legs(self, part: _Part) -> None:
        raise NotImplementedError

    def _settled(self, recipients: Sequence[Recipient], verdict: Final, message: Message) -> None:
        raise NotImplementedError


class Arrival(Journey):
    """Before `queue`: the client waits. ``answer`` gets the one verdict that becomes its reply.

    Nothing is stored before every recipient has come to `queue` or been refused, so that a deferral of any is a
    deferral of all: the client sends the message again and nobody gets it twice.
    """

    __slots__ = (
        "_answer", "_answered", "_course", "_expanded", "_header_id", "_hostname", "_message", "_named", "_open",
        "_ready", "_refused", "_trouble",
    )  # fmt: skip

    def __init__(
        self, roads: Roads, course: Course, message: Message, hostname: str, answer: Callable[[Verdict], None]
    ) -> None:
        super().__init__(roads, message)
        self._course = course
        self._message = message
        self._header_id = header_id(message) if history.on else ""  # now: its content may be gone at the end
        self._hostname = hostname
        self._answer = answer
        self._open = len(message.recipients)
        self._ready: list[Message] = []
        self._refused: list[tuple[Recipient, Final]] = []
        self._expanded: list[Failure] = []
        self._trouble: Defer | None = None
        self._answered = False
        self._go(_Part(message, course.before))

    def _became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:  # noqa: ARG002
        self._open += len(others) - 1

    def _tell(self, expansion: Failure) -> None:
        self._expanded.append(expansion)

    def _end_of_legs(self, part: _Part) -> None:
        message = part.message
        if part.lane:
            recipients = [r if r.lane else replace(r, lane=part.lane) for r in message.envelope.recipients]
            message = restricted(message, recipients)
        self._ready.append(message)
        self._close(len(message.recipients))

    def _settled(self, recipients: Sequence[Recipient], verdict: Final, message: Message) -> None:
        if isinstance(verdict, Quarantine):
            message = restricted(message, recipients)
            facts = {PARK: verdict.reason or "no reason given", PARKED_BY: verdict.stage}
            self._ready.append(message.with_facts(facts))
        elif not isinstance(verdict, Discard):
            refusal = _not_stored(verdict) if isinstance(verdict, Delivered) else verdict
            self._refused += [(recipient, refusal) for recipient in recipients]
        self._close(len(recipients))

    def _broke(self, part: _Part, verdict: Defer) -> None:  # noqa: ARG002
        # The error may have come after recipients were counted: the whole is put off, and what still comes is ignored.
        if not self._answered:
            self._finish(verdict)

    def _close(self, count: int) -> None:
        self._open -= count
        if self._open == 0 and not self._answered:
            self._decide()

    def _decide(self) -> None:
        deferred = [verdict for _, verdict in self._refused if not isinstance(verdict, Reject)]
        if deferred or (self._refused and not self._ready):
            self._finish(deferred[0] if deferred else self._refused[0][1])
        elif not self._ready:
            self._finish(Discard())
        else:
            self._store()

    def _store(self) -> None:
        if any(message.fact(JOURNAL) is not None for message in self._ready):
            trio.lowlevel.spawn_system_task(self._store_journal)
        else:
            self._store_ready()

    async def _store_journal(self) -> None:
        """Copies for journals are on disk before the mail is, so that none goes on without. Else the client hears that
        it is put off, and sends it again.
        """
        try:
            copies = await trio.to_thread.run_sync(self._copies)
        except Exception as error:
            event("journal-failed", id=self._message.id, error=str(error))
            self._finish(_not_journaled(repr(error)))
            return
        self._open = len(copies)
        link = self._roads.links[f"{self._course.lane}/queue"]
        for copy in copies:
            event("journaled", id=self._message.id, report=copy.id, to=copy.recipients)
            if history.on:
                history(born(copy, self._message.id, "journal"))
            link.submit(copy, partial(self._copied, copy))

    def _copies(self) -> list[Message]:
        """The reports, as they are stored. They read the content, and large ones are written into files: it blocks."""
        now = time.time()
        made = (copy for message in self._ready for copy in reports(message, self._hostname, now))
        return [_filed(copy, self._roads.aside) for copy in made]

    def _copied(self, copy: Message, verdict: Verdict | Changed, _stopped: int, _way: Way) -> None:
        self._open -= 1
        if not isinstance(verdict, Delivered):
            event("journal-failed", id=self._message.id, error=repr(verdict))
            self._trouble = _not_journaled(repr(verdict))
            if isinstance(verdict, Defer) and isinstance(copy.content, FileContent):
                remove(copy.content.path)
        if self._open:
            return
        if self._trouble is not None:
            self._finish(self._trouble)
        else:
            self._store_ready()

    def _store_ready(self) -> None:
        for message in self._ready:
            if isinstance(message.content, LooseContent):
                trio.lowlevel.spawn_system_task(self._store_from_thread)
                return
        self._submit(_named(self._ready, self._roads.aside.folder))

    async def _store_from_thread(self) -> None:
        """To put a file in its place waits for the disk."""
        try:
            self._submit(await trio.to_thread.run_sync(_named, self._ready, self._roads.aside.folder))
        except Exception as error:
            event.bug("journey", error, id=self._message.id)
            if not self._answered:
                self._finish(Defer("Local trouble, please try again later", log=repr(error)))

    def _submit(self, messages: Sequence[Message]) -> None:
        for one in messages:
            if one.fact(PARK) is not None:
                self._roads.count("parked", len(one.recipients))
        self._named = {one.content.path for one in messages if isinstance(one.content, FileContent)}
        if self._refused or self._expanded:
            messages = [*messages, *self._report()]
        self._open = len(messages)
        link = self._roads.links[f"{self._course.lane}/queue"]
        for message in messages:
            if history.on and message.id != self._message.id:
                why = "report" if self._message.sender and not message.sender else "split"
                history(born(message, self._message.id, why))
            link.submit(message, partial(self._stored, message))

    def _report(self) -> list[Message]:
        """Some recipients are refused for good while others get the message: the sender is told by a bounce.

        And of lists that the message goes to, if it has asked.
        """
        failures = [Failure(r, v) for r, v in self._refused if isinstance(v, Reject) and wants_report(r, v)]
        failures += self._expanded
        if not failures or not self._message.sender:
            return []
        envelope = self._message.envelope
        identity = MessageId.new()
        letters = self._roads.letters
        octets = bounce(identity, self._hostname, self._message, failures, envelope.arrived, letters=letters)
        return [Message(identity, back(envelope, octets, envelope.arrived), Octets(octets))]

    def _stored(self, message: Message, verdict: Verdict | Changed, _stopped: int, _way: Way) -> None:
        self._open -= 1
        if not isinstance(verdict, Delivered):  # whatever else it is: what is not stored must not get 250
            self._not_taken(message, verdict if isinstance(verdict, Defer) else _not_stored(verdict))
        received, content = getattr(self._message.content, "path", None), message.content
        if isinstance(verdict, Defer) and isinstance(content, FileContent) and content.path != received:
            remove(content.path)  # we have named it; what was received is dropped by who has written it
        if self._open == 0:
            if received is not None and received not in self._named:
                remove(received)  # it was changed, or its parts have names of their own for it
            self._finish(self._trouble or Delivered(f"queued as {self._message.id}"))

    def _not_taken(self, message: Message, trouble: Defer) -> None:  # noqa: ARG002
        self._trouble = trouble

    def _told(self, verdict: Verdict) -> Verdict:
        """What the client hears when the whole ended like this."""
        return verdict

    def _finish(self, verdict: Verdict) -> None:
        self._answered = True
        self._roads.left()
        envelope = self._message.envelope
        answer = _ANSWERS.get(type(verdict), "put-off")
        self._roads.count(answer)
        _ARRIVALS.of(self._course.lane, answer).value += 1
        event(
            "accepted" if isinstance(verdict, Delivered) else "refused" if isinstance(verdict, Reject) else
            "discarded" if isinstance(verdict, Discard) else "put-off",
            id=self._message.id,
            peer=envelope.session.peer,
            **{"from": envelope.sender},
            to=self._message.recipients,
            size=self._message.size,
            text=getattr(verdict, "text", None),
            log=getattr(verdict, "log", None) or None,
            way=self.way,
            revision=self._roads.number,
        )  # fmt: skip
        self._answer(self._told(verdict))
        if history.on if isinstance(verdict, Delivered | Discard) else history.refusals:
            self._note_arrival(verdict)

    def _note_arrival(self, verdict: Verdict) -> None:
        message, envelope = self._message, self._message.envelope
        history(
            Arrived(
                message.id,
                time.time(),
                self.began,
                _CAME_TO.get(type(verdict), "put-off"),
                self._course.lane,
                self._roads.number,
                envelope.sender,
                message.recipients,
                message.size,
                self._header_id,
                session_of(envelope.session),
                getattr(verdict, "text", ""),
                getattr(verdict, "log", ""),
                tuple(self.legs),
                tuple([outcome_of(recipient, refusal) for recipient, refusal in self._refused]),
            )
        )


class Onward(Journey):
    """Behind `queue`: from lane to lane, to wherever each recipient's mail goes."""

    __slots__ = ()

    def _set_out(self, message: Message, lane: str) -> None:
        """Begin behind the `queue` of that lane."""
        course = self._roads.courses[lane]
        self._enter_course(course, _Part(message, course.after))

    def _enter_course(self, course: Course, part: _Part) -> None:  # noqa: ARG002
        self._go(part)

    def _go(self, part: _Part) -> None:
        reason = part.message.envelope.facts.get(PARK)
        if reason is None:
            super()._go(part)
        else:
            stage = str(part.message.fact(PARKED_BY, ""))
            self._settled(part.message.envelope.recipients, Quarantine(str(reason), stage), part.message)

    def _end_of_legs(self, part: _Part) -> None:
        by_lane: dict[str, list[Recipient]] = {}
        for recipient in part.message.envelope.recipients:
            by_lane.setdefault(recipient.lane or part.lane, []).append(recipient)
        for lane, recipients in by_lane.items():
            self._enter(
                lane, part.message if len(by_lane) == 1 else restricted(part.message, recipients), part.lanes + 1
            )

    def _enter(self, lane: str, message: Message, lanes: int) -> None:
        course = self._roads.courses.get(lane)
        if not lane or course is None or lanes > LANES:
            what = f"lane {lane} does not exist" if lane else "the lane ended and no stage said where the mail goes"
            log = "lanes lead in a circle" if lanes > LANES else what
            self._settled(message.envelope.recipients, Defer("Local trouble", "4.3.5", log=log), message)
            return
        if any(map(_lane, message.envelope.recipients)):
            message = restricted(message, [replace(r, lane="") for r in message.envelope.recipients])
        self._enter_course(course, _Part(message, course.after, lanes=lanes))


class Departure(Onward):
    """From the queue's owner to where each recipient's mail goes, then settled with the owner."""

    __slots__ = ("_delivery", "_desk")

    def __init__(self, roads: Roads, desk: Desk, delivery: Delivery, lane: str) -> None:
        super().__init__(roads, delivery.message)
        self._desk = desk
        self._delivery = delivery
        self._set_out(delivery.message, lane)

    def _enter_course(self, course: Course, part: _Part) -> None:
        delivery = self._delivery
        if delivery.unstored is None or course.straight:
            self._go(part)
        else:  # an alias that leads elsewhere says nothing of others
            others = domain_of(part.message.envelope.recipients) == delivery.domain
            self._desk.keep(delivery, partial(self._go_stored, part), others=others)

    def _ended(self, part: _Part, verdict: Final) -> None:
        if type(verdict) is Defer and verdict == STORE_FIRST:
            part.index -= 1  # to the same leg again
            self._desk.keep(self._delivery, partial(self._go_stored, part))
        else:
            super()._ended(part, verdict)

    def _go_stored(self, part: _Part) -> None:
        """Go on with what is in the queue now, or could not be put there."""
        unstored = self._delivery.unstored
        if unstored is not None and unstored.trouble is not None:
            self._settled(part.message.envelope.recipients, unstored.trouble, part.message)
            return
        facts = MappingProxyType(_facts_of_stored(part.message))
        part.message = replace(part.message, envelope=replace(part.message.envelope, facts=facts))
        self._go(part)

    def _became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:
        self._delivery.became(recipient, others)

    def _tell(self, expansion: Failure) -> None:
        self._delivery.outcomes.append((expansion.recipient, expansion.verdict))

    def _settled(self, recipients: Sequence[Recipient], verdict: Final, message: Message) -> None:
        delivery = self._delivery
        self._roads.count(_ENDS[type(verdict)], len(recipients))
        if isinstance(verdict, Quarantine):
            delivery.facts |= {**_facts_of_stored(message), PARKED_BY: verdict.stage}
        if isinstance(verdict, NOT_DELIVERED) and isinstance(site := message.fact(SITE), str):
            delivery.sites.update((recipient.address, site) for recipient in recipients)
        delivery.told(recipients, verdict)
        if not delivery.waiting:
            delivery.way, delivery.legs, delivery.revision = self.way, self.legs, self._roads.number
            self._roads.left()
            self._desk.settle(delivery)
        elif isinstance(verdict, Delivered):
            self._desk.progress(delivery)


def _facts_of_stored(message: Message) -> dict[str, Fact]:
    """What is known of it but that it was not stored."""
    return {name: fact for name, fact in message.envelope.facts.items() if name != UNSTORED}


def restricted(message: Message, recipients: Sequence[Recipient]) -> Message:
    """The same message for these recipients alone."""
    return replace(message, envelope=replace(message.envelope, recipients=tuple(recipients)))


def _in_place_of(recipient: Recipient, route: Route, *, is_list: bool) -> Iterator[Recipient]:
    """Those who stand for it where it is routed so."""
    notify = route.notify or (_without_success(recipient.notify) if is_list else recipient.notify)
    for address in route.to or (recipient.address,):
        original = recipient.original if address == recipient.address else recipient.orcpt
        yield Recipient(address, notify, original, route.lane)


def _is_list(recipient: Recipient, routes: Sequence[Route]) -> bool:
    """Whether it stands for several others; copies of which the sender must not hear make no list."""
    if len(routes) == 1 and len(routes[0].to) < 2:
        return False
    return len({address for route in routes if not route.notify for address in route.to} - {recipient.address}) > 1


def _without_success(notify: str) -> str:
    """What is still to be told of the members of a list, when the sender has heard that it is one (see `expanded`)."""
    asked = notify.split(",") if notify else []
    return ",".join(word for word in asked if word != "SUCCESS") or ("NEVER" if asked else "")


def _not_stored(verdict: Verdict | Changed) -> Defer:
    return Defer("The message cannot be queued now, please try again later", log=f"not stored: {verdict!r}")


def _filed(message: Message, aside: Aside) -> Message:
    """With a file of its own in place of content that is large. Blocks. OSError."""
    for octets in aside.of([message.content]):
        content = set_aside(octets, aside.folder)
        return replace(message, content=put_in_place(content, aside.folder / str(message.id)))
    return message


def _not_journaled(log: str) -> Defer:
    return Defer("The message cannot be queued now, please try again later", "4.3.1", log=f"not journaled: {log}")


def _named(messages: Sequence[Message], folder: Path) -> list[Message]:
    """The messages as they are stored, each file with the name of its message. Blocks on the disk. OSError."""
    if len(messages) > 1:
        return [_own(message, index) for index, message in enumerate(messages)]
    (message,) = messages
    if not isinstance(message.content, LooseContent):
        return [message]
    return [replace(message, content=put_in_place(message.content, folder / str(message.id)))]


def _own(message: Message, index: int) -> Message:
    """A part of a split message, to be stored as a message of its own: with an id, and a name for its file.

    The first part keeps the id, but not a file: whoever wrote that takes it back if another part cannot be stored.
    """
    content = message.content
    if index == 0 and not isinstance(content, FileContent):
        return message
    identity = MessageId.new()
    if isinstance(content, FileContent):
        path = content.path.with_name(str(identity))
        link(content.path, path)
        content = FileContent(path, content.size)
    return replace(message, id=identity, content=content)
