"""A queue of QUEUE_MESSAGES messages: what an operator asks is answered rightly, and it is said how long that took.

``make queue-figures`` has a million of them. No test fails for time.
"""

import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable

import pytest

from engine.queue.store import HELD
from tests.support.queued import Known, fill, known
from tests.support.server import Postroad

MESSAGES = int(os.environ.get("QUEUE_MESSAGES", "60000"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Postroad:
    found = Postroad(tmp_path_factory.mktemp("million"))
    fill(found.folder / "var", MESSAGES)
    return found


@pytest.fixture(scope="module")
def records(server: Postroad) -> list[Known]:
    return list(known(server.folder / "var"))


def asked(server: Postroad, *arguments: str) -> str:
    began, used = time.perf_counter(), _used()
    done = server.command("queue", *arguments)
    took, used = time.perf_counter() - began, _used() - used
    assert done.returncode == 0, done.stderr
    about = f"{took:6.2f} s, {used:5.2f} s of processors, for {MESSAGES:,} messages"
    print(f"{about}: postroad queue {' '.join(arguments)}")
    return done.stdout


def _used() -> float:
    """Seconds of processor time of all commands so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_counts(server: Postroad, records: list[Known]) -> None:
    day = [time.time() - 86400]
    holds: dict[str, Callable[[Known], bool]] = {
        'domain == "d0007.test"': lambda one: one.domain == "d0007.test",
        'domain == "D0007.test" and age > 1d and attempts >= 3': lambda one: (
            one.domain == "d0007.test" and one.arrived < day[0] and one.attempts >= 3
        ),
        'tenant == "t7" and scan.score > 10': lambda one: one.tenant == "t7" and one.score > 10,
        'reply like "452*full*"': lambda one: one.reason.startswith("452"),
        'state == "held"': lambda one: one.state == HELD,
        'line == "d0007.test"': lambda one: one.line == "d0007.test",
        "attempts == 5": lambda one: one.attempts == 5,
        "True": lambda _: True,
    }
    for condition, test in holds.items():
        day[0] = time.time() - 86400
        least = sum(map(test, records))
        found = json.loads(asked(server, "list", "--count", "--json", condition))["messages"]
        day[0] = time.time() - 86400  # some may have come of age meanwhile
        assert least <= found <= sum(map(test, records)), condition


def test_lists(server: Postroad, records: list[Known]) -> None:
    def ids(*arguments: str) -> list[str]:
        return asked(server, "list", "--columns", "id", "--limit", "100", *arguments).split()

    in_order = sorted(records)
    assert ids() == [one.name for one in in_order[:100]]
    assert ids("--reverse") == [one.name for one in in_order[:-101:-1]]
    assert ids('domain == "d0005.test"') == [one.name for one in in_order if one.domain == "d0005.test"][:100]
    by_age = sorted(records, key=lambda one: (one.arrived, one.id))
    assert ids("--sort", "age") == [one.name for one in by_age[:100]]
    one = in_order[len(in_order) // 2]
    assert ids(one.name) == [one.name]
    assert f"@{one.domain}\n" in asked(server, "show", one.name)


def test_tables(server: Postroad, records: list[Known]) -> None:
    domains = Counter(one.domain for one in records)
    most = sorted(domains.items(), key=lambda item: (-item[1], item[0]))[:20]
    found = json.loads(asked(server, "top", "--json"))
    assert found["all"]["messages"] == len(records)
    assert [(group["domain"], group["messages"]) for group in found["groups"]] == most
    for group, many in (("reply", 3), ("sender", min(15_000, MESSAGES)), ("tenant", 20), ("site", len(domains))):
        groups = json.loads(asked(server, "top", "--by", group, "--limit", "0", "--json"))["groups"]
        assert (len(groups), sum(one["messages"] for one in groups)) == (many, len(records))
