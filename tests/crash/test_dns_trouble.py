"""DNS is silent, slow or lies: mail waits, goes nowhere else, and goes out once when DNS is well.

All cases share one server, and go through it side by side.
"""

from collections.abc import Iterator

import pytest

from engine.net.zone import Fault, Zone
from tests.crash.system import tokens
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

FAULTS = {
    f"{fault.value if fault else 'answers too late'}, {what}": (fault, name)
    for fault in (None, *Fault)
    if fault is not Fault.TRUNCATED  # no fault to a resolver
    for what, name in (("its domain", "d{}"), ("its server", "m{}"))
}
"""None: it answers, too late. The name of a case's domain or of its server, with its number."""


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """How often each case's message has come, when all is well again."""
    zone = Zone("cases.test", ttl=1)
    for number, (fault, name) in enumerate(FAULTS.values()):
        zone.set(f"d{number}", "MX", f"10 m{number}")
        zone.set(f"m{number}", "A", "127.0.0.1")
        _fail(zone, name.format(number), fault)
    with smtp_server(Remote()) as remote, dns(zone) as address:
        settings = {
            "server": {"workers": 1},
            "dns": {"servers": [address], "timeout": "1s"},
            "queue": {"retry": ["1s"]},
            "stage": {"resolve": {"port": remote.port}},
        }
        with Postroad(tmp_path_factory.mktemp("dns"), settings) as server:
            for number in range(len(FAULTS)):
                server.send(letter(f"token-{number}-"), f"bob@d{number}.cases.test")
            for number in range(len(FAULTS)):
                server.wait_for("deferred", to=f"bob@d{number}.cases.test", code="4.4.3")
            assert remote.received == []
            for number, (_, name) in enumerate(FAULTS.values()):
                _mend(zone, name.format(number))
            until(lambda: len(remote.received) >= len(FAULTS), "all of the mail")
            until(lambda: server.queued() == 0, "an empty queue")
            yield tokens([received.content for received in remote.received])


def _fail(zone: Zone, name: str, fault: Fault | None) -> None:
    if fault is None:
        zone.delay(name, 3)
    else:
        zone.fail(name, fault)


def _mend(zone: Zone, name: str) -> None:
    zone.delay(name, 0)
    zone.fail(name, None)


@pytest.mark.parametrize("name", FAULTS)
def test_a_name_server_that(arrived: dict[str, int], name: str) -> None:
    assert arrived[f"token-{[*FAULTS].index(name)}-"] == 1
