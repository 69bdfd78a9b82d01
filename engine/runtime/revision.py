"""One revision of the configuration inside one process: its stages, its links, and the legs that are served here."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio
import zmq

from engine.config import Config, Stage
from engine.lanes import Course, Leg
from engine.links.host import Begin, Host
from engine.links.link import Done, Link, Peer
from engine.links.wire import Reference
from engine.message import Content, Message
from engine.observe.events import event
from engine.queue.bounce import Letters
from engine.queue.content import Aside
from engine.queue.store import content_folder
from engine.runtime.door import Door
from engine.runtime.places import Process, askers, between, hosted, queue_leg, workers_of
from engine.runtime.stages import LegRunner, RunningStage, offering
from engine.runtime.taps import Taps
from engine.stage import StageError
from engine.verdict import Verdict

WINDOW = 512
"""Messages that a link lets a worker have at once."""

EFFECT_WINDOW = 2000
"""The same for effects, which wait on other machines: as many as a queue's shard lets out."""

Admit = Callable[[Message, str, Callable[[Verdict], None]], None]
"""Stores a message that came in by a lane, and calls back with what came of it."""


@dataclass(frozen=True, slots=True)
class Here:
    """The process that all this is in."""

    process: Process
    life: int
    folder: str  # of the sockets between processes
    context: zmq.Context[zmq.Socket[bytes]]
    find: Callable[[Reference], Content]
    taps: Taps = field(default_factory=Taps)


class Revision:
    """Opens in two steps, so that a revision that some process cannot open changes nothing anywhere."""

    def __init__(self, number: int, config: Config, here: Here, turn: int) -> None:
        """``turn`` tells it from all others that this process has; a number may come back."""
        self.number = number
        self.turn = turn
        self.config = config
        self.courses: Mapping[str, Course] = config.courses
        self.aside = Aside(content_folder(config.server.data), config.queue.inline)
        self.letters = Letters(config.languages.at_hand(), config.delivery_reports.return_whole)
        self.links: dict[str, Link] = {}
        self.stages: dict[str, RunningStage] = {}
        self._here = here
        self._place = here.process.place
        self._hosts: dict[str, Host] = {}
        self._runners: list[LegRunner] = []
        self._hooks: dict[tuple[str, str], list[RunningStage]] = {}
        self._inside = 0
        self.on_trial = False
        self.counts: Counter[str] = Counter()  # what came of messages, and how often a stage broke
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._make_links()

    def _make_links(self) -> None:
        for course in self.courses.values():
            for leg in (*course.before, *((queue_leg(course),) if course.queued else ()), *course.after):
                if leg.name in self.links or self._place not in askers(self.config, leg):
                    continue
                self.links[leg.name] = Link(
                    self._here.context,
                    leg.name,
                    workers_of(self.config, leg, self._here.process),
                    window=EFFECT_WINDOW if leg.effect else WINDOW,
                    keyed=bool(leg.partition),
                    taps=self._here.taps.on(leg.name),
                )

    # -- opening and closing

    async def open(
        self,
        nursery: trio.Nursery,
        services: Mapping[Any, Any],
        door: Callable[[str], Door],
        before: "Revision | None",
        admit: Admit | None,
    ) -> None:
        """Open the stages that run here, and bind their legs. Raises what a stage raises; then nothing is left open.

        The stages live in ``nursery``, because one that does not change lives on in the next revision.

        A stage whose code and settings are the same as in the revision ``before`` is taken over as it is.
        """
        opened: list[RunningStage] = []
        try:
            for name in self._needed():
                stage = self.config.stages[name]
                kept = before.stages.get(name) if before and before.same(self.config, stage) else None
                if kept is None:
                    kept = RunningStage(stage, {**services, Door: self._door(stage, door)})
                    await self._open_stage(nursery, kept)
                    opened.append(kept)
                self.stages[name] = kept
            self._bind(admit)
        except BaseException:
            for host in self._hosts.values():
                host.close()
            for running in opened:
                await running.close()
            raise

    async def _open_stage(self, nursery: trio.Nursery, stage: RunningStage) -> None:
        limit = self.config.server.opening
        with trio.move_on_after(limit) as time_left:
            await nursery.start(stage.run)
        if time_left.cancelled_caught:
            raise StageError(f"the stage {stage.name} was not open after {limit:g} s ([server] opening)")

    def _needed(self) -> list[str]:
        """Stages that run here, and those that want a word at the door which is here."""
        here = [name for leg in hosted(self.config, self._place) for name in leg.stages]
        for course in self.courses.values():
            if course.source and self.config.stages[course.source].place == self._place:
                here.append(course.source)
                stages = [name for leg in (*course.before, *course.after) for name in leg.stages]
                here += [name for name in stages if self.config.stages[name].spec.hooks]
        return [name for name in dict.fromkeys(here) if name in self.config.stages]

    def _door(self, stage: Stage, door: Callable[[str], Door]) -> Door | None:
        lane = _lane_of(self.config, stage)
        return door(lane) if lane else None

    def same(self, config: Config, stage: Stage) -> bool:
        """Whether a stage would be just the same under another configuration."""
        return is_same(self.config, config, stage)

    def _bind(self, admit: Admit | None) -> None:
        for leg in hosted(self.config, self._place):
            concurrency = EFFECT_WINDOW if leg.effect else WINDOW
            stages = [self.stages[name] for name in leg.stages if name in self.stages]
            runner = LegRunner(stages, concurrency=concurrency, broke=self.broke)
            self._runners.append(runner)
            self._host(leg, runner.begin)
        for course in self.courses.values():
            if course.queued and admit is not None:
                self._host(queue_leg(course), _storing(admit, course.lane))

    def _host(self, leg: Leg, begin: Begin) -> None:
        here = self._here
        end = between(here.folder, here.process.name, here.life, leg.name, self.turn)
        self._hosts[leg.name] = Host(here.context, end, begin, here.find, once=leg.effect)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry messages until ``close``."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for host in self._hosts.values():
                        nursery.start_soon(host.serve)
                    for runner in self._runners:
                        nursery.start_soon(runner.serve)
                    for link in self.links.values():
                        nursery.start_soon(link.run)
                    task_status.started()
        finally:
            self._ended.set()

    async def close(self, others: Iterable["Revision"], patience: float = 10.0) -> None:
        """Stop carrying, and close every stage that none of the ``others`` goes on with: a former one may, too.

        ``patience``: seconds that each stage gets for that.
        """
        self._scope.cancel()
        await self._ended.wait()
        going_on = {stage for revision in others for stage in revision.stages.values()}
        for stage in self.stages.values():
            if stage not in going_on:
                with trio.CancelScope(shield=True), trio.move_on_after(patience):
                    await stage.close()

    # -- peers

    def connect(self, name: str, life: int) -> None:
        """The process ``name`` has come up: use it where it serves a leg."""
        for leg_name, link in self.links.items():
            far = between(self._here.folder, name, life, leg_name, self.turn)
            local = name == self._here.process.name and leg_name in self._hosts
            link.connect(Peer(name, life, self._hosts[leg_name] if local else far))

    def lost(self, name: str) -> None:
        """The process ``name`` is dead, for certain."""
        for link in self.links.values():
            link.lost(name)

    def conclude(self) -> None:
        """It is no longer in force: what is under way by it ends, and waits for nobody who has died."""
        for link in self.links.values():
            link.conclude()

    # -- journeys

    def entered(self) -> None:
        self._inside += 1

    def left(self) -> None:
        self._inside -= 1

    def count(self, what: str, how_many: int = 1) -> None:
        """Note what has come of a message, or of so many recipients."""
        self.counts[what] += how_many

    def broke(self) -> None:
        """Note that a stage could not do its work."""
        self.counts["errors"] += 1

    @property
    def busy(self) -> int:
        """Journeys under way, and messages in hand for others."""
        return self._inside + sum(host.busy for host in self._hosts.values())

    def hooks(self, lane: str, hook: str) -> list[RunningStage]:
        """The stages of a lane that offer a hook, in their order; those that want to be asked last at the end."""
        found = self._hooks.get((lane, hook))
        if found is None:
            course = self.courses[lane]
            found = self._hooks[lane, hook] = offering(course, self.stages, hook)
        return found

    def source(self, listener: str) -> RunningStage | None:
        """The stage that serves a listener here. It is said when there is none."""
        stage = self.source_of(listener)
        if stage is None:
            event("no-source", listener=listener, revision=self.number)
        return stage

    def source_of(self, listener: str) -> RunningStage | None:
        for course in self.courses.values():
            if listener in course.listen and course.source in self.stages:
                return self.stages[course.source]
        return None


def is_same(old: Config, now: Config, stage: Stage) -> bool:
    """Whether a stage of ``now`` is just what it was under ``old``, so that it is not closed and opened anew."""
    before = old.stages.get(stage.spec.name)
    return (
        before is not None
        and _lane_of(old, before) == _lane_of(now, stage)
        and (old.server.hostname, old.server.data) == (now.server.hostname, now.server.data)
        and (old.domains, old.dns, old.tls) == (now.domains, now.dns, now.tls)
        and (before.spec.use, before.spec.code, before.settings) == (stage.spec.use, stage.spec.code, stage.settings)
        and (before.timeout, before.on_error, before.when and before.when.text)
        == (stage.timeout, stage.on_error, stage.when and stage.when.text)
    )


def _lane_of(config: Config, stage: Stage) -> str:
    """The lane that a source lets messages into; "" for every other stage."""
    return next((course.lane for course in config.courses.values() if course.source == stage.spec.name), "")


def _storing(admit: Admit, lane: str) -> Begin:
    def begin(message: Message, _start: int, done: Done) -> None:
        admit(message, lane, lambda verdict: done(verdict, 1, []))

    return begin
