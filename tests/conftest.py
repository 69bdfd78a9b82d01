"""Fixtures for every test, and the mark of those that drive a whole server."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing
import zmq
from hypothesis import HealthCheck, settings

from tests.support import costs
from tests.support.examples import TIMES
from tests.support.redis import Redis

# A busy machine fails no test.
settings.register_profile(
    "postroad", max_examples=100 * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("postroad")

TESTS = Path(__file__).parent
SYSTEM = {"bench", "clients", "crash", "operations"}


def drives_servers(path: Path, module: ModuleType) -> bool:
    """Whether the tests of a module drive whole servers."""
    return path.relative_to(TESTS).parts[0] in SYSTEM or hasattr(module, "Postroad")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Every process of `make test` would import what it leaves out."""
    left_out = collection_path.parent == TESTS and collection_path.name in SYSTEM
    return True if left_out and config.option.markexpr.endswith("not system") else None


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark what `make test` leaves to `make test-system`, and begin with what takes longest."""
    for item in items:
        if drives_servers(item.path, item.module):
            item.add_marker(pytest.mark.system)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="module")
def _cheap_passwords(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where no server in another process hashes them too, with costs of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if not drives_servers(request.path, request.module):
            costs.lower(patch)
        yield


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    """A clock that jumps to what is waited for, once all wait and no thread works that is not to be abandoned.

    Trio's own takes no heed of threads: minutes pass on it while a disk commits.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    run_sync = trio.to_thread.run_sync
    working, threshold = 0, 0.0

    async def work(*args: Any, **options: Any) -> Any:
        nonlocal working, threshold
        if options.get("abandon_on_cancel"):
            return await run_sync(*args, **options)
        if not working:
            threshold = clock.autojump_threshold  # of a test that says itself when the clock jumps
            clock.autojump_threshold = math.inf
        working += 1
        try:
            return await run_sync(*args, **options)
        finally:
            working -= 1
            if not working:
                clock.autojump_threshold = threshold

    monkeypatch.setattr(trio.to_thread, "run_sync", work)
    return clock


@pytest.fixture
def context():
    """A ZeroMQ context that is gone, with all its sockets, when the test ends."""
    found = zmq.Context()
    yield found
    found.destroy(linger=0)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A real server that nodes share."""
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may pass through, unlike that of a test."""
    with tempfile.TemporaryDirectory(prefix="postroad-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
