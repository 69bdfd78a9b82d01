"""Scanners are killed, held up and started again, for CRASH_SECONDS, while clean mail, spam and viruses come in."""

import os
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.crash.faults import System, kill_a_worker, kill_everything, reload
from tests.crash.system import BOB, FAR, LANES, Load, reasons, settle_accounts, verify
from tests.support.clock import Clock
from tests.support.dice import seeded
from tests.support.programs import marks
from tests.support.remote import Remote
from tests.support.scanners import EICAR, GTUBE, Clamd, Daemon, Rspamd, attached
from tests.support.server import Postroad, letter, until

pytestmark = marks("rspamd", "clamd", "faketime")

SECONDS = float(os.environ.get("CRASH_SECONDS") or 15)


@dataclass
class Villains:
    """Clients that send what must never arrive, and take no for an answer."""

    server: Postroad
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
        count = 0
        while not self._over.is_set():
            count += 1
            subject = f"villain-{number}-{count}"
            content = attached(EICAR, subject=subject) if count % 2 else letter(subject, GTUBE)
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


@pytest.fixture
def scanners(tmp_path: Path) -> Iterator[tuple[Rspamd, Clamd]]:
    with ExitStack() as stack:
        yield stack.enter_context(Rspamd(tmp_path / "rspamd")), stack.enter_context(Clamd(tmp_path / "clamd"))


def kill(daemon: Daemon, system: System) -> str:
    daemon.kill()
    seconds = system.dice.choice([0, 1, 4])
    time.sleep(seconds)
    daemon.start()
    return f"gone for {seconds} s"


def start_anew(daemon: Daemon, system: System) -> str:
    daemon.stop()
    daemon.start()
    return "in order"


def hold_up(daemon: Daemon, system: System) -> str:
    seconds = system.dice.choice([0.2, 1, 5])  # the last one for longer than it has for an answer
    with daemon.held_up():
        time.sleep(seconds)
    return f"for {seconds:g} s"


def slow_down(daemon: Daemon, system: System) -> str:
    for _ in range(20):
        with daemon.held_up():
            time.sleep(0.08)
        time.sleep(0.02)
    return "to a fifth of its time, for 2 s"


OF_SCANNERS: tuple[Callable[[Daemon, System], str], ...] = (kill, start_anew, hold_up, slow_down)
OF_THE_SERVER = (kill_a_worker, kill_everything, reload)


def test_nothing_is_lost_and_nothing_comes_by_unscanned(
    prepared: Postroad, remote: Remote, zone: Zone, clock: Clock, scanners: tuple[Rspamd, Clamd]
) -> None:
    rspamd, clamd = scanners
    scan = {
        "rspamd": {**rspamd.settings, "time_limit": "2s"},
        "clamav": {**clamd.settings, "time_limit": "2s"},
    }
    inbound = {"stages": ["accept", "before", "scan", "queue", "after", "route"]}
    prepared.change({"lane": {**LANES, "inbound": inbound}, "stage": {"scan": scan}})
    server = prepared.start()
    system = System(server, remote, zone, clock, seeded())
    load, villains = Load(server, messages=0), Villains(server)
    load.start()
    villains.start()
    began, faults = time.monotonic(), 0
    while time.monotonic() - began < SECONDS:
        answered, refused = len(load.ledger.answered), villains.refused
        if system.dice.random() < 0.8:
            daemon, of_scanners = system.dice.choice(scanners), system.dice.choice(OF_SCANNERS)
            about = f"{of_scanners.__name__} {type(daemon).__name__}: {of_scanners(daemon, system)}"
        else:
            fault = system.dice.choice(OF_THE_SERVER)
            about = f"{fault.__name__}: {fault(system)}"
        faults += 1
        print(f"{time.monotonic() - began:6.1f} s  {about.replace('_', ' ')}", flush=True)
        until(lambda before=answered: len(load.ledger.answered) >= before + 20, f"mail to flow again after {about}")  # type: ignore[misc]
        until(lambda before=refused: villains.refused >= before + 2, f"spam to be refused again after {about}")  # type: ignore[misc]
        verify(server)
    load.stop()
    villains.stop()
    print(f"{villains.refused} villains refused, {villains.put_off} put off; {load.ledger.told_waits()}")
    assert villains.accepted == []
    settle_accounts(server, remote, load.ledger, crashes=system.deaths + reasons(server) + faults)
    arrived = [*server.mailbox(BOB, lines=30), *(message.content for message in remote.received)]
    assert [content for content in arrived if b"\r\nSubject: villain-" in content] == []
    verify(server)
