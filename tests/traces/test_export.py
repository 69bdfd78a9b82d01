"""Spans on their way to a collector: one that takes them, ones that refuse or hang, and none at all."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import Traces
from engine.history import history
from engine.history.entries import Arrived, Entry, Noted
from engine.history.shelf import FOLDER, Terms
from engine.message import MessageId
from engine.observe.measures import measures
from engine.traces import export as module
from engine.traces.export import WAITING, Export
from engine.traces.spans import span_id
from tests.support.collector import Collector
from tests.support.server import free_port, until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "AGAIN", 0.01)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().serving() as found:
        yield found


def arrival(identity: MessageId | None = None) -> Arrived:
    return Arrived(identity or MessageId.new(), 10.1, 10.0, "accepted", "in", 1, "a@example.net", ("b@x.test",), 7)


def counted(name: str, *labels: str) -> float:
    return sum(
        value for found, given, value in measures.samples() if found == name and not {*labels} - {v for _, v in given}
    )


def events(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_what_a_collector_gets(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer s3cret\n\nX-Tenant: mail\n")
    settings = Traces(
        endpoint=collector.endpoint + "/",
        headers_file=tmp_path / "headers",
        attributes={"deployment.environment": "test"},
    )
    export, identity = Export(settings, "mail-1"), MessageId.new()
    export(arrival(identity))
    export(Noted(identity, 11.0, "parked"))
    until(lambda: len(collector.told) == 2, "the spans")
    export.close()
    root, parked = collector.of(identity)
    assert (root.name, root.id, root.parent, root.kind) == ("receive in", span_id(identity, "reception"), b"", 2)
    assert (parked.name, parked.parent) == ("parked", root.id)
    assert round(root.ended - root.began, 3) == 0.1
    assert root.attributes["postroad.recipient_domains"] == ["x.test"]
    assert root.resource["service.name"] == "postroad"
    assert root.resource["service.instance.id"] == "mail-1"
    assert root.resource["deployment.environment"] == "test"
    assert collector.paths == {"/v1/traces"}
    assert {(one["authorization"], one["x-tenant"]) for one in collector.headers} == {("Bearer s3cret", "mail")}


def test_only_what_is_sampled_goes_out(collector: Collector) -> None:
    export = Export(Traces(endpoint=collector.endpoint, share=50.0), "mail-0")
    export(arrival(MessageId(bytes(6) + b"\xff" * 10)))
    export(arrival(MessageId(b"\1" + bytes(15))))
    export.close(60.0)
    assert [one.trace for one in collector.told] == [b"\1" + bytes(15)]


def test_a_dead_collector_is_told_of_once_and_holds_up_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    before = counted("postroad_trace_lost_total", "refused")
    export = Export(Traces(endpoint=f"http://127.0.0.1:{port}", timeout=0.05), "mail-0")  # type: ignore[arg-type]
    for number in range(1, 4):
        export(arrival())
        until(lambda number=number: counted("postroad_trace_lost_total", "refused") == before + number, "its loss")
    collector = Collector()
    with collector.serving(port=port):
        # On a busy machine it may be too late for one of them.
        until(lambda: export(arrival()) or collector.told, "the collector to be found again")
        export.close(60.0)
    told = [one["event"] for one in events(capfd)]
    assert told[:2] == ["traces-failed", "traces-again"]


@pytest.mark.parametrize(("status", "why"), [(401, "code: 401"), (302, "redirects")])
def test_a_collector_that_refuses(
    collector: Collector, status: int, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.http.status = status
    collector.http.fields = {"Location": "http://127.0.0.1:1/"}
    export = Export(Traces(endpoint=collector.endpoint), "mail-0")
    export(arrival())
    export.close(60.0)
    (told,) = events(capfd)
    assert (told["event"], told["endpoint"]) == ("traces-failed", collector.endpoint)
    assert why in told["error"]


def test_a_collector_that_says_nothing_costs_bounded_memory_and_no_time(collector: Collector) -> None:
    over, asked = threading.Event(), threading.Event()

    def silent(_: object) -> bytes:
        asked.set()
        over.wait(60)
        return b""

    collector.http.answer = silent
    before = counted("postroad_trace_lost_total", "full")
    export = Export(Traces(endpoint=collector.endpoint), "mail-0")
    export(arrival())
    assert asked.wait(60)
    entry = arrival()
    for _ in range(WAITING + 10):
        export(entry)
    assert counted("postroad_trace_lost_total", "full") == before + 10
    began = time.monotonic()
    export.close(0.1)
    assert time.monotonic() - began < 30  # far less than those who wait would take
    over.set()


def test_spans_go_by_tls_to_whom_the_file_vouches_for(tmp_path: Path) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Collector().serving(context) as collector:
        endpoint = f"https://localhost:{collector.http.port}"
        export = Export(Traces(endpoint=endpoint, trust=tmp_path / "ca.pem"), "mail-0")
        export(arrival())
        export.close(60.0)
        assert len(collector.told) == 1


@pytest.mark.parametrize(
    ("level", "kept"), [((True, True), 2), ((True, False), 1), ((False, False), 0)], ids=["all", "mail", "off"]
)
def test_the_history_tells_of_all_whatever_it_keeps(tmp_path: Path, level: tuple[bool, bool], kept: int) -> None:
    from engine.history.reading import History

    heard: list[Entry] = []
    on, refusals = level
    history.use(tmp_path / FOLDER, "mail-0", Terms(86_400.0, 2**30), on=on, refusals=refusals)
    history.tell(heard.append)
    assert history.on
    assert history.refusals
    taken = arrival()
    refused = Arrived(MessageId.new(), 10.1, 10.0, "refused", "in", 1, "a@example.net", ("b@x.test",), 7)
    history(taken)
    history(refused)
    history.tell(None)
    assert (history.on, history.refusals) == level
    history.close()
    assert heard == [taken, refused]
    with History(tmp_path / FOLDER) as found:
        assert len([*found.of(taken.id), *found.of(refused.id)]) == kept
