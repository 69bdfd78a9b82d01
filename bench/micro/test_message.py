"""Messages: copies with a change, header fields looked up, ids."""

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine.message import MessageId

pytestmark = pytest.mark.benchmark(group="Messages")


@pytest.mark.parametrize("recipients", [1, 100])
def test_with_fact(measure: Measure, recipients: int) -> None:
    before = message(recipients)
    what = f"with_fact, {recipients} recipient{'s' * (recipients > 1)}"
    after = measure(what, before.with_fact, "scan.virus", "none")
    assert (before.fact("scan.virus"), after.fact("scan.virus")) == (None, "none")
    assert (after.recipients, after.fact("scan.score")) == (before.recipients, 1.5)


def test_with_header(measure: Measure) -> None:
    before = message()
    after = measure("with_header", before.with_header, "X-Spam", "no")
    assert (before.header("X-Spam"), after.header("X-Spam")) == (None, "no")


@pytest.mark.parametrize(
    ("name", "value"),
    [("From", "Ada Sender <ada@sender.test>"), ("Subject", "Grüße from the coast"), ("X-Absent", None)],
    ids=["plain", "encoded", "absent"],
)
def test_header(measure: Measure, name: str, value: str | None) -> None:
    kind = "absent" if value is None else "encoded" if not value.isascii() else "plain"
    assert measure(f"header, {kind} ({name})", message().header, name) == value


def test_headers(measure: Measure) -> None:
    found = measure("headers, three of a name (Received)", message().headers, "received")
    assert [value.partition(" ")[2][:18] for value in found] == [
        "mail.sender.test b",
        "mail.sender.test (",
        "[198.51.100.7] by ",
    ]


def test_new_id(measure: Measure) -> None:
    found = measure("a new id", MessageId.new, 1_760_000_000.0)
    assert (len(found), found.time) == (16, 1_760_000_000.0)
