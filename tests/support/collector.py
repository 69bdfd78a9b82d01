"""A collector of traces: an HTTP server that decodes what is sent to it."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.http_server import Asked, HttpServer


@dataclass(frozen=True)
class Told:
    """A span as it came."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    kind: int
    began: float
    ended: float
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: tuple[tuple[bytes, bytes], ...]
    failed: str  # what went wrong


class Collector:
    """``told``: every span so far; ``headers``: those of every request, by names in lower case."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.headers: list[dict[str, str]] = []
        self.paths: set[str] = set()
        self.http = HttpServer(self._answer)

    @contextlib.contextmanager
    def serving(self, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator["Collector"]:
        with self.http.serving(tls, port):
            yield self

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def of(self, trace: bytes) -> list[Told]:
        """The spans of one trace, in the order in which they began."""
        return sorted((one for one in self.told if one.trace == trace), key=lambda one: one.began)

    def _answer(self, asked: Asked) -> bytes:
        self.headers.append({name.lower(): value for name, value in asked.headers.items()})
        self.paths.add(asked.path)
        for group in ExportTraceServiceRequest.FromString(asked.body).resource_spans:
            resource = _values(group.resource.attributes)
            self.told += [_told(span, resource) for scope in group.scope_spans for span in scope.spans]
        return b""


def _told(span: Any, resource: dict[str, Any]) -> Told:
    return Told(
        span.trace_id, span.span_id, span.parent_span_id, span.name, span.kind, span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9, _values(span.attributes), resource,
        tuple((link.trace_id, link.span_id) for link in span.links),
        (span.status.message or "?") if span.status.code == Status.STATUS_CODE_ERROR else "",
    )  # fmt: skip


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))
