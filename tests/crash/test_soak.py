"""Mail flows for SOAK_SECONDS (20 if not said) from clients of all manners, and nothing may leak: `make soak`.

First all is done for a while to warm up; then for most of the time without a death, so that a worker could gather what
it forgets to give back; at last workers are killed. After each part the load ends, and what is held is counted.
"""

import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.net.zone import Zone
from tests.crash.crowd import Passers, Readers, coming
from tests.crash.faults import System, kill_a_worker, reload
from tests.crash.holdings import ENVIRONMENTS, Holdings, Process, environment, holdings, table, tell
from tests.crash.system import FILTER, Ledger, Load, settle_accounts, verify
from tests.support.clock import Clock
from tests.support.dice import seeded
from tests.support.programs import Certificates
from tests.support.remote import Received, Remote
from tests.support.server import Event, Postroad, until

SECONDS = float(os.environ.get("SOAK_SECONDS") or 20)

LONG = 600.0
"""Seconds from which on the growth of memory says more than the noise in it."""

MEMORY = 64 * 2**20
"""Octets that the memory of all processes together may grow in an hour, once their heaps have come to rest halfway."""

BLOCKS, SPARE = 0.05, 40_000
"""Blocks of Python's allocator by which a process may grow with each message, and besides: caches that fill up (alone
the texts of the last 8192 ids take 24,000), code that is loaded when it is first needed."""

KEPT = 60
"""Blocks of a task that is kept for the next message."""

FILE = 64 * 2**20
"""Octets that an LMDB file may grow beside what is in it: room for a crowd of messages, which is used again."""

SPARE_TRANSACTIONS = 16
"""Slots that a process may keep of an environment: ``max_spare_txns`` in ``engine/storage/environment.py``."""

REST = 11.0
"""Seconds after which no thread of trio's cache is left, and no connection: the time-outs below are shorter."""

PATIENCE = 300.0
"""Seconds in which the server must have let go of everything."""


class Headings(list[Received]):
    """Of contents only what the ledger is kept by: an hour's mail is too much."""

    def append(self, received: Received) -> None:
        super().append(replace(received, content=received.content[:2000]))


CANNOT_OPEN = '''
"""Good to look at, but it cannot be opened."""
from dataclasses import dataclass
from engine import Message

@dataclass
class After:
    async def __aenter__(self) -> "After":
        raise OSError("it cannot be opened")

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __call__(self, message: Message) -> Message:
        return message
'''


def edit_a_filter(system: System) -> str:
    note = system.dice.randrange(10**6)
    system.server.filter("after", FILTER.format(name="after") + f"NOTE = {note}\n")
    system.server.reload()
    return f"note {note}"


def refused_reload(system: System) -> str:
    """Most workers have opened the new revision when it is given up."""
    system.server.filter("after", CANNOT_OPEN)
    done = system.server.reload()
    system.server.filter("after", FILTER.format(name="after"))
    return done.stderr.strip()


class Soak:
    """All who have to do with the server, and the books."""

    def __init__(self, system: System) -> None:
        self._system, self._server, self._remote = system, system.server, system.remote
        self.ledger = Ledger()
        self.readers, self.passers = Readers(self._server), Passers(self._server)
        self.happened: Counter[str] = Counter()
        self._workers = {*self._server.workers()}

    def run(self, seconds: float, turns: Iterator[Callable[[System], str]]) -> int:
        """Let mail flow and do these things now and then, until all has come to rest; how many messages were sent."""
        before = len(self.ledger.answered)
        load = Load(self._server, 0, self.ledger, pause=0.4, stay=20)
        with coming(self.readers.visit, pause=0.1):
            with contextlib.ExitStack() as rude:
                for _ in range(6):
                    rude.enter_context(coming(self.passers.visit, pause=0.2))
                load.start()
                self._disturb(seconds, turns)
                load.stop()
            until(self._at_rest, "everything to be delivered, read and removed", seconds=1200)
        return len(self.ledger.answered) - before

    def _disturb(self, seconds: float, turns: Iterator[Callable[[System], str]]) -> None:
        began = time.monotonic()
        every = min(20.0, seconds / 5)
        while (left := began + seconds - time.monotonic()) > every:
            time.sleep(self._system.dice.uniform(0.5, 1) * every)
            way = next(turns)
            about = way(self._system)
            self.happened[way.__name__.replace("_", " ")] += 1
            self._note_events()
            print(
                f"{time.strftime('%H:%M:%S')}  {len(self.ledger.answered):7} messages  "
                f"{self._server.anonymous_memory() / 1e6:6.1f} MB  {way.__name__.replace('_', ' ')}: {about}",
                flush=True,
            )
        time.sleep(max(left, 0))

    def _note_events(self) -> None:
        """Count them and let them go: an hour's events are too many to keep."""
        events = self._server.forget()
        assert [event for event in events if event["event"] in ("bug", "quarantined") and not _wanted(event)] == []
        self.happened.update(event["event"] for event in events)

    def _at_rest(self) -> bool:
        time.sleep(0.5)  # for to look costs something
        data = self._server.folder / "var"
        self._note_events()
        return (
            {*self._server.workers()} == self._workers
            and not self._remote.open
            and not any(environment(data / name).messages for name in ENVIRONMENTS)
        )


def _wanted(event: Event) -> bool:
    """Whether it is what ``refused_reload`` is about."""
    return "opening revision" in event.get("where", "")


def complaints(before: Holdings, after: Holdings, messages: int, had: int) -> Iterator[str]:
    """What has grown though it should not: ``messages`` were sent meanwhile, and Bob has ever had so many."""
    for name, process in after.processes.items():
        yield from grown(name, before.processes[name], process, messages)
    for name, held in after.environments.items():
        if held.reading:
            yield f"{name}: a transaction is open, by process: {dict(held.reading)}"
        if stale := after.stale(name):
            yield f"{name}: {stale} slots of processes that are no more"
        if max(held.slots.values(), default=0) > SPARE_TRANSACTIONS:
            yield f"{name}: more slots than spare transactions, by process: {dict(held.slots)}"
        earlier = before.environments[name]
        if held.size - earlier.size > FILE + held.live - earlier.live:
            yield f"{name}: the file has grown from {earlier.size:,} to {held.size:,} octets"
    if (remembered := after.environments["mailbox"].entries["delivered"]) != had:
        yield f"mailbox: {remembered} deliveries are remembered, and {had} messages were read"
    if more_files := after.files - before.files - leftovers(before, after):
        yield f"files: {sorted(more_files)}"


def leftovers(before: Holdings, after: Holdings) -> set[str]:
    """Files that may be more: revisions, which are kept; and content that workers which have died had not stored."""
    revisions = {file for file in after.files if file.startswith("revisions/")}
    if all(process.pid == before.processes[name].pid for name, process in after.processes.items()):
        return revisions
    return revisions | {file for file in after.files if file.startswith("content/")}


def grown(name: str, before: Process, after: Process, messages: int) -> Iterator[str]:
    """The same of one process, or of the one that came in its place."""
    if more := after.descriptors - before.descriptors:
        yield f"{name}: more descriptors: {more}"
    if more := after.tasks - before.tasks:
        yield f"{name}: more tasks: {more}"
    if after.threads > before.threads + 1:  # that of the history begins when there is something to note
        yield f"{name}: {after.threads} threads instead of {before.threads}"
    if after.blocks - before.blocks > SPARE + BLOCKS * messages + KEPT * max(after.kept - before.kept, 0):
        kinds = (after.kinds - before.kinds).most_common(10)
        yield f"{name}: {after.blocks - before.blocks:,} more blocks; of objects: {kinds}"


def more_memory(before: Holdings, after: Holdings) -> Iterator[str]:
    """Whether memory has grown faster than it may."""
    seconds, more = after.when - before.when, after.memory - before.memory
    if seconds > LONG and more > MEMORY * seconds / 3600:
        yield f"memory has grown by {more / 1e6:.1f} MB in {seconds:.0f} seconds"


def settled(server: Postroad, before: Holdings, messages: int, had: int) -> tuple[Holdings, list[str]]:
    """What is held when there is nothing to complain of, or patience has come to its end; and the complaints."""
    end = time.monotonic() + PATIENCE
    while True:
        held = holdings(server)
        found = [*complaints(before, held, messages, had)]
        if not found or time.monotonic() > end:
            return held, found
        time.sleep(1)


def test_nothing_leaks(prepared: Postroad, remote: Remote, zone: Zone, tmp_path: Path) -> None:
    remote.received = Headings()
    tell(prepared)
    prepared.change(
        {
            "tls": Certificates(tmp_path / "tls").settings,
            "mailboxes": {"keep_expunged": "0s"},  # what is read and removed is to be gone
            "stage": {"accept": {"command_timeout": "5s"}, "relay": {"idle": "2s"}},
        }
    )
    soak = Soak(System(prepared.start(), remote, zone, Clock(tmp_path / "clock"), seeded()))
    calm = itertools.cycle((reload, edit_a_filter, refused_reload))
    deadly = itertools.cycle((kill_a_worker, kill_a_worker, reload))
    soak.run(SECONDS * 0.15, calm)
    time.sleep(REST)
    held: dict[str, Holdings] = {"warm": holdings(prepared)}
    found: dict[str, list[str]] = {}
    messages = 0
    for name, share, turns in (("halfway", 0.3, calm), ("worked", 0.3, calm), ("killed", 0.25, deadly)):
        messages += soak.run(SECONDS * share, turns)
        held[name], found[name] = settled(prepared, held["warm"], messages, len(soak.readers))
        print(table(held), *found[name], sep="\n", flush=True)
    found["worked"] += more_memory(held["halfway"], held["worked"])
    print(f"{len(soak.ledger.answered)} messages, {soak.passers.visits} rude visits, {dict(soak.happened)}")
    assert not any(found.values()), found
    with coming(soak.readers.visit, pause=0.5):
        settle_accounts(prepared, remote, soak.ledger, soak.happened["worker-died"] + 1, bobs=soak.readers.tokens)
    verify(prepared)
    assert [*(prepared.folder / "var" / "content").iterdir()] == []  # the start has removed what the dead had left
