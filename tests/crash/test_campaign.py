"""One fault after the other, for CRASH_SECONDS (20 if not said), while mail flows: `make crash`.

The seed is printed. POSTROAD_SEED repeats the faults and their order; their moments depend on the machine as well.
"""

import os
import time

from engine.net.zone import Zone
from tests.crash.faults import FAULTS, System
from tests.crash.mailers import EVE, Mailers
from tests.crash.system import Load, reasons, settle_accounts, verify
from tests.support.clock import Clock
from tests.support.dice import seeded
from tests.support.programs import needs
from tests.support.remote import Remote
from tests.support.server import Postroad, until

SECONDS = float(os.environ.get("CRASH_SECONDS") or 20)


@needs("strace", "faketime")
def test_nothing_is_lost_and_nothing_doubled_whatever_breaks(
    prepared: Postroad, remote: Remote, zone: Zone, clock: Clock
) -> None:
    timeouts = {"command_timeout": "5s", "data_timeout": "5s", "final_timeout": "5s"}
    prepared.change({"server": {"hang": "10s"}, "stage": {"relay": timeouts}, "listen": {"imap": "127.0.0.1:0"}})
    server = prepared.account(EVE).start()
    system = System(server, remote, zone, clock, seeded())
    load = Load(server, messages=0)
    load.start()
    mailers = Mailers(server)
    mailers.start()
    began = time.monotonic()
    faults = 0
    while time.monotonic() - began < SECONDS:
        fault = system.dice.choice(FAULTS)
        time.sleep(system.dice.random())
        answered, mailed = len(load.ledger.answered), mailers.answered
        about = fault(system)
        faults += 1
        print(f"{time.monotonic() - began:6.1f} s  {fault.__name__.replace('_', ' ')}: {about}", flush=True)
        until(lambda before=answered: len(load.ledger.answered) >= before + 20, f"mail to flow again after {fault}")  # type: ignore[misc]
        mailers.until_answered(mailed + 5)
        verify(server)
    load.stop()
    mailers.stop()
    mailers.settle()
    mailers.settle_index()
    settle_accounts(server, remote, load.ledger, crashes=system.deaths + reasons(server) + faults)
    verify(server)
