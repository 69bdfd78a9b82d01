"""Orders about a queue of QUEUE_MESSAGES messages of a running server, with mail coming in all the time.

``make queue-figures`` has a million of them, and says how long each answer took. No test fails for time.
"""

import json
import os
import time
from collections.abc import Callable, Iterator

import pytest

from engine.queue.store import HELD, QUARANTINED
from tests.support.load import Load, subjects
from tests.support.queued import Known, fill, known
from tests.support.server import Postroad, until

MESSAGES = int(os.environ.get("QUEUE_MESSAGES", "20000"))
BOB = "bob@example.org"

SINK = '''
"""Takes nothing yet."""
from dataclasses import dataclass
from typing import ClassVar

from engine import Defer, Message

@dataclass
class Sink:
    effect: ClassVar[bool] = True

    async def __call__(self, message: Message):
        return Defer("not now", "4.2.0", retry_after=86400)
'''

SETTINGS = {
    "queue": {"delay_warning": "0s"},
    "lane": {"remote": {"stages": ["sink"]}, "aside": {"stages": ["sink"]}},
    "route": [
        {"to": "local", "lane": "local"}, {"to": "aside.test", "lane": "aside"}, {"to": "*", "lane": "remote"},
    ],
    "stage": {"sink": {"use": "filters/sink.py"}, "resolve": None, "relay": None},
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Postroad, list[Known]]:
    """A queue of which nothing is due for a day, and what is in it; nobody runs on it yet."""
    server = Postroad(tmp_path_factory.mktemp("queue"), SETTINGS, sink=SINK).account(BOB)
    fill(server.folder / "var", MESSAGES, later=86400)
    return server, list(known(server.folder / "var"))


@pytest.fixture(scope="module")
def server(records: tuple[Postroad, list[Known]]) -> Iterator[Postroad]:
    server, _ = records
    with server:
        with Load(server, BOB, clients=2, pause=0.02) as load:
            yield server
            load.flows()
        print(f"{len(load.accepted):,} messages came in meanwhile; the slowest took {load.slowest:.2f} s")
        assert (load.broken, load.refused, load.put_off) == ([], [], [])
        assert sorted(subjects(server.mail_for(BOB, len(load.accepted)))) == sorted(load.accepted)


def asked(server: Postroad, *arguments: str) -> str:
    began = time.perf_counter()
    done = server.command("queue", *arguments)
    print(f"{time.perf_counter() - began:6.2f} s under load: postroad queue {' '.join(arguments)}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(server: Postroad, condition: str) -> int:
    return int(json.loads(asked(server, "list", "--count", "--json", condition))["messages"])


def of(records: tuple[Postroad, list[Known]], domain: str, *without: str) -> int:
    """How many there were for a domain, but for those in these states."""
    found = sum(one.domain == domain and one.state not in without for one in records[1])
    assert found
    return found


def test_each_word_of_the_filter_counts_right(server: Postroad, records: tuple[Postroad, list[Known]]) -> None:
    day = [time.time() - 86400]
    holds: dict[str, Callable[[Known], bool]] = {
        'sender like "user7@*"': lambda one: one.sender.startswith("user7@"),
        'recipient like "u1*@d0001.test"': lambda one: one.recipient.startswith("u1") and one.domain == "d0001.test",
        'domain == "d0002.test" and size > 10': lambda one: one.domain == "d0002.test",
        'site == "mx.d0003.test"': lambda one: one.domain == "d0003.test",
        "age > 1d and attempts >= 3": lambda one: one.arrived < day[0] and one.attempts >= 3,
        'reply like "452*full*"': lambda one: one.reason.startswith("452"),
        "scan.score > 10": lambda one: one.score > 10,
        'lane == "inbound" and tenant == "t3"': lambda one: one.tenant == "t3",
        'state == "quarantined" and tenant == "t4"': lambda one: one.state == QUARANTINED and one.tenant == "t4",
    }
    for condition, test in holds.items():
        day[0] = time.time() - 86400
        least = sum(map(test, records[1]))
        assert least, condition
        found = counted(server, condition)
        day[0] = time.time() - 86400  # some may have come of age meanwhile
        assert least <= found <= sum(map(test, records[1])), condition


def ordered(server: Postroad, order: str, condition: str, expected: int, *options: str) -> None:
    """Count first, without doing anything; then do it."""
    told = json.loads(asked(server, order, "--dry-run", "--json", *options, condition))
    assert (told["selected"], told["done"], told["dry_run"]) == (expected, 0, True)
    told = json.loads(asked(server, order, "--yes", "--json", *options, condition))
    assert (told["selected"], told["done"]) == (expected, expected)


def test_held_and_let_go(server: Postroad, records: tuple[Postroad, list[Known]]) -> None:
    where = 'domain == "d0004.test"'
    both = of(records, "d0004.test", QUARANTINED)
    ordered(server, "hold", where, of(records, "d0004.test", QUARANTINED, HELD))
    assert counted(server, f'{where} and state == "held"') == both
    ordered(server, "release", f'{where} and state == "held"', both)
    assert counted(server, f'{where} and state == "held"') == 0


@pytest.mark.parametrize(
    ("order", "domain", "not_meant"),
    [("retry", "d0005.test", (QUARANTINED, HELD)), ("reroute", "d0006.test", (QUARANTINED,))],
)
def test_tried_now(
    server: Postroad, records: tuple[Postroad, list[Known]], order: str, domain: str, not_meant: tuple[str, ...]
) -> None:
    where, options = f'domain == "{domain}"', ("--lane", "aside") if order == "reroute" else ()
    ordered(server, order, where, of(records, domain, *not_meant), *options)
    tried = of(records, domain, QUARANTINED, HELD)
    until(lambda: counted(server, f'{where} and reply like "*not now*"') == tried, "all to be tried")
    assert counted(server, where) == of(records, domain)


@pytest.mark.parametrize(
    ("order", "domain", "not_meant"),
    [("expire", "d0008.test", (QUARANTINED,)), ("bounce", "d0009.test", ()), ("delete", "d0010.test", ())],
)
def test_gone(
    server: Postroad, records: tuple[Postroad, list[Known]], order: str, domain: str, not_meant: tuple[str, ...]
) -> None:
    where = f'domain == "{domain}"'
    meant = of(records, domain, *not_meant)
    ordered(server, order, where, meant)
    until(lambda: counted(server, where) == of(records, domain) - meant, "them to be gone")


def test_looked_at_saved_and_put_back(server: Postroad, records: tuple[Postroad, list[Known]]) -> None:
    groups = json.loads(asked(server, "top", "--json"))["groups"]
    assert groups[0]["messages"] == of(records, groups[0]["domain"])
    listed = asked(server, "list", "--columns", "id", "--limit", "100", 'domain == "d0001.test"').split()
    assert listed == sorted(one.name for one in records[1] if one.domain == "d0001.test")[:100]
    assert "d0001.test" in asked(server, "show", listed[0])
    assert "no contradiction" in asked(server, "verify")
    file = server.folder / "queue.tar"
    asked(server, "snapshot", str(file))
    where, many = 'domain == "d0011.test"', of(records, "d0011.test")
    ordered(server, "delete", where, many)
    assert counted(server, where) == 0
    asked(server, "restore", "--held", str(file))
    assert counted(server, where) == many
    # What was on its way to Bob at that moment came back as well, and lies in his mailbox already.
    asked(server, "delete", "--yes", f'state == "held" and recipient == "{BOB}"')
    assert "no contradiction" in asked(server, "verify")
