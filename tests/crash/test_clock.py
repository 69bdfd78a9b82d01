"""The clock jumps: nothing is lost, nothing returned, and nothing waits until a false future comes."""

from tests.crash.system import FAR, Load, settle_accounts, verify
from tests.support.clock import Clock
from tests.support.programs import needs
from tests.support.remote import Remote
from tests.support.server import Postroad, until

JUMPS = ["+2d", "-1d", "+40d", "+0"]
"""40 days: more than mail may wait, and than deliveries are remembered."""

LATER = {f"RCPT {FAR}": "450 4.2.0 Later"}


@needs("faketime")
def test_the_clock_jumps_while_mail_flows_and_some_waits(prepared: Postroad, remote: Remote, clock: Clock) -> None:
    # Only a jump lets what waits go on. Nobody is told that it is late: Bob would have that letter's token twice.
    prepared.change({"stage": {"relay": {"retry": ["1h"]}}, "queue": {"delay_warning": "0s"}})
    server = prepared.start()
    ready = remote.script
    load = Load(server, messages=0)
    load.start()
    for ahead in JUMPS:
        remote.script = {**ready, **LATER}
        deferred = len(server.all("deferred"))
        until(lambda before=deferred: len(server.all("deferred")) > before + 20, "mail that is put off")  # type: ignore[misc]
        clock.set(ahead)
        load.until_answered(len(load.ledger.answered) + 50)
        remote.script = ready
    load.stop()
    clock.set("+2h")  # an hour for what was put off last, and what is left of another for the relay's jitter
    settle_accounts(server, remote, load.ledger, crashes=0)
    verify(server)
    assert server.all("failed", code="5.4.7") == []
    server.wait_for("clock-set-back")
