"""Traces: what they cost where they are off, for messages that are not sampled, and for those that are."""

import pytest

from bench.micro.measure import Measure
from bench.micro.test_history import relayed
from engine.config import Traces
from engine.history.notes import Notes
from engine.traces.export import Export
from engine.traces.spans import spans

pytestmark = pytest.mark.benchmark(group="Traces")

COUNT = 200
"""Messages at once."""


@pytest.mark.parametrize("share", [None, 0.0], ids=["off", "not sampled"])
def test_note(measure: Measure, share: float | None) -> None:
    """Where the history keeps nothing, all that is measured is who is told."""
    notes = Notes()
    if share is not None:
        notes.tell(Export(Traces(endpoint="http://127.0.0.1:9", share=share), "mail-0"))
    entries = [entry for number in range(COUNT) for entry in relayed(number)]

    def note() -> None:
        notes._waiting.clear()
        notes._rouse.set()  # nobody is to be roused
        for entry in entries:
            notes(entry)

    measure(f"an entry noted, traces {'off' if share is None else 'on, and not of this message'}", note,
            operations=len(entries))  # fmt: skip


def test_spans(measure: Measure) -> None:
    entries = [entry for number in range(COUNT) for entry in relayed(number)]

    def made() -> int:
        return len([span for entry in entries for span in spans(entry)])

    assert measure("the spans of a relayed message", made, operations=COUNT) == 8 * COUNT


def test_encoded(measure: Measure) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from engine.traces.otlp import Otlp

    otlp = Otlp(Traces(endpoint="http://127.0.0.1:9"), "mail-0")
    entries = [entry for number in range(COUNT) for entry in relayed(number)]

    def encoded() -> bytes:
        found = encode_spans([otlp.readable(span) for entry in entries for span in spans(entry)])
        return bytes(found.SerializeToString())

    assert len(measure("the spans of a relayed message, made and encoded", encoded, operations=COUNT)) > 1000 * COUNT
