"""Changes upon what was seen: If-Match, by one program, by two at once, and beside another process."""

import subprocess
import sys
import textwrap

import pytest
import trio

from engine.revisions import IN_FORCE, Archive
from engine.web.api.jobs import FOLDER
from tests.support.api import CONFIG, api_of, ended

ANN = "ann@example.org"
LATER = CONFIG.replace('hostname = "mx.example.org"', 'hostname = "mx2.example.org"')


async def test_an_account_is_changed_as_it_was_seen_or_not_at_all(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        await program.post("/accounts", json={"address": ANN})
        seen = (await program.get(f"/accounts/{ANN}")).headers["etag"]
        first = await program.patch(f"/accounts/{ANN}", json={"admin": True}, headers={"if-match": seen})
        assert first.status_code == 200
        for method, path, body in (
            ("PATCH", "", {"admin": False}),
            ("PUT", "/password", {"password": "another one"}),
            ("POST", "/send-as", {"add": ["x@example.org"]}),
            ("DELETE", "/totp", None),
            ("DELETE", "", None),
        ):
            late = await program.request(method, f"/accounts/{ANN}{path}", json=body, headers={"if-match": seen})
            assert late.status_code == 412, method
            assert late.headers["content-type"] == "application/problem+json"
            assert late.json()["title"] == "It is not as it was"
        now = await program.get(f"/accounts/{ANN}")
        assert (now.json()["admin"], now.json()["has_password"], now.json()["send_as"]) == (True, False, [])
        kept = {"if-match": f'"x", {now.headers["etag"]}'}
        assert (await program.delete(f"/accounts/{ANN}", headers=kept)).status_code == 200


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("*", 200),
        ('"x"', 412),
        ("W/{tag}", 412),
        ("{tag}", 200),
        ('"x" , {tag}', 200),
        ("", 412),
        ("{tag}x", 412),
        ("x" * 201, 400),
    ],
)
async def test_what_the_field_may_say(tmp_path, field, status):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        await program.post("/accounts", json={"address": ANN})
        tag = (await program.get(f"/accounts/{ANN}")).headers["etag"]
        headers = {"if-match": field.replace("{tag}", tag)}
        answer = await program.patch(f"/accounts/{ANN}", json={"admin": True}, headers=headers)
        assert answer.status_code == status


async def test_what_is_not_there_is_not_as_it_was(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        gone = {"headers": {"if-match": "*"}}
        assert (await program.delete(f"/accounts/{ANN}", **gone)).status_code == 412
        assert (await program.delete(f"/accounts/{ANN}")).status_code == 404
        assert (await program.delete("/domains/firm.example", **gone)).status_code == 412
        assert (await program.delete("/shaping/actions/00000000", **gone)).status_code == 412


async def test_where_it_means_nothing_it_is_a_mistake(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        refused = await program.post("/accounts", json={"address": ANN}, headers={"if-match": "*"})
        assert refused.status_code == 400
        assert (await program.get(f"/accounts/{ANN}")).status_code == 404
        assert (await program.get("/accounts", headers={"if-match": '"x"'})).status_code == 200


async def test_groups_domains_and_actions(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        await program.post("/accounts", json={"address": ANN})
        await program.post("/groups", json={"address": "all@example.org", "members": [ANN]})
        await program.post("/domains", json={"name": "firm.example"})
        action = (await program.post("/shaping/actions", json={"site": "mx.far.test"})).json()["id"]
        for place in ("/groups/all@example.org", "/domains/firm.example", f"/shaping/actions/{action}"):
            tag = (await program.get(place)).headers["etag"]
            assert (await program.delete(place, headers={"if-match": '"x"'})).status_code == 412, place
            assert (await program.delete(place, headers={"if-match": tag})).status_code < 300, place


async def test_of_two_at_once_one_has_seen_what_is_no_more(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as one, api.with_scopes() as two:
        await one.post("/accounts", json={"address": ANN})
        for turn in range(10):
            tag = (await one.get(f"/accounts/{ANN}")).headers["etag"]
            said: list[int] = []

            async def change(program, name, tag=tag, said=said):
                answer = await program.post(f"/accounts/{ANN}/send-as", json={"add": [name]}, headers={"if-match": tag})
                said.append(answer.status_code)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(change, one, f"a{turn}@example.org")
                nursery.start_soon(change, two, f"b{turn}@example.org")
            assert sorted(said) == [200, 412]


async def test_another_process_has_its_turn_first(tmp_path):
    """One that holds the whole file, and says so, until it is told to go on."""
    other = """
        import fcntl, os, sys
        file = os.open(sys.argv[1], os.O_RDWR)
        fcntl.lockf(file, fcntl.LOCK_EX)
        print("mine", flush=True)
        sys.stdin.read()
    """
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        await program.post("/accounts", json={"address": ANN})
        path = api.site.role.data / FOLDER / "turns"
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(other), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            await trio.to_thread.run_sync(process.stdout.readline)
            answers: list[int] = []

            async def change() -> None:
                answers.append((await program.patch(f"/accounts/{ANN}", json={"admin": True})).status_code)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(change)
                await trio.sleep(0.3)
                assert answers == []
                process.kill()
        finally:
            process.kill()
            process.communicate()
        assert answers == [200]


async def test_a_configuration_is_put_in_force_upon_the_one_that_was_seen(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes() as program:
        archive = Archive(api.site.role.data)
        archive.settle(archive.take(CONFIG, {}), IN_FORCE)
        seen = await program.get("/revisions/current")
        assert seen.json()["text"] == CONFIG
        upon = {"if-match": seen.headers["etag"]}
        done = await ended(program, await program.post("/revisions", json={"text": LATER}, headers=upon))
        assert done["problem"]["status"] == 503  # no server runs; but it was let through
        archive.settle(archive.take(LATER, {}, before=1), IN_FORCE)
        written = api.site.role.config.path.read_text()
        for path, body in (("/revisions", {"text": CONFIG}), ("/revisions/1/back", None)):
            assert (await program.post(path, json=body, headers=upon)).status_code == 412
        assert api.site.role.config.path.read_text() == written
