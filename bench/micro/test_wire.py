"""The wire between processes: a batch of messages packed and unpacked, and of verdicts."""

from pathlib import Path

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine import Delivered, Message, Verdict
from engine.links import wire
from engine.message import Content
from engine.queue.content import FileContent

pytestmark = pytest.mark.benchmark(group="Wire between processes")

STORED = FileContent(Path("/var/lib/postroad/content/01J8ZQ5V7Y2B3C4D5E6F7G8H9J"), 4096)
SHAPES = pytest.mark.parametrize(("count", "recipients"), [(1, 1), (1, 100), (64, 1), (64, 100)])


def batch(count: int, recipients: int) -> list[Message]:
    """Messages whose content is stored, and so does not travel."""
    return [message(recipients, STORED) for _ in range(count)]


def pack(messages: list[Message]) -> list[bytes]:
    """The frames that a link sends for them."""
    frames: list[bytes] = []
    items = [[number, 0, wire.pack_message(about, frames)] for number, about in enumerate(messages)]
    return [wire.pack([0, items]), *frames]


def unpack(frames: list[bytes]) -> list[Message]:
    """The messages, as the other end of the link takes them in."""
    _, items = wire.unpack(frames[0])
    return [wire.unpack_message(packed, frames[1:], find) for _, _, packed in items]


def find(reference: wire.Reference) -> Content:
    return FileContent(Path(reference[1]), reference[2])


def same(found: list[Message], messages: list[Message]) -> bool:
    """Whether nothing was lost. Contents are objects of their own, and tell by their references."""
    return [(m.id, m.envelope, getattr(m.content, "reference", None)) for m in found] == [
        (m.id, m.envelope, STORED.reference) for m in messages
    ]


def shape(count: int, recipients: int) -> str:
    return f"{count} message{'s' * (count > 1)} to {recipients} recipient{'s' * (recipients > 1)}"


@SHAPES
def test_pack(measure: Measure, count: int, recipients: int) -> None:
    messages = batch(count, recipients)
    assert same(unpack(measure(f"pack {shape(count, recipients)}", pack, messages)), messages)


@SHAPES
def test_unpack(measure: Measure, count: int, recipients: int) -> None:
    messages = batch(count, recipients)
    assert same(measure(f"unpack {shape(count, recipients)}", unpack, pack(messages)), messages)


def test_verdicts(measure: Measure) -> None:
    messages = batch(64, 1)
    said = Delivered("250 2.0.0 Ok: queued as 4711", "mx.rcpt.test[192.0.2.1]")

    def work() -> list[Verdict]:
        packed = wire.pack([[n, 1, [], wire.pack_verdict(said, about)] for n, about in enumerate(messages)])
        return [wire.unpack_verdict(verdict, messages[n]) for n, _, _, verdict in wire.unpack(packed)]  # type: ignore[misc]

    assert measure("pack and unpack 64 verdicts", work) == [said] * 64
