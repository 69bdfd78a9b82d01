"""Every operation does what the OpenAPI document says, whatever is asked of it; each wants the token that it needs."""

import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest
import requests
import trio
from msgspec import inspect

from engine.net.zone import Zone
from engine.operations.scopes import SCOPES
from engine.web.api.rows import ROWS
from tests.support.api import BASE, CONFIG, ApiSite, api_of
from tests.support.background import dns, in_thread
from tests.support.described import DOCUMENT, EXCLUDED, schema
from tests.support.examples import examples

SCHEMA = schema()

OPERATIONS = [pytest.param(row, id=row.name) for row in ROWS]


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Sends requests to an API with two hundred messages behind it, from a thread without a loop."""
    folder = tmp_path_factory.mktemp("api")

    @contextlib.asynccontextmanager
    async def opened(config: str) -> AsyncIterator[tuple[ApiSite, trio.lowlevel.TrioToken]]:
        async with api_of(folder, config, messages=200) as api:
            yield api, trio.lowlevel.current_trio_token()

    with dns(Zone("com", {"example": {"MX": "10 mx.example.net."}})) as address:
        config = CONFIG + f'\n[dns]\nservers = ["{address}"]\n'
        with in_thread(lambda: opened(config)) as (api, token):
            shown = trio.from_thread.run_sync(lambda: api.token(rate="1000000/1m"), trio_token=token)

            async def send(request: requests.PreparedRequest) -> httpx2.Response:
                headers = {name.lower(): value for name, value in request.headers.items()}
                headers["authorization"] = f"Bearer {shown}"
                async with api.program() as program:
                    return await program.request(request.method, request.url, headers=headers, content=request.body)

            yield lambda request: trio.from_thread.run(send, request, trio_token=token)


@SCHEMA.parametrize()
@examples(15)
def test_answers_are_as_the_document_says(case, ask):
    asked = case.as_transport_kwargs(base_url=f"http://localhost:8080{BASE}")
    wanted = ("method", "url", "headers", "params", "data", "json")
    request = requests.Request(**{name: asked[name] for name in wanted if name in asked})
    case.validate_response(ask(request.prepare()), excluded_checks=EXCLUDED)


def path_of(row):
    """A path that the row's operation is at, of something that is not there."""
    known = {"id": "01J9ZK3V5Q8W2R7T4Y6N0BCDEF", "number": "7", "account": "ann@example.org"}
    known |= {"address": "ann@example.org", "name": "example.org", "selector": "a-rsa", "entry": "example.com"}
    known |= {"which": "ann@example.org"}
    return row.path.format_map(known)


async def test_each_operation_wants_a_token_with_its_scope(tmp_path):
    async with api_of(tmp_path) as api, api.program() as nobody:
        others = {scope: api.token(*(one for one in SCOPES if one != scope)) for scope in {row.scope for row in ROWS}}
        for row in ROWS:
            assert (await nobody.request(row.method, path_of(row))).status_code == 401, row.name
            async with api.program(others[row.scope]) as other:
                refused = await other.request(row.method, path_of(row))
            assert (refused.status_code == 403) == bool(row.scope), f"{row.name}: {refused.text}"


async def test_what_is_about_the_whole_server_is_not_for_a_token_of_some_domains(tmp_path):
    rows = [row for row in ROWS if not row.by_domain]
    assert rows
    async with api_of(tmp_path) as api, api.with_scopes(domains=["example.org"]) as program:
        for row in rows:
            assert (await program.request(row.method, path_of(row))).status_code == 403, row.name


async def test_methods_that_there_are_not_are_told(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        for path, methods in DOCUMENT["paths"].items():
            for method in {"get", "post", "put", "patch", "delete", "options", "trace"} - methods.keys():
                refused = await program.request(method.upper(), path.replace("{", "").replace("}", ""))
                assert refused.status_code == 405, (method, path)
                told = {one.strip().lower() for one in refused.headers["allow"].split(",")}
                assert told - {"head"} == methods.keys()
        assert (await program.get("/queu")).status_code == 404
        assert (await program.get("/queue/messages", headers={"cookie": "session=x"})).status_code == 200


def test_names_are_their_own_and_every_scope_and_problem_is_known():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert {row.scope for row in ROWS} <= {*SCOPES, ""}
    for row in ROWS:
        # To look at people's mail leaves entries in the audit log, so it is no GET; and it changes nothing else.
        assert row.scope.endswith(":read" if row.method == "GET" else (":write", ":look")) or not row.scope
        assert row.texts[0].endswith("."), row.name


@pytest.mark.parametrize("row", OPERATIONS)
def test_what_is_asked_for_has_limits_everywhere(row):
    """No text, list or number without an end, and no field that nobody knows."""

    def look(kind, place):
        match kind:
            case inspect.StructType():
                assert kind.forbid_unknown_fields, place
                for field in kind.fields:
                    look(field.type, f"{place}.{field.encode_name}")
            case inspect.Metadata(type=inner):
                look(inner, place)
            case inspect.UnionType(types=types):
                for one in types:
                    look(one, place)
            case inspect.VarTupleType() | inspect.ListType():
                assert kind.max_length is not None, place
                look(kind.item_type, place)
            case inspect.StrType():
                assert kind.max_length is not None or kind.pattern is not None, place
            case inspect.IntType() | inspect.FloatType():
                assert (kind.ge, kind.gt) != (None, None), place
                assert (kind.le, kind.lt) != (None, None), place
            case other:
                assert isinstance(
                    other, inspect.BoolType | inspect.LiteralType | inspect.NoneType | inspect.DateTimeType
                ), place

    for name in ("path", "query", "body"):
        if (kind := getattr(row.shape, name)) is not None:
            look(inspect.type_info(kind), name)
    if row.shape.path is not None:
        assert sorted(row.parameters) == sorted(row.shape.path.__struct_fields__)
    else:
        assert row.parameters == []
