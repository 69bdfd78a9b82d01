"""The OpenAPI 3.1 document of all operations, made of their rows: https://spec.openapis.org/oas/v3.1.0."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from engine.operations.scopes import SCOPES
from engine.web.api.operation import Operation, by_path
from engine.web.api.problems import MEDIA, TITLES, ProblemDetails

VERSION = "1"
"""Of the API: it grows with what could break a client, as the path does."""

BASE = "/api/v1"

_REF = "#/components/schemas/{name}"
_ALL = (400, 401, 403, 429, 500, 503)
"""What every operation may answer."""

_ABOUT = """What operators do with a Postroad server, for programs: the same functions as those of the commands.

Every request shows a token, which `postroad token add` makes; the scopes that it needs stand with each operation.
Errors are problem details (RFC 9457). Unknown fields of queries and of contents are errors. Lists come in pages:
`next` of one is the `cursor` of the page behind it. Answers to GET have an `ETag`; with an `If-Match`, where it is told
of, a change is made only to what is still as that tag says. What may take long is a job: its first answer is 202 unless
it has ended by then; `/jobs/{id}` tells of it; with an `Idempotency-Key` it is begun once, however often it is asked
for."""


def document(rows: Sequence[Operation], parts: Mapping[str, str]) -> dict[str, Any]:
    """All of it. ``parts``: what each is about."""
    schemas = _Schemas(rows)
    used = dict.fromkeys(row.part for row in rows)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Postroad", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": BASE}],
        "tags": [{"name": part, "description": parts[part]} for part in used],
        "paths": {
            path: {method.lower(): _operation(row, schemas) for method, row in of_path.items()}
            for path, of_path in by_path(rows).items()
        },
        "components": {
            "schemas": schemas.components,
            "responses": {_response_name(status): _problem(status) for status in TITLES},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _scopes()}},
        },
    }


def _scopes() -> str:
    lines = [f"* `{name}`: {what}" for name, what in SCOPES.items()]
    return "\n".join(["A token, with these scopes:", "", *lines])


class _Schemas:
    """The schemas of all types that rows name."""

    def __init__(self, rows: Sequence[Operation]) -> None:
        shapes = [row.shape for row in rows]
        contents = [kind for shape in shapes for kind in (shape.body, shape.answer) if kind is not None]
        contents = list({repr(kind): kind for kind in (*contents, ProblemDetails)}.values())
        found, self.components = msgspec.json.schema_components(contents, ref_template=_REF)
        for schema in self.components.values():
            if "description" in schema:  # Markdown has one backquote where docstrings have two
                schema["description"] = " ".join(schema["description"].replace("``", "`").split())
        self._of = {repr(kind): schema for kind, schema in zip(contents, found, strict=True)}

    def of(self, kind: Any) -> dict[str, Any]:
        return self._of[repr(kind)]

    @staticmethod
    def fields(kind: type[Any] | None) -> list[tuple[str, dict[str, Any], bool]]:
        """Each field of a struct: its name, its schema, and whether it must be there."""
        if kind is None:
            return []
        _, components = msgspec.json.schema_components([kind], ref_template=_REF)
        schema = components[kind.__name__]
        required = schema["required"]
        return [(name, _never_null(of_field), name in required) for name, of_field in schema["properties"].items()]


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a field that is left out where it is none: a query has no null."""
    others = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(others) != 1:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**others[0], **rest}


def _operation(row: Operation, schemas: _Schemas) -> dict[str, Any]:
    summary, description = row.texts
    by_domain = "" if row.by_domain else "Not for tokens that are limited to domains."
    scope = f"Scope: `{row.scope}`." if row.scope else "Scope: none."
    found: dict[str, Any] = {
        "operationId": row.name,
        "tags": [row.part],
        "summary": summary.rstrip("."),
        "description": "\n\n".join(filter(None, (description, " ".join(filter(None, (scope, by_domain)))))),
        "security": [{"token": [row.scope] if row.scope else []}],
    }
    if parameters := list(_parameters(row, schemas)):
        found["parameters"] = parameters
    if row.shape.body is not None:
        content = {"application/json": {"schema": schemas.of(row.shape.body)}}
        found["requestBody"] = {"required": True, "content": content}
    found["responses"] = _responses(row, schemas)
    return found


def _parameters(row: Operation, schemas: _Schemas) -> Any:
    for where, kind in (("path", row.shape.path), ("query", row.shape.query)):
        for name, schema, required in schemas.fields(kind):
            about = schema.pop("description", "")
            yield {"name": name, "in": where, "required": required, "description": about, "schema": schema}
    if row.changes is not None:
        yield {
            "name": "If-Match", "in": "header", "required": False,
            "description": "The `ETag` of what is to be changed, as you saw it: nothing is done when it has another.",
            "schema": {"type": "string", "maxLength": 200},
        }  # fmt: skip
    if row.is_job:
        yield {
            "name": "Idempotency-Key", "in": "header", "required": False,
            "description": "Any text of yours: what is asked for with the same one within a day is begun once.",
            "schema": {"type": "string", "maxLength": 200},
        }  # fmt: skip


def _responses(row: Operation, schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    if row.shape.answer is None:
        found["204"] = {"description": "It is done."}
    else:
        content = {"application/json": {"schema": schemas.of(row.shape.answer)}}
        about = "As it is now." if row.method == "GET" else "It is done."
        good: dict[str, Any] = {"description": about, "content": content}
        found[str(row.status)] = good
        if row.method == "GET":
            good["headers"] = {"ETag": {"description": "Of this answer.", "schema": {"type": "string"}}}
            found["304"] = {"description": "It is as If-None-Match says."}
        if row.is_job:
            place = {"description": "Where the job tells of itself.", "schema": {"type": "string"}}
            found["202"] = {"description": "It goes on.", "content": content, "headers": {"Location": place}}
            good["headers"] = {"Location": place}
    for status in sorted({*_ALL, *_of_kind(row), *row.problems}):
        found[str(status)] = {"$ref": f"#/components/responses/{_response_name(status)}"}
    return dict(sorted(found.items()))


def _of_kind(row: Operation) -> set[int]:
    """Problems that come of what it takes."""
    found = {404} if row.shape.path else set()
    if row.shape.query or row.shape.body or row.is_job:  # a key of another request
        found.add(422)
    if row.changes is not None:
        found.add(412)
    if row.method != "GET":
        found |= {413, 507}
    if row.shape.body:
        found.add(415)
    return found


def _response_name(status: int) -> str:
    return re.sub(r"[^A-Za-z]", "", HTTPStatus(status).phrase)


def _problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": TITLES[status],
        "content": {MEDIA: {"schema": {"$ref": _REF.format(name=ProblemDetails.__name__)}}},
    }
    names = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"]}.get(status, [])
    if names:
        found["headers"] = {name: {"required": status != 429, "schema": {"type": "string"}} for name in names}
    return found
