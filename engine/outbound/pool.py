"""The ways that mail is waiting for: their queues, their connections, and how many of them there may be."""

import logging
from collections import deque
from collections.abc import Iterator

import trio

from engine.outbound.session import Exhausted, Insecure, Job, Session, Terms, Trouble, open_session
from engine.outbound.way import Security, Source, Way

log = logging.getLogger("postroad.relay")

PENALTY = 60.0
"""Seconds for which an address that could not be used is not tried. Shorter than the first retry delay."""

PENALTIES = 10_000
"""Addresses remembered before those whose time is over are thrown out."""

GROWTH_PAUSE = 60.0
"""Seconds without a further connection to a site that has refused one beside those it has."""

SHORTAGE = 1.0
"""Seconds until a connection is tried again for which there was no socket here."""

PATIENCE = 0.5
"""Seconds that a message waits behind busy connections before it gets one of its own, if the limit allows."""


class _Site:
    """What waits for one way, and who serves it."""

    __slots__ = ("grow_after", "idle", "leaving", "opening", "patience", "queue", "sessions", "way")

    def __init__(self, way: Way) -> None:
        self.way = way
        self.queue: deque[Job] = deque()
        self.sessions: set[Session] = set()
        self.opening = 0
        self.idle: list[tuple[Session, trio.Event]] = []
        self.leaving: Session | None = None  # that ends for a message which none of them is safe enough for
        self.grow_after = 0.0
        self.patience = False  # whether a task watches the queue

    @property
    def established(self) -> int:
        return len(self.sessions)

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

    def follower(self, session: Session, *, quick: bool) -> Job | None:
        """A job to ride behind another one's content, if that is quick, or all connections have enough to do."""
        return self.take(session) if quick or len(self.queue) > self.established + self.opening else None

    def wake(self, job: Job) -> None:
        """Wake the idle connection that was used last, so that the others may end."""
        for index in range(len(self.idle) - 1, -1, -1):
            session, event = self.idle[index]
            if session.serves(job):
                del self.idle[index]
                event.set()
                return


class Pool:
    """All connections of the stage. Each is a task in ``nursery``; none of them can hurt another."""

    def __init__(
        self,
        nursery: trio.Nursery,
        terms: Terms,
        *,
        connections: int,
        idle: float,
        messages_per_connection: int,
        penalty: float = PENALTY,
    ) -> None:
        self._nursery = nursery
        self._terms = terms
        self._connections = connections
        self._idle = idle
        self._messages_per_connection = messages_per_connection
        self._penalty_time = penalty
        self._sites: dict[Way, _Site] = {}
        self._penalties: dict[tuple[Source, str, Security | None], tuple[float, Trouble]] = {}
        self._closing = False

    async def deliver(self, job: Job, way: Way) -> None:
        """Wait until ``job`` is settled or has failed."""
        site = self._sites.get(way)
        if site is None:
            site = self._sites[way] = _Site(way)
        site.queue.append(job)
        if site.idle:
            site.wake(job)
        self._grow(site)
        await job.wait()

    def drain(self) -> None:
        """Take no more than what is queued: connections end when they have nothing left to do."""
        self._closing = True
        for site in self._sites.values():
            while site.idle:
                site.idle.pop()[1].set()

    def fail_all(self) -> None:
        """No connection is left: answer whoever still waits."""
        for site in self._sites.values():
            while site.queue:
                site.queue.popleft().fail(Trouble("The relay was stopped", "4.3.2"))

    def _grow(self, site: _Site, *, impatient: bool = False) -> None:
        """Open connections where the queue is longer than they are many; never more at once than there are."""
        self._make_way(site)
        while site.queue and site.established + site.opening < self._connections:
            if site.opening >= max(1, site.established):
                return
            if site.serves(site.queue[0]):
                busy = len(site.queue) > site.established + site.opening
                if trio.current_time() < site.grow_after or not (busy or impatient):
                    break
            impatient = False
            site.opening += 1
            self._nursery.start_soon(self._connection, site)
        if site.queue and not site.patience and site.established + site.opening < self._connections:
            site.patience = True
            self._nursery.start_soon(self._watch, site)

    def _make_way(self, site: _Site) -> None:
        """Where there may be no more connections, and none is safe enough for the first message: an idle one ends."""
        if self._lacks_place(site):
            if not any(self._candidates(site, site.queue[0])):
                self._give_up(site)
            elif site.idle:
                site.leaving, woken = site.idle.pop(0)
                woken.set()

    def _lacks_place(self, site: _Site) -> bool:
        """Whether there may be no connection more, and the first message could be served by a new one alone."""
        if not site.queue or site.leaving or site.established + site.opening < self._connections:
            return False
        return not site.serves(site.queue[0])

    async def _watch(self, site: _Site) -> None:
        """While messages wait, see to it that none waits long behind a slow one."""
        while site.queue and not self._closing:
            before = site.queue[0]
            await trio.sleep(PATIENCE)
            if site.queue and site.queue[0] is before:
                self._grow(site, impatient=True)
        site.patience = False
        self._forget(site)

    async def _connection(self, site: _Site) -> None:
        """The life of one connection."""
        try:
            session = await self._open(site)
        except Exception:
            log.exception("A connection could not be opened because of a bug")
            session = None
            if site.queue:
                site.queue.popleft().fail(Trouble("Internal trouble", "4.3.0"))
        finally:
            site.opening -= 1
        if session is not None:
            await self._use(site, session)
        self._release(site)

    async def _open(self, site: _Site) -> Session | None:
        """A session with the first server that will have us; None when there is none, or nothing to do."""
        if not site.queue:
            return None
        first = site.queue[0]
        for host, address in self._candidates(site, first):
            try:
                session = await self._patiently(site.way, first, host, address)
            except Insecure as trouble:  # for others, whose mail may go by what it has, it is not penalised
                log.info("%s [%s]: %s %s", host, address, trouble.text, trouble.reply)
                self._penalise((site.way.source, address, first.security), trouble)
                continue
            except Trouble as trouble:
                log.info("%s [%s]: %s %s", host, address, trouble.text, trouble.reply)
                if any(session.address == address for session in site.sessions):
                    # It serves us already, and only refuses one more.
                    site.grow_after = trio.current_time() + GROWTH_PAUSE
                    return None
                self._penalise((site.way.source, address, None), trouble)
                continue
            self._penalties.pop((site.way.source, address, None), None)
            self._penalties.pop((site.way.source, address, first.security), None)
            return session
        return None

    async def _patiently(self, way: Way, job: Job, host: str, address: str) -> Session:
        """A session with that server, as soon as there is a socket for it. Trouble."""
        while True:
            try:
                to = [recipient.address for recipient in job.transaction.recipients]
                return await open_session(self._terms, way, job.security, host, address, to=to)
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
            self._hand_back(site, session, trouble)
        except Exception:
            log.exception("A connection to %s ended because of a bug", session.host)
        finally:
            for job in session.open:
                job.fail(Trouble("Internal trouble", "4.3.0"))
            session.close()
            site.sessions.discard(session)
            if site.leaving is session:
                site.leaving = None

    async def _serve(self, site: _Site, session: Session) -> None:
        """Deliver one message after the other, until there are no more or the connection has done its share."""
        most = min(self._messages_per_connection, session.allowance.mails)

        def following(quick: bool) -> Job | None:
            full = session.served + len(session.open) >= most
            job = None if full else site.follower(session, quick=quick)
            return job if job is not None and self._allowed(site, session, job) else None

        fresh = True
        while session.served < most and not self._leaves(site, session):
            job = site.take(session)
            if job is None:
                if self._closing or not await self._woken(site, session):
                    break
                fresh = False
                continue
            if not self._allowed(site, session, job):
                break
            await session.deliver(job, following, fresh=fresh)
            fresh = True
        await session.quit()

    def _leaves(self, site: _Site, session: Session) -> bool:
        """Whether this connection ends, so that there is place for one that is safer."""
        if self._lacks_place(site):
            if any(self._candidates(site, site.queue[0])):
                site.leaving = session
            else:
                self._give_up(site)
        return site.leaving is session

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
        place = (session, trio.Event())
        site.idle.append(place)
        try:
            with trio.move_on_after(self._idle):
                await place[1].wait()
        finally:
            if place in site.idle:
                site.idle.remove(place)
        return place[1].is_set()

    def _hand_back(self, site: _Site, session: Session, trouble: Trouble) -> None:
        """The connection broke: queue again what was certainly not taken, for another server."""
        while session.open:
            job = session.open.pop()
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
        if not (site.queue or site.opening or site.sessions or site.patience):
            self._sites.pop(site.way, None)

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
                job.fail(self._reason(site, job))
        site.queue.extendleft(reversed(kept))

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
