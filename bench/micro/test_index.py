"""The index of the mailboxes: what it costs to build, and what readers get from it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.micro.loop import held
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter, message
from bench.micro.test_mailbox import opened
from engine.index import Index, Text
from engine.index.builder import Builder
from engine.index.digests import Digests
from engine.index.layout import Stamp
from engine.index.row import Octets, row_of
from engine.mailbox import MailboxOwner
from engine.message import Octets as Content

pytestmark = pytest.mark.benchmark(group="The index of the mailboxes")

MANY = 200_000
SOME = 1_000


async def deliver(owner: MailboxOwner, count: int) -> None:
    for number in range(count):
        octets = letter(4 * KIB).replace(b"the lazy dog", b"the dog of %d" % number)
        await owner.deliver(message(1, Content(octets)), {1: "bob@rcpt.test"})


def keys(count: int) -> list[bytes]:
    return [number.to_bytes(24, "big") for number in range(count)]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of so many contents, all with the same digest."""
    folder = tmp_path_factory.mktemp("index")
    with held(opened(folder)) as loop:
        loop.run(deliver, loop.opened, 1)
        ((_, record),) = loop.opened.reader.arrivals(1, 1, 0, 1)
        row = row_of(Octets(loop.opened.reader, record.content), 0.0)
    with Digests(folder) as digests:
        for start in range(0, MANY, 10_000):
            digests.add(dict.fromkeys(keys(MANY)[start : start + 10_000], row), {}, Stamp())
    with closing(Index.open(folder)) as index:
        yield index


def test_envelopes(measure: Measure, full: Index) -> None:
    found = measure("ENVELOPEs of 200,000 messages", full.envelopes, keys(MANY), operations=MANY)
    assert None not in found


def test_structures(measure: Measure, full: Index) -> None:
    found = measure("BODYSTRUCTUREs of 200,000 messages", full.structures, keys(MANY), operations=MANY)
    assert None not in found


def test_headers(measure: Measure, full: Index) -> None:
    found = measure("header fields of 200,000 messages", full.headers, keys(MANY), [b"subject"], operations=MANY)
    assert None not in found


def test_digests(measure: Measure, full: Index) -> None:
    found = measure("digests of 10,000 messages", full.digests, keys(10_000), operations=10_000)
    assert None not in found


@pytest.mark.parametrize("full_text", [False, True])
def test_build(measure: Measure, tmp_path: Path, full_text: bool) -> None:
    with held(opened(tmp_path)) as loop:
        loop.run(deliver, loop.opened, SOME)
        with closing(Builder(loop.opened.reader, tmp_path / "index", full_text=full_text)) as builder:

            def build() -> None:
                builder.rebuild(None)
                while builder.work():
                    pass

            measure(
                f"build {'digests and full text' if full_text else 'digests'}, letters of 4 KiB", build, operations=SOME
            )
    if full_text:
        with closing(Index.open(tmp_path / "index")) as index:
            assert len(index.search(1, Text("umps back")).unsure) == SOME
            assert len(index.search(1, Text("umps")).sure) == SOME


def test_search(measure: Measure, tmp_path: Path) -> None:
    with held(opened(tmp_path)) as loop:
        loop.run(deliver, loop.opened, SOME)
        with closing(Builder(loop.opened.reader, tmp_path / "index", full_text=True)) as builder:
            while builder.work():
                pass
    with closing(Index.open(tmp_path / "index")) as index:
        found = measure("search 1,000 messages for a part of a word", index.search, 1, Text("umps"))
        assert len(found.sure) == SOME
