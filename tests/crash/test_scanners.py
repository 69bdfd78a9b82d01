"""Scanners are killed, held up and started again, for CRASH_SECONDS, while clean mail, spam and viruses come in."""

import os
import random
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from engine.net.zone import Zone
from tests.crash.faults import System, kill_a_worker, kill_everything, reload
from tests.crash.system import BOB, CLIENTS, FAR, LANES, Load, reasons, settle_accounts, verify
from tests.support.clock import Clock
from tests.support.dice import seeded
from tests.support.filters_of_others import ClamavMilter, HookServer, Judges, Opendkim, Spamd
from tests.support.programs import needs
from tests.support.remote import Remote
from tests.support.scanners import EICAR, GTUBE, Clamd, Rspamd, attached
from tests.support.server import PATIENCE, Postroad, Settings, letter, until

SECONDS = float(os.environ.get("CRASH_SECONDS") or 15)

AT_MOST = PATIENCE
"""Seconds that hardly any client waits for its reply, whatever happens to scanners, and until mail flows again.

It is far more than it takes on a machine that is busy with other tests, and far less than a client's patience, which is
ten minutes (RFC 5321 4.5.3.2.6)."""

Letter = Callable[[str], bytes]
"""What has this subject, and must never arrive."""


class Scanner(Protocol):
    """What can be killed, held up and started again."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def held_up(self) -> AbstractContextManager[None]: ...


def virus(subject: str) -> bytes:
    return attached(EICAR, subject=subject)


def spam(subject: str) -> bytes:
    return letter(subject, GTUBE)


def villain(word: str) -> Letter:
    """What a scanner that seeks this word refuses."""
    return lambda subject: letter(subject, word)


@dataclass
class Villains:
    """Clients that send what must never arrive, and take no for an answer."""

    server: Postroad
    letters: Sequence[Letter]
    refused: int = 0
    put_off: int = 0
    accepted: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(3)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(300)

    def _run(self, number: int) -> None:
        count = number
        while not self._over.is_set():
            count += 1
            subject = f"villain-{number}-{count}"
            content = self.letters[count % len(self.letters)](subject)
            try:
                with self.server.smtp() as connection:
                    connection.sendmail(BOB, [BOB, FAR], content)
            except smtplib.SMTPResponseException as error:
                self.refused += error.smtp_code >= 500
                self.put_off += error.smtp_code < 500
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)
            else:
                self.accepted.append(subject)
            time.sleep(0.02)


def kill(daemon: Scanner, dice: random.Random, limit: float) -> str:
    daemon.kill()
    seconds = dice.choice([0, 1, 4])
    time.sleep(seconds)
    daemon.start()
    return f"gone for {seconds} s"


def start_anew(daemon: Scanner, dice: random.Random, limit: float) -> str:
    daemon.stop()
    daemon.start()
    return "in order"


def hold_up(daemon: Scanner, dice: random.Random, limit: float) -> str:
    seconds = dice.choice([0.2, 1, limit + 3])  # the last one for longer than it has for an answer
    with daemon.held_up():
        time.sleep(seconds)
    return f"for {seconds:g} s"


def slow_down(daemon: Scanner, dice: random.Random, limit: float) -> str:
    for _ in range(20):
        with daemon.held_up():
            time.sleep(0.08)
        time.sleep(0.02)
    return "to a fifth of its time, for 2 s"


OF_SCANNERS: tuple[Callable[[Scanner, random.Random, float], str], ...] = (kill, start_anew, hold_up, slow_down)
OF_THE_SERVER = (kill_a_worker, kill_everything, reload)


class Campaign:
    """One fault after the other, while clean mail must flow and villains must be refused."""

    def __init__(
        self,
        system: System,
        scanners: Sequence[Scanner],
        letters: Sequence[Letter],
        *,
        limit: float = 2.0,
        clients: int = CLIENTS,
        more: int = 20,
    ) -> None:
        """``limit``: seconds that each scanner has for an answer. ``clients``: those that send clean mail. ``more``:
        messages that must have come through after a fault before there is another one."""
        self.system = system
        self.scanners = scanners
        self.limit = limit
        self.more = more
        self.load = Load(system.server, messages=0, clients=clients)
        self.villains = Villains(system.server, letters)
        self.recoveries: list[float] = []  # seconds from the end of a fault until mail flowed, and spam was refused
        self.faults = 0

    def run(self) -> None:
        self.load.start()
        self.villains.start()
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            about = self._break_something().replace("_", " ")
            print(f"{time.monotonic() - began:6.1f} s  {about}", flush=True)
            try:
                self._recover(about)
            except AssertionError:
                print(Counter(str(one.get("error")) for one in self.system.server.all("stage-failed")[-200:]))
                raise
            verify(self.system.server)
        self.load.stop()
        self.villains.stop()

    def _break_something(self) -> str:
        self.faults += 1
        dice = self.system.dice
        if dice.random() < 0.8:
            daemon, of_scanners = dice.choice(self.scanners), dice.choice(OF_SCANNERS)
            return f"{of_scanners.__name__} {type(daemon).__name__}: {of_scanners(daemon, dice, self.limit)}"
        fault = dice.choice(OF_THE_SERVER)
        return f"{fault.__name__}: {fault(self.system)}"

    def _recover(self, about: str) -> None:
        answered, refused, over = len(self.load.ledger.answered), self.villains.refused, time.monotonic()
        until(lambda: len(self.load.ledger.answered) > answered, f"mail to flow again after {about}")
        until(lambda: self.villains.refused > refused, f"spam to be refused again after {about}")
        self.recoveries.append(time.monotonic() - over)
        until(lambda: len(self.load.ledger.answered) >= answered + self.more, f"more mail after {about}")
        until(lambda: self.villains.refused >= refused + 2, f"more spam to be refused after {about}")

    def settle(self, marks: Sequence[bytes]) -> None:
        """Nothing is lost, nobody waited without an end, and each message that arrived has the mark of each scanner."""
        server, villains, recoveries = self.system.server, self.villains, sorted(self.recoveries)
        print(f"{villains.refused} villains refused, {villains.put_off} put off; {self.load.ledger.told_waits()}")
        print(f"mail flowed again after {recoveries[len(recoveries) // 2]:.2f} s, {recoveries[-1]:.2f} s at most")
        assert villains.accepted == []
        crashes = self.system.deaths + reasons(server) + self.faults
        settle_accounts(server, self.system.remote, self.load.ledger, crashes=crashes)
        arrived = [*server.mailbox(BOB, lines=30), *(message.content for message in self.system.remote.received)]
        assert [content for content in arrived if b"\r\nSubject: villain-" in content] == []
        for content in arrived:
            header = content.partition(b"\r\n\r\n")[0]
            if b"\r\nSubject: token-" in header:  # no report
                assert [mark for mark in marks if mark not in header] == []
        verify(server)
        waits = sorted(self.load.ledger.waits)
        assert waits[len(waits) * 99 // 100] < AT_MOST
        assert recoveries[-1] < AT_MOST


def scanning(stages: Mapping[str, Settings]) -> Settings:
    """Settings with these stages before `queue`."""
    inbound = {"stages": ["accept", "before", *stages, "queue", "after", "route"]}
    return {"lane": {**LANES, "inbound": inbound}, "stage": dict(stages)}


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def started(prepared: Postroad, remote: Remote, zone: Zone, clock: Clock) -> Callable[[Settings], System]:
    """Starts the server with these settings more."""

    def start(settings: Settings) -> System:
        prepared.change(settings)
        return System(prepared.start(), remote, zone, clock, seeded())

    return start


@needs("rspamd", "clamd", "faketime")
def test_nothing_is_lost_and_nothing_comes_by_unscanned(
    started: Callable[[Settings], System], opened: ExitStack, tmp_path: Path
) -> None:
    rspamd = opened.enter_context(Rspamd(tmp_path / "rspamd"))
    clamd = opened.enter_context(Clamd(tmp_path / "clamd"))
    scan = {"rspamd": {**rspamd.settings, "time_limit": "2s"}, "clamav": {**clamd.settings, "time_limit": "2s"}}
    campaign = Campaign(started(scanning({"scan": scan})), (rspamd, clamd), (virus, spam))
    campaign.run()
    campaign.settle(marks=[])


@needs("opendkim", "clamav-milter", "clamd", "spamd", "spamc", "faketime")
def test_nothing_comes_by_milters_commands_and_hooks(
    started: Callable[[Settings], System], opened: ExitStack, tmp_path: Path
) -> None:
    clamd = opened.enter_context(Clamd(tmp_path / "clamd"))
    milter = opened.enter_context(ClamavMilter(tmp_path / "milter", clamd))
    opendkim = opened.enter_context(Opendkim(tmp_path / "opendkim"))
    spamd = opened.enter_context(Spamd())
    hooks, judges = opened.enter_context(HookServer()), Judges()
    system = started(
        scanning(
            {
                "opendkim": {**opendkim.settings, "time_limit": "10s"},
                "clamav": {**milter.settings, "time_limit": "10s"},
                "pool": {**judges.settings, "time_limit": "10s"},
                "hooks": {**hooks.settings, "time_limit": "10s"},
                "spamassassin": {**spamd.settings, "time_limit": "4s"},
            }
        )
    )
    judges.server = system.server
    letters = (virus, spam, villain("hook-villain"), villain("pool-villain"))
    # Each letter passes five of them, one after the other: more clients would only wait for one another.
    campaign = Campaign(system, (clamd, milter, opendkim, spamd, hooks, judges), letters, limit=10.0, clients=5, more=5)
    campaign.run()
    campaign.settle(
        marks=[b"\r\nX-Virus-Scanned: ", b"Authentication-Results: opendkim.test", b"X-Hook: ", b"X-Judge: "]
    )
