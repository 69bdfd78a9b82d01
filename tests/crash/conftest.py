"""The system that is to be broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.crash.system import BOB, FILTER, LANES, NOBODY
from tests.support.background import dns, smtp_server
from tests.support.clock import Clock
from tests.support.remote import Remote
from tests.support.server import Postroad


@pytest.fixture
def remote() -> Iterator[Remote]:
    with smtp_server(Remote(script={f"RCPT {NOBODY}": "550 5.1.1 No such user"})) as remote:
        yield remote


@pytest.fixture
def zone() -> Zone:
    """Of the remote domain. Its records are soon asked for again, so that trouble with them is met."""
    return Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}}, ttl=1)


@pytest.fixture
def prepared(tmp_path: Path, remote: Remote, zone: Zone) -> Iterator[Postroad]:
    """The server, not started yet; it is gone after the test."""
    with dns(zone) as address:
        settings = {
            "dns": {"servers": [address], "timeout": "2s"},
            "queue": {"retry": ["1s"]},
            "lane": LANES,
            "stage": {
                "before": {"use": "filters/before.py", "workers": 2},
                "after": {"use": "filters/after.py", "workers": 2},
                "relay": {"workers": 1, "connections": 5},
                "resolve": {"port": remote.port},
            },
        }
        filters = {name: FILTER.format(name=name) for name in ("before", "after")}
        server = Postroad(tmp_path, settings, **filters).account(BOB)
        yield server
        if server.running:
            server.kill()


@pytest.fixture
def clock(prepared: Postroad, tmp_path: Path) -> Clock:
    """The clock that the server's processes see, once it is started."""
    clock = Clock(tmp_path / "clock")
    prepared.environment = clock.environment
    return clock


@pytest.fixture
def server(prepared: Postroad) -> Postroad:
    return prepared.start()
