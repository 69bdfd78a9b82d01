"""The ways that mail is waiting for: their queues, their connections, and how many of them there may be."""

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import trio

from engine.deadline import Rest
from engine.history import history
from engine.outbound.bounds import Bounds
from engine.outbound.noting import note
from engine.outbound.session import Exhausted, Insecure, Job, Session, Trouble, open_session
from engine.outbound.standing import Standing
from engine.outbound.turns import FEWEST, Turns
from engine.outbound.way import Security, Source, Way
from engine.shaping.shape import UNSHAPED, Shape
from engine.shaping.valve import Valve

log = logging.getLogger("postroad.relay")

PENALTY = 60.0
"""Seconds for which an address that could not be used is not tried. Shorter than the first retry delay."""

PENALTIES = 10_000
"""Addresses remembered before those whose time is over are thrown out."""

GROWTH_PAUSE = 60.0
"""Seconds without a further connection to a site that has refused one beside those it has."""

SHORTAGE = 1.0
"""Seconds until a connection is tried again for which there was no socket here."""

SHAPES = 10_000
"""Shapes of which it is known what they mean here."""

PATIENCE = 0.5
"""Seconds that a message waits behind busy connections before it gets one of its own, if the limit allows."""


SHARED_IDLE = 0.5
"""Seconds for which a connection is idle at most whose place in a provider others may wait for."""

BRIEFLY = 0.01
"""Seconds for which it is idle at least where they do: the next message may be on its way."""

SPELL = 30.0
"""Seconds for which a connection keeps such a place, where others wait that have none."""


class _Site:
    """What waits for one way, and who serves it."""

    __slots__ = (
        "_grow", "asking", "bounds", "grow_after", "idle", "leaving", "opening", "patience", "queue", "sessions",
        "shape", "took", "turns", "way",
    )  # fmt: skip

    def __init__(self, way: Way, bounds: Bounds, valve: Valve | None, grow: "Callable[[_Site], None]") -> None:
        self.way = way
        self._grow = grow
        self.asking = 0  # connections that ask for a place
        self.took = 0.0  # seconds, to open the last connection
        self.bounds = bounds
        self.shape: Shape | None = None  # until it has its first message
        self.queue: deque[Job] = deque()
        self.turns = Turns(self.queue, valve) if valve is not None else None
        self.sessions: set[Session] = set()
        self.opening = 0
        self.idle: list[tuple[Session, Rest]] = []
        self.leaving: Session | None = None  # that ends for a message which none of them is safe enough for
        self.grow_after = 0.0
        self.patience = False  # whether a task watches the queue

    @property
    def established(self) -> int:
        return len(self.sessions)

    @property
    def has_room(self) -> bool:
        """Whether there may be one more connection."""
        if self.turns is not None:
            valve = self.turns.valve
            return valve.established < valve.connections and not valve.is_full(self.turns.now())
        return len(self.sessions) + self.opening < self.bounds.connections

    @property
    def shares_places(self) -> bool:
        """Whether others may wait for the place of one of its connections."""
        return self.turns is not None and self.turns.valve.shares_places

    def again(self) -> bool:
        """A place may have become free. Whether it was asked for: see Valve.place."""
        if self.turns is None:
            return False
        self.turns.valve.hope()
        if not self.queue:
            return False
        if not self.asking:
            opening = self.opening
            self._grow(self)
            return self.opening > opening
        return True

    @property
    def rests(self) -> bool:
        """Whether it has refused a connection lately. Where there are turns, these know how many there may be."""
        return self.turns is None and trio.current_time() < self.grow_after

    @property
    def is_held_up(self) -> bool:
        """Whether more connections would be of no use, for what there is must wait."""
        return self.turns is not None and bool(self.sessions or self.opening) and self.turns.wait() > 0

    def serves(self, job: Job) -> bool:
        """Whether a connection that is open can take it."""
        return any(session.serves(job) for session in self.sessions)

    def take(self, session: Session) -> Job | None:
        """The first job that this connection may be tried for."""
        passed_by: list[Job] = []
        taken = None
        while self.queue and taken is None:
            job = self.queue.popleft()
            if not session.serves(job):
                passed_by.append(job)
            elif not job.abandoned:
                taken = job
        if passed_by:
            self.queue.extendleft(reversed(passed_by))
        return taken

    def take_back(self, session: Session) -> None:
        """What was left of messages goes before all others."""
        while session.parted:
            self.queue.appendleft(session.parted.pop())

    def follower(self, session: Session, *, quick: bool) -> Job | None:
        """A job to ride behind another one's content, if that is quick, or all connections have enough to do."""
        return self.take(session) if quick or len(self.queue) > self.established + self.opening else None

    def wake(self, job: Job) -> None:
        """Wake the idle connection that was used last, so that the others may end."""
        for index in range(len(self.idle) - 1, -1, -1):
            session, rest = self.idle[index]
            if session.serves(job):
                del self.idle[index]
                rest.wake()
                return


class Pool:
    """All connections of the stage. Each is a task in ``nursery``; none of them can hurt another."""

    def __init__(
        self,
        nursery: trio.Nursery,
        bounds: Bounds,
        *,
        penalty: float = PENALTY,
        valves: Callable[[str, str], Valve] | None = None,
    ) -> None:
        """``valves``: by the names of a way and of its source, where it matters how much a site is sent."""
        self._nursery = nursery
        self._bounds = bounds
        self._shaped: dict[Shape, Bounds] = {}
        self._valves = valves
        self._penalty_time = penalty
        self._sites: dict[Way, _Site] = {}
        self._penalties: dict[tuple[Source, str, Security | None], tuple[float, Trouble]] = {}
        self._closing = False

    async def deliver(self, job: Job, way: Way, shape: Shape = UNSHAPED) -> None:
        """Wait until ``job`` is settled or has failed. ``shape``: what holds for the way from now on."""
        site = self._sites.get(way) or self._begun(way)
        if shape is not site.shape:
            self._reshape(site, shape)
        if site.turns is not None and not site.turns.admits(job):
            self._forget(site)
            return
        site.queue.append(job)
        if site.idle:
            site.wake(job)
        self._grow(site)
        await job.wait()

    def _begun(self, way: Way) -> _Site:
        valve = self._valves(f"{way.site}/{way.source.name}", way.source.name) if self._valves else None
        site = self._sites[way] = _Site(way, self._bounds, valve, partial(self._grow, impatient=True))
        if valve is not None:
            valve.users += 1
        return site

    def _reshape(self, site: _Site, shape: Shape) -> None:
        """Another shape holds for the way, for connections that are open as well."""
        if shape not in self._shaped:
            if len(self._shaped) >= SHAPES:
                self._shaped.clear()
            self._shaped[shape] = self._bounds.by(shape)
        site.shape, site.bounds = shape, self._shaped[shape]
        if site.turns is not None:
            site.turns.valve.use(shape, self._bounds.connections)
        for session in site.sessions:
            session.keep_to(site.bounds.terms)

    @property
    def ways(self) -> int:
        """How many there are that something waits for, or that are connected to."""
        return len(self._sites)

    def sites(self, most: int) -> list[Standing]:
        """How it stands with the busiest ways, so many at most."""
        busiest = heapq.nlargest(most, self._sites.values(), key=lambda site: (len(site.queue), len(site.sessions)))
        return [_standing(site) for site in busiest]

    def drain(self) -> None:
        """Take no more than what is queued: connections end when they have nothing left to do."""
        self._closing = True
        for site in self._sites.values():
            if site.turns is not None:
                site.turns.close()
            while site.idle:
                site.idle.pop()[1].wake()

    def fail_all(self) -> None:
        """No connection is left: answer whoever still waits."""
        for site in self._sites.values():
            while site.queue:
                site.queue.popleft().fail(Trouble("The relay was stopped", "4.3.2"))

    def _grow(self, site: _Site, *, impatient: bool = False) -> None:
        """Open connections where the queue is longer than they are many; never more at once than there are."""
        if not (has_room := site.has_room):
            self._make_way(site)
        while has_room and site.queue and not site.is_held_up:
            if site.opening >= max(1, site.established):
                if len(site.queue) <= FEWEST:
                    return
                break  # what waits has to be watched, for the connection may take long
            if site.serves(site.queue[0]):
                busy = len(site.queue) > site.established + site.opening
                if site.rests or not (busy or impatient):
                    break
            impatient = False
            site.opening += 1
            site.asking += 1
            if site.turns is not None:
                site.turns.valve.established += 1
            self._nursery.start_soon(self._connection, site)
            has_room = site.has_room
        if site.queue and not site.patience and (site.turns is not None or has_room):
            site.patience = True
            self._nursery.start_soon(self._watch, site)

    def _make_way(self, site: _Site) -> None:
        """There may be no more connections: if none is safe enough for the first message, an idle one ends."""
        if self._lacks_safer(site):
            if not any(self._candidates(site, site.queue[0])):
                self._give_up(site)
            elif site.idle:
                site.leaving, rest = site.idle.pop(0)
                rest.wake()

    @staticmethod
    def _lacks_safer(site: _Site) -> bool:
        """Whether the first message could be served by a new connection alone."""
        return bool(site.queue) and not site.leaving and not site.serves(site.queue[0])

    async def _watch(self, site: _Site) -> None:
        """While messages wait, see to it that none waits long behind a slow one."""
        while site.queue and not self._closing:
            before = site.queue[0]
            await trio.sleep(PATIENCE)
            if site.turns is not None:
                site.turns.trim()
            if site.queue and site.queue[0] is before:
                self._grow(site, impatient=True)
        site.patience = False
        self._forget(site)

    async def _connection(self, site: _Site) -> None:
        """The life of one connection."""
        place: Sequence[str] | None = ()
        try:
            place = await self._placed(site)
            session = await self._opened(site) if place is not None else None
            if session is not None:
                await self._use(site, session)
        finally:
            if site.turns is not None:
                site.turns.valve.established -= 1
                site.turns.valve.leave(place or ())
        self._release(site)

    async def _placed(self, site: _Site) -> Sequence[str] | None:
        """A place for one connection more where others share them; None: there is none."""
        place: Sequence[str] | None = None
        try:
            place = await site.turns.valve.place(trio.current_time(), site.again) if site.turns is not None else ()
        finally:
            site.asking -= 1
            if place is None:
                site.opening -= 1
        return place

    async def _opened(self, site: _Site) -> Session | None:
        began = trio.current_time()
        try:
            session = await self._open(site)
            if session is not None:
                site.took = trio.current_time() - began
            return session
        except Exception:
            log.exception("A connection could not be opened because of a bug")
            if site.queue:
                site.queue.popleft().fail(Trouble("Internal trouble", "4.3.0"))
            return None
        finally:
            site.opening -= 1

    async def _open(self, site: _Site) -> Session | None:
        """A session with the first server that will have us; None when there is none, or nothing to do."""
        if not site.queue:
            return None
        first = site.queue[0]
        for host, address in self._candidates(site, first):
            try:
                session = await self._patiently(site, first, host, address)
            except Insecure as insecure:  # for others, whose mail may go by what it has, it is not penalised
                log.info("%s [%s]: %s %s", host, address, insecure.text, insecure.reply)
                self._penalise((site.way.source, address, first.security), insecure)
                continue
            except Trouble as trouble:
                log.info("%s [%s]: %s %s", host, address, trouble.text, trouble.reply)
                if any(session.address == address for session in site.sessions):
                    # It serves us already, and only refuses one more.
                    site.grow_after = trio.current_time() + GROWTH_PAUSE
                    if site.turns is not None:
                        site.turns.refused()
                    return None
                self._penalise((site.way.source, address, None), trouble)
                continue
            self._penalties.pop((site.way.source, address, None), None)
            self._penalties.pop((site.way.source, address, first.security), None)
            return session
        return None

    async def _patiently(self, site: _Site, job: Job, host: str, address: str) -> Session:
        """A session with that server, as soon as there is a socket for it. Trouble."""
        while True:
            try:
                to = [recipient.address for recipient in job.transaction.recipients]
                return await open_session(site.bounds.terms, site.way, job.security, host, address, to=to)
            except Exhausted as error:
                log.warning("%s [%s]: %s; raise the limit of open files", host, address, error.__cause__)
                await trio.sleep(SHORTAGE)

    async def _use(self, site: _Site, session: Session) -> None:
        site.sessions.add(session)
        self._grow(site)
        try:
            await self._serve(site, session)
        except Trouble as trouble:
            log.info("%s [%s]: %s %s", session.host, session.address, trouble.text, trouble.reply)
            if site.turns is not None:
                site.turns.broken(session, trouble)
            self._hand_back(site, session, trouble)
        except Exception:
            log.exception("A connection to %s ended because of a bug", session.host)
        finally:
            site.take_back(session)
            for job in session.open:
                job.fail(Trouble("Internal trouble", "4.3.0"))
            session.close()
            site.sessions.discard(session)
            if site.leaving is session:
                site.leaving = None

    async def _serve(self, site: _Site, session: Session) -> None:
        """Deliver one message after the other, until there are no more or the connection has done its share."""
        turns = site.turns
        spell = trio.current_time() + SPELL if site.shares_places else None

        def following(quick: bool) -> Job | None:
            site.take_back(session)
            full = session.served + len(session.open) >= self._most(site, session) or _is_over(spell)
            job = None if full else site.follower(session, quick=quick)
            if job is None or (turns is not None and not turns.take(job)):
                return None
            return job if self._allowed(site, session, job) else None

        fresh = True
        while session.served < self._most(site, session) and not self._leaves(site, session):
            if turns is not None and _is_over(spell):
                if await turns.valve.is_wanted(0):
                    break
                spell = trio.current_time() + 1.0
            job = site.take(session)
            if job is None:
                if self._closing or not await self._woken(site, session):
                    break
                fresh = False
                continue
            if turns is not None and not turns.take(job):
                if not await turns.wait_for_one(site.bounds.idle):
                    break
                fresh = False
                continue
            if not self._allowed(site, session, job):
                break
            await session.deliver(job, following, fresh=fresh)
            site.take_back(session)
            fresh = True
            self._grow_by_turns(site)
        await session.quit()

    def _leaves(self, site: _Site, session: Session) -> bool:
        """Whether this connection ends, so that there is place for one that is safer."""
        if not site.has_room and self._lacks_safer(site):
            if any(self._candidates(site, site.queue[0])):
                site.leaving = session
            else:
                self._give_up(site)
        return site.leaving is session

    @staticmethod
    def _most(site: _Site, session: Session) -> int:
        """How many messages the connection may carry; no more, where there are too many connections."""
        if site.turns is not None and site.turns.valve.established > site.turns.valve.connections:
            return 0
        return min(site.bounds.messages_per_connection, session.allowance.mails)

    def _grow_by_turns(self, site: _Site) -> None:
        """More connections may be good now than before a site took a message."""
        if site.turns is not None and site.queue:
            self._grow(site)

    def _allowed(self, site: _Site, session: Session, job: Job) -> bool:
        """Whether the session may take the job. Recipients that its server does not allow go back into the queue."""
        allowed = session.allowance.take([to.address for to in job.transaction.recipients])
        if all(allowed):
            return True
        site.queue.appendleft(job.part(allowed) if any(allowed) else job)
        self._grow(site)
        return any(allowed)

    async def _woken(self, site: _Site, session: Session) -> bool:
        """Wait for a job. False when none came in time."""
        place = (session, Rest(site.bounds.terms.watch))
        site.idle.append(place)
        try:
            if site.turns is None or not site.shares_places:
                await place[1].sleep(site.bounds.idle)
            else:
                await self._rest(site, site.turns.valve, place)
        finally:
            woken = place not in site.idle  # also in the moment in which the time was over
            if not woken:
                site.idle.remove(place)
        return woken

    @staticmethod
    async def _rest(site: _Site, valve: Valve, place: tuple[Session, Rest]) -> None:
        """Wait for a job, on a connection whose place others may wait for."""
        seconds = min(site.bounds.idle, SHARED_IDLE)
        if await valve.is_wanted():  # then for as long as another connection would take to come about
            seconds = min(seconds, max(site.took, BRIEFLY))
        if place in site.idle:
            with valve.resting(place[1].wake):
                await place[1].sleep(seconds)

    def _hand_back(self, site: _Site, session: Session, trouble: Trouble) -> None:
        """The connection broke: queue again what was certainly not taken, for another server."""
        while session.open:
            job = session.open.pop()
            if history.on:
                session.note(job, trouble=trouble)
            if session.unsure(job):
                # It may come twice. RFC 5321 4.5.4.1 wants that rather than a loss.
                job.fail(trouble, session.decided(job))
                continue
            # Once is free for a job that was not the first on its connection: that may just have been closed as idle.
            if job.returned or not (session.served or session.open):
                job.failed |= {session.address}
            job.returned = True
            job.trouble = trouble
            site.queue.appendleft(job)
            site.wake(job)

    def _release(self, site: _Site) -> None:
        """A connection has ended, or did not come to be: give up what nobody can serve now, and see to the rest."""
        self._give_up(site)
        self._grow(site)
        self._forget(site)

    def _forget(self, site: _Site) -> None:
        over = not (site.queue or site.opening or site.sessions or site.patience)
        if over and self._sites.pop(site.way, None) is not None and site.turns is not None:
            site.turns.valve.users -= 1
            site.turns.valve.forget(site.again)

    def _give_up(self, site: _Site) -> None:
        kept: list[Job] = []
        # What came back from a server stands in front; with a connection open, or soon, the others can be served, but
        # for those that want a safer one.
        while site.queue and (
            site.queue[0].failed
            or not (site.sessions or site.opening)
            or (site.sessions and not site.serves(site.queue[0]))
        ):
            job = site.queue.popleft()
            if site.serves(job) or any(self._candidates(site, job)):
                kept.append(job)
            else:
                job.unreached = not (job.returned or job.security.requiretls)
                if history.on:
                    self._note(site, job)
                job.fail(self._reason(site, job))
        site.queue.extendleft(reversed(kept))

    def _note(self, site: _Site, job: Job) -> None:
        """Tell the history which servers could not be spoken to."""
        for server in job.targets:
            trouble = self._penalty(site, server[1], job.security)
            if trouble is not None:
                note(job.message, job.transaction, site.way, server, trouble=(trouble.text, trouble.reply))

    def _candidates(self, site: _Site, job: Job) -> Iterator[tuple[str, str]]:
        """Where the job may still go, in order."""
        for host, address in job.targets:
            if address not in job.failed and not self._penalty(site, address, job.security):
                yield host, address

    def _reason(self, site: _Site, job: Job) -> Trouble:
        """Why nobody could serve it: what happened to itself, else to the last server of the list.

        What is for good counts only where it is so at every server.
        """
        penalties = [
            penalty for _, address in reversed(job.targets) if (penalty := self._penalty(site, address, job.security))
        ]
        passing = (penalty for penalty in penalties if not penalty.code.startswith("5"))
        return job.trouble or next(passing, penalties[0] if penalties else Trouble("No server can be reached", "4.4.1"))

    def _penalty(self, site: _Site, address: str, security: Security) -> Trouble | None:
        source = site.way.source  # another one may be welcome where this is not
        return self._in_force((source, address, None)) or self._in_force((source, address, security))

    def _in_force(self, key: tuple[Source, str, Security | None]) -> Trouble | None:
        until, trouble = self._penalties.get(key, (0.0, None))
        return trouble if trio.current_time() < until else None

    def _penalise(self, key: tuple[Source, str, Security | None], trouble: Trouble) -> None:
        if len(self._penalties) >= PENALTIES:
            self._penalties = {key: value for key, value in self._penalties.items() if self._in_force(key)}
        self._penalties[key] = (trio.current_time() + self._penalty_time, trouble)


def _standing(site: _Site) -> Standing:
    turns = site.turns
    return Standing(
        site=site.way.site,
        source=site.way.source.name,
        connections=site.established,
        limit=turns.valve.connections if turns else site.bounds.connections,
        waiting=len(site.queue),
        paused_for=max(turns.wait(), 0.0) if turns else 0.0,
        last_reply=turns.valve.last_reply if turns else "",
    )


def _is_over(spell: float | None) -> bool:
    """Whether that time has come; None: there is none, as nearly always, and the clock need not be asked."""
    return spell is not None and trio.current_time() >= spell
