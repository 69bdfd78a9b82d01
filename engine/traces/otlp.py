"""Spans sent by OTLP over HTTP (OTLP 1.10, "OTLP/HTTP"), as the packages of the extra `traces` encode them."""

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from engine.config import NOWHERE, Traces
from engine.traces.spans import RECEPTION, Span, span_id

PATH = "/v1/traces"
"""Below the endpoint (OTLP 1.10, "OTLP/HTTP Request")."""

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_BILLION = 1_000_000_000


class NotTaken(Exception):
    """The collector did not take spans. The text says why, for an operator."""


class _Said(logging.Handler):
    """Keeps the first thing that the exporter has said of a request, which tells nobody why otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


class Otlp:
    """The way to one collector."""

    def __init__(self, settings: Traces, worker: str) -> None:
        """OSError when the file of headers cannot be read."""
        self._resource = Resource.create(_resource(settings, worker))
        self._scope = InstrumentationScope("postroad", version("postroad"))
        session = requests.Session()
        session.trust_env = False  # neither a proxy nor ~/.netrc: it goes where the configuration says
        session.max_redirects = 0  # nor where the collector says, with our token
        self._exporter = OTLPSpanExporter(
            settings.endpoint.rstrip("/") + PATH,
            certificate_file=str(settings.trust) if settings.trust != NOWHERE else None,
            headers=settings.headers(),
            timeout=float(settings.timeout),
            session=session,
        )
        self._said = _Said()
        logger = logging.getLogger(OTLPSpanExporter.__module__)
        logger.handlers, logger.propagate = [self._said], False  # what it says of each try is said once by us

    def send(self, found: Sequence[Span]) -> None:
        """NotTaken."""
        self._said.text = ""
        if self._exporter.export(list(map(self.readable, found))) is not SpanExportResult.SUCCESS:
            raise NotTaken(self._said.text or "no reason given")

    def stop(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.id),
            parent=_context(span.trace, span.parent) if span.parent else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            links=[Link(_context(span.came_of, span_id(span.came_of, RECEPTION)))] if span.came_of else (),
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(),
            start_time=int(span.began * _BILLION),
            end_time=int(span.ended * _BILLION),
            instrumentation_scope=self._scope,
        )


def _resource(settings: Traces, worker: str) -> Mapping[str, str]:
    own = {
        "service.name": "postroad",
        "service.version": version("postroad"),
        "service.instance.id": worker,
    }
    return {**own, **settings.attributes}


def _context(trace: bytes, span: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace, "big"), int.from_bytes(span, "big"), is_remote=True, trace_flags=_SAMPLED)
