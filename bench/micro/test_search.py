"""Messages in the queue are found: records, as they are stored, held against a condition."""

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine.queue.search import Looking, Selection
from engine.queue.store import Record, pack

pytestmark = pytest.mark.benchmark(group="Search")

NOW = 1_760_010_000.0  # three hours after the sample arrived


@pytest.mark.parametrize(
    ("name", "text", "holds"),
    [
        ("a domain that it lacks", 'domain == "example.net"', False),
        ("its domain", 'domain == "site-0.rcpt.test"', True),
        ("age and attempts", "age > 1h and attempts < 3", True),
        ("a fact", "scan.score > 1", True),
        ("a pattern of its reply", 'reply like "451*later*"', True),
        ("no condition", "True", True),
    ],
)
def test_look(measure: Measure, name: str, text: str, *, holds: bool) -> None:
    about = message()
    record = Record(about.id, about.envelope, "inbound", 4096, reason="451 4.7.1 Not now, try again later")
    looking = Looking(Selection.told([text], NOW), frozenset())
    records = [memoryview(pack(record))] * 1000  # as they lie in the store

    places, _ = measure(f"a thousand records held against {name}", looking.among, records)
    assert len(places) == (1000 if holds else 0)
