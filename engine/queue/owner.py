"""The owner of a shard: takes messages in, gives them out when they are due, and settles what came of it."""

import os
import time
from collections.abc import Callable, Container, Sequence

import outcome
import trio
from msgspec.structs import replace

from engine.config import Queue
from engine.history import history
from engine.history.entries import Attempted, Noted, outcome_of
from engine.message import PARK, UNSTORED, Content, Envelope, Message, MessageId, Recipient
from engine.observe.events import event
from engine.queue.away import Away
from engine.queue.bounce import ORDINARY
from engine.queue.content import FileContent, remove
from engine.queue.delivery import Delivery, Unstored
from engine.queue.descendants import parked_apart, report, sent, warning
from engine.queue.late import Late
from engine.queue.line import Line
from engine.queue.lines import Lines, domain_of
from engine.queue.outcomes import (
    LATE,
    TOO_LATE,
    Outcomes,
    final,
    is_over,
    is_too_late,
    not_taken,
    parked,
    spoken_to,
    tell,
    with_lanes,
)
from engine.queue.parked import Parked
from engine.queue.shares import Shares, flow_of, tenant_line
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard, position_before, time_key, with_recipients
from engine.queue.straight import REST, Straight
from engine.queue.waits import ALONE, Wait, Waits
from engine.storage.batch import Batch, committed
from engine.storage.environment import StorageError, reason
from engine.storage.files import sync
from engine.storage.room import Room
from engine.storage.writer import Writer
from engine.verdict import NOT_DELIVERED, Defer, Delivered, Reject, Verdict, is_held
from engine.wakeup import Wakeup

_TROUBLE = 5.0
"""Seconds until a change is tried again that the store could not take."""

_REFILL = 64
"""Free places that make a look into the due index worth while."""

_PAGE = 256
"""Entries of the due index that are looked at together where there are tenants."""

SUSPECT, DEATHS = 2, 3
"""Owners that died while a message was away, after which it goes alone, and after which it is parked."""

_LOOK = 10.0
"""Seconds between two looks at the clock at most: it may have been set."""

PAGE = 1000
"""Entries of the due index that are looked at together after the clock was set back."""


class Owner:
    """Owns one shard. ``give_out`` starts a message on its way; it must end in ``settle``.

    Memory is bounded: at most ``settings.in_flight`` messages are away at once, shared out by ``shares``. All others
    wait on disk: in the due index, or in a line.
    """

    def __init__(
        self,
        shard: Shard,
        settings: Queue,
        hostname: str,
        give_out: Callable[[Delivery], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.shard = shard
        self._clock = clock
        self.writer = Writer(shard.environment, name=f"queue/{shard.number}")
        self.away: dict[MessageId, Delivery] = {}
        self.settings = settings
        self._hostname = hostname
        self._give_out = give_out
        self.came_back: Callable[[Envelope, int], None] | None = None  # hears of what, and for how many recipients
        self.letters = ORDINARY  # how senders are written to
        self.not_delivered: Callable[[Delivery, Recipient, Reject | Defer], None] | None = None  # hears of each attempt
        self._position = b""
        self._backlog = True
        self._next: float | None = None
        self._wakeup = Wakeup()
        self._failed: list[tuple[float, Callable[[], None]]] = []
        self._silent_until = 0.0
        self._unsaid = 0  # changes that failed since it was said
        self._room = Room()
        self._draining = False
        self._latest = 0.0  # that the clock has shown
        self._hastened: bytes | None = None  # up to where what a clock decided that was ahead has been looked for
        self.shares = Shares(lambda: self.settings.in_flight - len(self.away))
        self.lines = Lines(shard, self.writer, self, self.shares)
        self._late = Late(lambda: self.settings, self.lines)
        self._waits = Waits(self.lines, self._late, lambda: self.settings.expire)
        self.parked = Parked(shard, self.writer, self.time, self._stored)
        self._moving: set[MessageId] = set()
        self._notes = Away(shard.path / "away")
        self._suspects: dict[MessageId, Record] = {}  # that wait for the one before them
        self._suspect_away = False
        caution = bool(self._notes.left_behind)
        self.straight = Straight(shard, self.writer, self._say_failed, caution=caution)
        self._suspect_those_left_behind()

    def _suspect_those_left_behind(self) -> None:
        """The owner before us died. Perhaps one of the messages that it had given out was the reason."""
        left = [record for record in self.shard.records(self._notes.left_behind) if record.state == WAITING]
        if not left:
            return
        try:
            with committed(self.shard.environment) as batch:
                for record in left:
                    self.shard.replace(batch, record, _suspected(record, self._clock()))
        except Exception as error:  # no room, perhaps: then they are given out as if nothing had been
            event("queue-failed", shard=self.shard.number, error=str(error))

    @property
    def unwritten(self) -> int:
        """Changes that the store could not take, and that are tried again."""
        return len(self._failed)

    def close(self) -> None:
        """The end is orderly. What is still away is no suspect."""
        self.writer.close()
        self._notes.close()

    # -- taking in

    def has_room(self) -> bool:
        """Whether the disk has more than the reserve left."""
        return self._room.above(self.settings.reserve, self.shard.path)

    def admit(self, message: Message, lane: str, done: Callable[[Verdict], None], *, straight: bool = False) -> None:
        """Store the message; ``done`` hears Delivered once it is committed and synced, Defer when it could not be.

        ``straight``: give it out first. It is stored if it does not soon come where it is kept.
        """
        if not self.has_room():
            done(Defer("Not enough disk space, try again later", "4.3.1", log="free space is below [queue] reserve"))
            return
        record, content = self._new_record(message, lane)
        if straight and self._goes_straight(record):
            self._send_straight(record, message, done)
            return

        def change(batch: Batch) -> None:
            self.shard.put_new(batch, record, content)
            if record.line:
                self.shard.ensure_turn(batch, record.line, record.decided, record.decided)

        def written(result: "outcome.Outcome[None]") -> None:
            if isinstance(result, outcome.Error):
                self._say_failed(result.error)
                done(not_taken(result.error))
                return
            try:
                done(Delivered(f"queued as {record.id}"))
            finally:
                self._stored(record)

        self.writer.submit(change, written)

    def _goes_straight(self, record: Record) -> bool:
        """Whether it may be given out before it is stored. Whatever waits goes first."""
        return (
            len(self.away) < self.settings.in_flight
            and record.state == WAITING
            and not record.line
            and not self._draining
            and record.due <= record.decided  # it is not held until later
            and self.straight.is_open(domain_of(record.envelope.recipients))
            and self._may_start(record)
        )

    def _send_straight(self, record: Record, message: Message, done: Callable[[Verdict], None]) -> None:
        delivery = self._taken(record, message.with_facts({UNSTORED: True}))
        self.straight.begin(delivery, Unstored(done, message.content, trio.current_time()))
        self._give(delivery)

    def _new_record(self, message: Message, lane: str) -> tuple[Record, Content]:
        content = message.content
        facts = message.envelope.facts
        reason = str(facts[PARK]) if PARK in facts else ""
        domain = domain_of(message.envelope.recipients)
        now = self.time()
        arrived = min(message.envelope.arrived, now)  # the clock may have been set back since
        release = message.envelope.timing.release
        is_held = bool(reason) or release > now
        line = "" if is_held else self.lines.line_for(domain, flow_of(message.envelope), now)
        due = now if reason else release if is_held else arrived
        if line:
            due = self._late.look(message.envelope, self._late.expires(message.envelope, domain), warned=False)
        return Record(
            id=message.id,
            envelope=message.envelope,
            lane=lane,
            size=content.size,
            in_file=isinstance(content, FileContent),
            state=QUARANTINED if reason else WAITING,
            due=due,
            reason=reason,
            line=line,
            decided=now if is_held else arrived,
        ), content

    def _stored(self, record: Record) -> None:
        """A waiting record was committed: start it, or remember where it lies in the index."""
        if record.state != WAITING or self.is_away(record.id):  # the index may have shown it before we heard
            return
        if record.line:
            self.lines.stored(record)
            return
        is_due = record.due <= self.time()
        if is_due and not self._draining and len(self.away) < self.settings.in_flight and self._may_start(record):
            self.start(record)
            return
        before = position_before(record)
        self._position = min(self._position, before)
        if is_due:
            self._backlog = True
            self._wakeup.wake()
        elif self._next is None or record.due < self._next:
            self._wakeup.wake()

    def _may_start(self, record: Record) -> bool:
        """Whether a message may be given out at once, past those that wait in the index."""
        flow = flow_of(record.envelope)
        if record.envelope.timing.priority > 0:
            return True
        if self.shares.has_its_own(flow):
            return False
        return not self._backlog or ((self.shares.several or bool(flow)) and self.shares.is_small(flow))

    def _fillable(self) -> int:
        """How much of what is due can be looked at. Where there are tenants, who has its share goes into its line."""
        room = self.settings.in_flight - len(self.away)
        if self.shares.several:
            return min(room, 1) * _PAGE
        return min(room, self.shares.of_flow(""))

    # -- giving out

    async def run(self) -> None:
        """Give out what is due, until cancelled."""
        self._hasten_all()  # the owner before us may have seen another clock
        while True:
            self._look_at_the_clock()
            self._fill()
            with trio.move_on_after(self._pause()):
                await self._wakeup.wait()
            now = trio.current_time()
            for again in [again for when, again in self._failed if when <= now]:
                again()
            self._failed = [(when, again) for when, again in self._failed if when > now]

    def drain(self) -> None:
        """Give out nothing more."""
        self._draining = True
        self.straight.keep_all()

    def _look_again(self, when: float) -> None:
        """Something falls due at that Unix time."""
        if self._next is None or when < self._next:
            self._next = when
            self._wakeup.wake()

    def _pause(self) -> float:
        pause = _LOOK if self._hastened is None else 0.0
        if self._next is not None:
            pause = min(pause, max(self._next - self.time(), 0.0))
        if self._failed:
            pause = min(pause, max(self._failed[0][0] - trio.current_time(), 0.0))
        return pause

    def _look_at_the_clock(self) -> None:
        """What was put off by a clock that was ahead must not wait until the clock shows that time again."""
        now = self._clock()
        if now < self._latest - LATE:
            event("clock-set-back", shard=self.shard.number, seconds=round(self._latest - now))
            self._latest = now
            self._hasten_all()
        self._latest = max(self._latest, now)
        if self._hastened is not None:
            ids, self._hastened = self.shard.decided_after(now + LATE, self._hastened, PAGE)
            for record in self.shard.records([i for i in ids if not self.is_away(i)]):
                if not record.line:
                    self._hasten(record, now)

    def time(self) -> float:
        """Unix time, by which something is decided that a later look at the clock may find to be ahead."""
        now = self._clock()
        self._latest = max(self._latest, now)
        return now

    def _hasten_all(self) -> None:
        """Lines at once; messages from when all is on disk that was decided before."""
        now = self.time()

        def begin() -> None:
            self.lines.hastened()
            self._hastened = time_key(now)
            self._wakeup.wake()

        self._change(lambda batch: self.shard.hasten_turns(batch, now, now + LATE), begin)

    def _hasten(self, record: Record, now: float) -> None:
        """It is due now, and came in now if it came in later."""
        arrived = min(record.envelope.arrived, now)
        due = max(now, record.envelope.timing.release)
        new = replace(record, envelope=replace(record.envelope, arrived=arrived), due=due, decided=now)
        self._moving.add(record.id)

        def hastened() -> None:
            self._moving.discard(record.id)
            self._stored(new)

        self._change(lambda batch: self.shard.replace(batch, record, new), hastened)

    def _fill(self) -> None:
        self._next = None
        if self._draining:
            return
        room = self._fillable()
        if room <= 0:
            self._backlog = True  # what falls due meanwhile is looked for when there is room
            return
        now = self.time()
        identities, self._position = self.shard.due_from(self._position, room, now)
        self._backlog = len(identities) == room
        for record in self.shard.records([i for i in identities if not self.is_away(i)]):
            self._fall_due(record, now)
        turn = self.lines.take_turns(now)
        due = None if self._backlog else self.shard.next_due(self._position)
        self._next = min((when for when in (turn, due) if when is not None), default=None)

    def _fall_due(self, record: Record, now: float) -> None:
        """Give it out, or have it join the others that wait."""
        now = max(now, record.due)  # which is kept in whole milliseconds: it may be due within this one
        if record.line:
            expires = self._late.expires(record.envelope, record.line)
            if now < expires and not record.warned and self._late.warns(record.envelope) <= now:
                self._warn(record, expires, now)
            else:
                self.start(record)
            return
        domain = domain_of(record.envelope.recipients)
        flow = flow_of(record.envelope)
        line = self.lines.line_for(domain, flow, now)
        if not line and not self.places():
            line = tenant_line(flow)
        if line:
            self.move(record, line)
        else:
            self.start(record)

    def move(self, record: Record, line: str) -> None:
        """What is due joins others that wait."""
        now = self.time()
        domain = domain_of(record.envelope.recipients)
        due = self._late.look(record.envelope, self._late.expires(record.envelope, domain), warned=record.warned)
        new = replace(record, line=line, due=due, decided=now)
        self._moving.add(record.id)
        if history.on:
            history(Noted(record.id, now, "in line", line))

        def change(batch: Batch) -> None:
            self.shard.replace(batch, record, new)
            self.shard.ensure_turn(batch, line, min(record.due, now), now)

        def joined(result: "outcome.Outcome[None]") -> None:
            self._moving.discard(record.id)
            if isinstance(result, outcome.Error):
                self._heard(result)
                self._position = min(self._position, position_before(record))
            else:
                self._stored(new)
            if self._backlog and not self._moving:
                self._wakeup.wake()

        self.writer.submit(change, joined)

    def _warn(self, record: Record, expires: float, now: float) -> None:
        """Tell the sender of what stands in line that it is late."""
        trouble = Defer(record.reason or "It waits for its turn", "4.4.7", expires=expires)
        waiting = [(recipient, trouble) for recipient in record.envelope.recipients]
        if self._late.is_to_be_told(record, now):
            born = self._warning(record, self.shard.message(record), waiting, now)
            due = self._late.look(record.envelope, expires, warned=True)
            new = replace(record, warned=True, due=due, decided=now)
        else:
            born, new = [], replace(record, due=now + LATE, decided=now)
        self._moving.add(record.id)

        def change(batch: Batch) -> None:
            self.shard.replace(batch, record, new)
            for one, content in born:
                self.shard.put_new(batch, one, content)

        def warned() -> None:
            self._moving.discard(record.id)
            for one in (new, *(told for told, _ in born)):
                self._stored(one)

        self._change(change, warned)

    def _warning(
        self, record: Record, message: Message, waiting: Sequence[tuple[Recipient, Defer]], now: float
    ) -> list[tuple[Record, Content]]:
        try:
            return warning(record, message, waiting, self._hostname, now, letters=self.letters)
        except Exception as error:
            event.bug("delay report", error, id=record.id)
            return []

    # -- what the lines ask

    def places(self) -> int:
        """How many more messages may be away."""
        return 0 if self._draining else self.settings.in_flight - len(self.away)

    def most(self) -> int:
        """How many places there are."""
        return self.settings.in_flight

    def is_away(self, identity: MessageId) -> bool:
        """Whether it is on its way, or about to be, or about to be moved."""
        return identity in self.away or identity in self._moving or identity in self._suspects

    def wake(self) -> None:
        """There is something to give out."""
        self._wakeup.wake()

    def start(self, record: Record, line: Line | None = None) -> None:
        """Give a message out; one that is suspected, when the suspect before it is back."""
        if record.deaths >= SUSPECT:
            if self._suspect_away:
                self._suspects[record.id] = record
                return
            self._suspect_away = True
        delivery = self._taken(record, self.shard.message(record), line)
        if is_too_late(record.envelope, delivery.given):
            self._end(delivery, TOO_LATE)
        else:
            self._give(delivery)

    def _give(self, delivery: Delivery) -> None:
        try:
            self._give_out(delivery)
        except Exception as error:  # one message's trouble must not stop the shard
            event.bug("giving out", error, id=delivery.record.id)
            self._end(delivery, Defer("Local trouble, please try again later", "4.3.0", log=repr(error)))

    def end(self, record: Record, verdict: Verdict) -> None:
        """Settle a message that waits as if that had become of it."""
        self._end(self._taken(record, self.shard.message(record)), verdict)

    def _taken(self, record: Record, message: Message, line: Line | None = None) -> Delivery:
        """A message that counts as away from now on."""
        recipients = record.envelope.recipients
        delivery = Delivery(
            record,
            message,
            list(recipients),
            domain_of(recipients),
            flow_of(record.envelope),
            line,
            self._notes.note(record.id),
            self.time(),
        )
        self.away[record.id] = delivery
        self.lines.left(delivery.domain, delivery.flow, line)
        return delivery

    def _end(self, delivery: Delivery, verdict: Verdict) -> None:
        delivery.outcomes = [(recipient, verdict) for recipient in delivery.record.envelope.recipients]
        self.settle(delivery)

    # -- what an operator wants

    def at_rest(self, identities: Sequence[MessageId], states: Container[str] = (WAITING,)) -> list[Record]:
        """The records of those that are in one of these states, and are not on their way."""
        found = self.shard.records([identity for identity in identities if not self.is_away(identity)])
        return [record for record in found if record.state in states]

    async def change(self, changes: Sequence[tuple[Record, Record]]) -> None:
        """Put other records in place of some that are at rest, and see what they are owed now. StorageError."""
        now = self.time()

        def replace_all(batch: Batch) -> None:
            for old, new in changes:
                self.shard.replace(batch, old, new)
                if new.line != old.line and new.line:
                    self.shard.ensure_turn(batch, new.line, now, now)

        concerned = {old.id for old, _ in changes}
        self._moving |= concerned
        try:
            await self.writer.apply(replace_all)
        finally:
            self._moving -= concerned
            self._position = min(self._position, *(position_before(old) for old, _ in changes))
        for old, new in changes:
            if new.line and new.line != old.line:
                self.lines.rejoined(new)
            else:
                self._stored(new)

    async def remove(self, records: Sequence[Record]) -> None:
        """Forget messages that are at rest, with their content; nobody is told. StorageError."""

        def remove_all(batch: Batch) -> None:
            for record in records:
                self.shard.remove(batch, record)

        concerned = {record.id for record in records}
        self._moving |= concerned
        try:
            await self.writer.apply(remove_all)
        finally:
            self._moving -= concerned
        for record in records:
            if record.in_file:
                remove(self.shard.file(record.id))

    async def put_back(self, saved: Shard, identities: Sequence[MessageId]) -> list[Record]:
        """Take in these messages of a snapshot, but for those that are here; what waited there is held, for nobody
        knows whether it was delivered since. StorageError."""
        if not self.has_room():
            raise StorageError("free space is below [queue] reserve")
        now = self.time()
        found = [record for record in saved.records(list(identities)) if not self.shard.holds(record.id)]
        kept = await trio.to_thread.run_sync(lambda: [one for one in found if self._has_content(saved, one)])
        new = [(_put_back(record, now), saved.content(record)) for record in kept]

        def put(batch: Batch) -> None:
            for record, content in new:
                self.shard.put_new(batch, record, content)

        await self.writer.apply(put)
        return [record for record, _ in new]

    def _has_content(self, saved: Shard, record: Record) -> bool:
        """Whether there is content of the message; its file gets its place here. A crash leaves that to the sweep."""
        if not record.in_file:
            return True
        try:
            os.link(saved.file(record.id), self.shard.file(record.id))
        except FileExistsError:
            return True  # left by one who was killed before its record was written
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(reason(error)) from error
        sync(self.shard.file(record.id).parent)
        return True

    # -- settling

    def keep(self, delivery: Delivery, then: Callable[[], None], *, others: bool = False) -> None:
        """See that it is in the queue before it goes on: see Straight.keep. ``others``: so must all of its domain."""
        self.straight.keep(delivery, then, rest=REST if others else 0.0)

    def progress(self, delivery: Delivery) -> None:
        """Some recipients have it while others may take long: see that a crash does not send it to those again."""
        if delivery.unstored is not None:  # a crash knows nothing of it
            return
        open_ones = [r for r, verdict in delivery.outcomes if not is_over(verdict)]
        old = delivery.record
        new = with_recipients(old, with_lanes((*delivery.waiting, *open_ones), old))
        if delivery.waiting and new != old:
            delivery.record = new
            # Never tried again: it would come after `settle`, and undo that.
            self.writer.submit(lambda batch: self.shard.replace(batch, old, new), self._heard)

    def settle(self, delivery: Delivery) -> None:
        """Every recipient has an outcome: remove the message, or keep it for those who must wait."""
        arrived = False
        if delivery.unstored is not None:
            arrived = self.straight.has_arrived(delivery)
            if self.straight.has_failed(delivery):
                self._settled(delivery, delivery.record, None, [])
                return
            if not arrived:
                self.straight.keep(delivery, lambda: self.settle(delivery))
                return
        now = self.time()
        old = delivery.record
        outcomes = self._outcomes(delivery)
        born = self._descendants(delivery, outcomes, now)
        new = outcomes.left(old, now, delivery.facts)
        wait = ALONE
        if new is not None and new.state == WAITING:
            if self._late.is_to_be_told(old, now):
                born += self._warning(new, delivery.message, outcomes.waiting, now)
                new = replace(new, warned=True)
            new, wait = self._waits.place(delivery, outcomes, new, now)
            if new is old and not born:  # it came back into its line, and nothing has changed
                self._settled(delivery, old, old, [])
                return
        if history.on:
            history(_attempted(delivery, outcomes, new, wait, now))

        def change(batch: Batch) -> None:
            if new is None:
                self.shard.remove(batch, old)
            else:
                self.shard.replace(batch, old, new)
                if wait.line:
                    (self.shard.set_turn if wait.is_news else self.shard.ensure_turn)(batch, wait.line, wait.turn, now)
            for record, content in born:
                self.shard.put_new(batch, record, content)

        def changed() -> None:
            if wait.is_news and not wait.is_busy:
                self.lines.rests(wait.line)
                self._look_again(wait.turn)
            self._settled(delivery, old, new, [record for record, _ in born])

        if arrived:
            changed()
        else:
            self._change(change, changed)

    def _outcomes(self, delivery: Delivery) -> Outcomes:
        outcomes = Outcomes(traced=delivery.record.envelope.timing.traced)
        for recipient, found in delivery.outcomes:
            verdict = final(found, delivery, self.settings)
            tell(delivery, recipient, verdict)
            if self.not_delivered is not None and isinstance(verdict, NOT_DELIVERED) and not is_held(verdict):
                self.not_delivered(delivery, recipient, verdict)
            if not self.lines.idle and spoken_to(verdict):
                self.lines.reached(domain_of([recipient]), delivery)
            outcomes.add(recipient, verdict)
        if outcomes.failures and self.came_back is not None:
            refused = sum(isinstance(failure.verdict, Reject) for failure in outcomes.failures)
            if refused:
                self.came_back(delivery.record.envelope, refused)
        return outcomes

    def _descendants(self, delivery: Delivery, outcomes: Outcomes, now: float) -> list[tuple[Record, Content]]:
        """The messages that come of this one. Who is parked in one of them is no longer among the outcomes."""
        try:
            born = report(delivery, outcomes.failures, self._hostname, now, letters=self.letters)
        except Exception as error:
            event.bug("report", error, id=delivery.record.id)
            born = []
            outcomes.park_refused(f"refused, and no report could be written: {error}")
        born += sent(delivery, self.shard, now)
        if outcomes.waiting and outcomes.parked:  # those who only wait must not be held up by those who are parked
            born.append(parked_apart(delivery, self.shard, outcomes.parked, now))
            outcomes.parked.clear()
        return born

    def _settled(self, delivery: Delivery, old: Record, new: Record | None, born: list[Record]) -> None:
        self.away.pop(old.id, None)
        self._notes.forget(delivery.note)
        if old.deaths >= SUSPECT:
            self._suspect_away = False
            if self._suspects and not self._draining:
                self.start(self._suspects.pop(next(iter(self._suspects))))
        if new is None and old.in_file:
            remove(self.shard.file(old.id))
        if new is not None:
            self._stored(new)
        for record in born:
            self._stored(record)
        self.lines.back(delivery.domain, delivery.flow, delivery.line)
        if self._backlog and (self._fillable() >= _REFILL or not self.away):
            self._wakeup.wake()

    def _change(self, work: Callable[[Batch], None], then: Callable[[], None]) -> None:
        def done(result: "outcome.Outcome[None]") -> None:
            if isinstance(result, outcome.Error):
                self._failed.append((trio.current_time() + _TROUBLE, lambda: self._change(work, then)))
                self._say_failed(result.error, again=f"again in {_TROUBLE:g} s")
                self._wakeup.wake()
                return
            then()

        self.writer.submit(work, done)

    def _heard(self, result: "outcome.Outcome[None]") -> None:
        if isinstance(result, outcome.Error):
            self._say_failed(result.error)

    def _say_failed(self, error: BaseException, again: str | None = None) -> None:
        """Once in a while: a full disk fails thousands of changes at once."""
        self._unsaid += 1
        if (now := trio.current_time()) >= self._silent_until:
            self._silent_until = now + _TROUBLE
            event("queue-failed", shard=self.shard.number, error=str(error), changes=self._unsaid, next=again)
            self._unsaid = 0


def _put_back(record: Record, now: float) -> Record:
    """What waits would be sent at once, perhaps again."""
    if record.state != WAITING:
        return record
    return replace(record, state=HELD, line="", back=record.line, decided=now)


def _suspected(record: Record, now: float) -> Record:
    """The record of a message with which one more owner has died."""
    new = replace(record, deaths=record.deaths + 1)
    if new.deaths < DEATHS:
        return new
    reason = f"{new.deaths} mail workers died with this message, one after the other"
    for recipient in new.envelope.recipients:
        event("quarantined", id=new.id, to=recipient.address, reason=reason)
    if history.on:
        history(Noted(new.id, now, "parked", reason))
    return parked(new, reason, now)


def _attempted(delivery: Delivery, outcomes: Outcomes, new: Record | None, wait: Wait, now: float) -> Attempted:
    """What the history is told of an attempt. ``new``: what is left of the message."""
    envelope = delivery.record.envelope
    due = 0.0 if new is None else min(new.due, wait.turn) if wait.turn else new.due
    return Attempted(
        delivery.record.id,
        now,
        delivery.given,
        envelope.attempts + 1,
        delivery.revision,
        envelope.sender,
        tuple(delivery.legs),
        tuple([outcome_of(recipient, verdict) for recipient, verdict in outcomes.told]),
        new.state if new else "",
        due,
        new.line if new else "",
    )
