"""The admin API of a running server, with mail coming in meanwhile: used as a program uses it."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.described import DOCUMENT, EXCLUDED, schema
from tests.support.examples import examples
from tests.support.load import Load
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter, until

BOB = "bob@example.org"
CONFIG = {
    "listen": {"web": "127.0.0.1:0", "metrics": "127.0.0.1:0"},
    "log": {"file": "events.log"},
    "login": {"allow_networks": ["127.0.0.0/8"]},  # tokens that are none come from there by the dozen
    "domains": {"local": ["example.org", "example.net"]},
}

SCHEMA = schema().exclude(path="/shaping")  # which asks the DNS


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Postroad]:
    with Postroad(tmp_path_factory.mktemp("running"), CONFIG).account(BOB) as running:
        yield running


def token_of(server: Postroad, name: str, *options: str) -> str:
    made = server.command("token", "add", name, *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@contextlib.contextmanager
def program(server: Postroad, token: str) -> Iterator[httpx2.Client]:
    base = f"http://127.0.0.1:{server.ports['web']}/api/v1"
    with httpx2.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=PATIENCE) as client:
        yield client


def ended(client: httpx2.Client, answer: httpx2.Response) -> dict:
    """The job that an answer tells of, once it has ended."""
    assert answer.status_code in (200, 202), answer.text
    place = answer.headers["location"].removeprefix("/api/v1")
    found = answer.json()
    while found["state"] == "running":
        time.sleep(0.05)
        found = client.get(place).json()
    return found


@pytest.fixture(scope="module")
def everything(server) -> str:
    look = ("--scope", "oversight:look", "--auditor", BOB)
    return token_of(server, "everything", "--scope", "all", *look, "--rate", "1000000/1m")


@pytest.fixture(scope="module")
def load(server) -> Iterator[Load]:
    """Mail for Bob, of which nothing breaks whatever is asked of the API."""
    with Load(server, BOB, clients=1, pause=0.05) as flowing:
        yield flowing
    assert flowing.broken == []


@SCHEMA.parametrize()
@examples(8)
def test_answers_are_as_the_document_says_under_load(case, server, everything, load):
    base = f"http://127.0.0.1:{server.ports['web']}/api/v1"
    headers = {"authorization": f"Bearer {everything}"}
    case.call_and_validate(base_url=base, headers=headers, excluded_checks=EXCLUDED)


def test_messages_are_held_explained_released_and_deleted(server, everything, load):
    with program(server, everything) as api:
        server.wait_for("accepted")
        held = ended(api, api.post("/queue/orders", json={"order": "hold", "all": True}))
        assert held["state"] == "done"
        accepted = server.wait_for("delivered")["id"]

        def told():
            found = api.get(f"/history/messages/{accepted}")
            return found.json() if found.status_code == 200 and "delivered" in found.json()["fate"] else None

        story = until(told, "the history of a message")
        assert story["to"] == [BOB]
        assert "nothing" in story["next"]
        assert api.get("/history/messages", params={"about": BOB, "last": 3}).json()
        assert ended(api, api.post("/queue/orders", json={"order": "delete", "all": True}))["state"] == "done"


def test_how_the_server_does_is_told(server, everything, load):
    with program(server, everything) as api:
        measures = until(
            lambda: (found := api.get("/measures", params={"seconds": 2}).json())["arriving"] > 0 and found, "arrivals"
        )
        assert {"route", "enqueue"} <= {one["name"] for one in measures["stages"]}
        assert until(lambda: api.get("/measures/health").json()["ready"], "a server that is ready")

        def answering() -> set[str]:
            return {one["name"] for one in api.get("/measures/workers").json() if one["answers"]}

        until(lambda: {"mail-0", "mail-1", "web"} <= answering(), "an answer of each worker")
        assert api.get("/measures/sites").status_code == 200


def test_a_configuration_is_checked_previewed_put_in_force_and_taken_back(server, everything, load):
    with program(server, everything) as api:
        (now, *_) = [one for one in api.get("/revisions").json() if one["became"] == "in force"]
        text = api.get(f"/revisions/{now['number']}").json()["text"]
        assert api.post("/revisions/checks", json={"text": text}).json() == {"good": True, "problems": []}
        wrong = api.post("/revisions/checks", json={"text": text.replace("[stage.accept]", "[stage.acept]")}).json()
        assert not wrong["good"]
        assert "acept" in wrong["problems"][0]["place"]
        assert api.post("/revisions", json={"text": "x"}).status_code == 422

        changed = text.replace("[stage.accept]", "[stage.accept]\nmax_recipients = 77")
        preview = ended(api, api.post("/revisions/previews", json={"text": changed, "offline": True}))
        assert preview["state"] == "done", preview
        assert preview["result"]["stages"]["changed"] == ["accept"]

        done = ended(api, api.post("/revisions", json={"text": changed}))
        assert done["state"] == "done", done
        assert "max_recipients = 77" in server.config.read_text()
        difference = api.get(f"/revisions/{now['number']}/changes").json()
        assert difference["changes"] == [{"what": "stage", "name": "accept", "how": "max_recipients"}]
        (new,) = [one for one in api.get("/revisions").json() if one["became"] == "in force"]
        assert new["by"] == "token:everything"

        back = ended(api, api.post(f"/revisions/{now['number']}/back"))
        assert (back["state"], back["result"]["revision"]) == ("done", now["number"])
        assert server.config.read_text() == text


def test_a_trial_is_begun_watched_and_ended(server, everything, load):
    with program(server, everything) as api:
        assert api.get("/revisions/trial").status_code == 404
        text = server.config.read_text()
        changed = text.replace("[stage.accept]", "[stage.accept]\nmax_recipients = 78")
        begun = ended(api, api.post("/revisions", json={"text": changed, "canary": 50}))
        assert begun["result"]["trial"], begun
        assert api.get("/revisions/trial").json()["share"] == 50
        assert ended(api, api.delete("/revisions/trial"))["result"]["trial"] is None
        assert api.get("/revisions/trial").status_code == 404
        server.write(text)
        assert server.reload().returncode == 0


def test_two_who_have_read_the_same_configuration_do_not_overwrite_each_other(server, everything, load):
    with program(server, everything) as api:
        seen = api.get("/revisions/current")
        text, upon = seen.json()["text"], {"if-match": seen.headers["etag"]}
        mine = text.replace("[stage.accept]", "[stage.accept]\nmax_recipients = 79")
        theirs = text.replace("[stage.accept]", "[stage.accept]\nmax_recipients = 80")
        assert ended(api, api.post("/revisions", json={"text": theirs}, headers=upon))["state"] == "done"
        assert api.post("/revisions", json={"text": mine}, headers=upon).status_code == 412
        assert "max_recipients = 80" in server.config.read_text()
        now = {"if-match": api.get("/revisions/current").headers["etag"]}
        assert ended(api, api.post(f"/revisions/{seen.json()['number']}/back", headers=now))["state"] == "done"
        assert server.config.read_text() == text


SINK = """
'''Takes nothing yet.'''
from dataclasses import dataclass
from typing import ClassVar

from engine import Defer, Message

@dataclass
class Sink:
    effect: ClassVar[bool] = True

    async def __call__(self, message: Message):
        return Defer("not now", "4.2.0", retry_after=3600)
"""


@pytest.fixture
def waiting(tmp_path) -> Iterator[tuple[Postroad, str]]:
    """A server where what is for elsewhere waits, with mail for Bob all the time; and a token for all."""
    remote = {"lane": {"remote": {"stages": ["sink"]}}}
    stages = {"stage": {"sink": {"use": "filters/sink.py"}, "resolve": None, "relay": None}}
    with Postroad(tmp_path, {**CONFIG, **remote, **stages}, sink=SINK).account(BOB) as server:
        token = token_of(server, "everything", "--scope", "all", "--rate", "1000000/1m")
        with Load(server, BOB, clients=1, pause=0.05) as flowing:
            yield server, token
        assert flowing.broken == []


def test_mail_that_waits_is_taken_through_another_configuration(waiting):
    server, token = waiting
    with program(server, token) as api:
        server.send(letter("waits"), "carl@far.test")
        far = {"which": 'domain == "far.test"'}
        found = until(lambda: api.get("/queue/messages", params=far).json()["items"], "a message that waits")
        text = api.get("/revisions/current").json()["text"]
        other = text.replace("[[route]]", '[[route]]\nto = "far.test"\nlane = "local"\n\n[[route]]', 1)
        asked = {"text": other, "offline": True, "where": 'domain == "far.test"', "limit": 10}
        told = ended(api, api.post("/revisions/replays", json=asked))
        assert told["state"] == "done", told
        assert told["result"]["messages"] >= 1
        assert told["result"]["different"] >= 1
        same = ended(api, api.post("/revisions/replays", json={**asked, "text": text}))
        assert same["result"]["different"] == 0
        assert api.post("/revisions/replays", json={**asked, "where": "no condition ("}).status_code == 422
        still = api.get("/queue/messages", params=far).json()["items"]
        assert {one["id"] for one in found} <= {one["id"] for one in still}


def test_what_was_deleted_by_mistake_comes_back_while_mail_flows(waiting):
    server, token = waiting
    with program(server, token) as api:
        server.send(letter("precious"), "dora@far.test")
        which = ['domain == "far.test"', 'recipient == "dora@far.test"']
        (lost,) = until(lambda: api.get("/queue/messages", params={"which": which}).json()["items"], "it to wait")
        taken = ended(api, api.post("/queue/snapshots", json={"name": "before"}))
        assert taken["state"] == "done", taken
        assert ended(api, api.post("/queue/orders", json={"order": "delete", "which": which}))["result"]["done"] == 1
        assert api.get("/queue/messages", params={"which": which}).json()["items"] == []
        back = ended(api, api.post("/queue/snapshots/before/restoration"))
        assert back["state"] == "done", back
        assert back["result"]["put_back"] >= 1
        (found,) = api.get("/queue/messages", params={"which": which}).json()["items"]
        assert (found["id"], found["state"]) == (lost["id"], "held")
        assert server.wait_for("ordered", order="restore", id=lost["id"])["by"] == "token:everything"
        assert "Subject: precious" in api.get(f"/queue/messages/{lost['id']}").json()["header"]
        said = server.command("queue", "restore", "--held", str(server.folder / "var/snapshots/before.tar.gz"))
        assert said.returncode == 0, said.stderr
        assert "in the queue already" in said.stdout
        verified = ended(api, api.post("/queue/verifications"))
        assert verified["result"]["problems"] == []
        assert ended(api, api.post("/queue/orders", json={"order": "delete", "which": which}))["result"]["done"] == 1
        assert api.delete("/queue/snapshots/before").status_code == 204


def test_the_processes_count_the_requests_of_a_token_together(tmp_path):
    with Postroad(tmp_path, {**CONFIG, "web": {"processes": 2}}) as server:
        token = token_of(server, "slow", "--scope", "measures:read", "--rate", "20/10m")
        said = []
        for _ in range(40):  # each by a connection of its own, which either process may take
            with program(server, token) as api:
                said.append(api.get("/token").status_code)
        assert said == [200] * 20 + [429] * 20


@pytest.mark.parametrize(
    "change",
    [
        '[stage.evil]\nuse = "/tmp/evil.py"',
        '[stage.command]\ncommand = ["/bin/sh"]',
        '[acme]\ndomains = ["x.example.org"]\nhook = ["/bin/sh"]',
        '[web.oidc.evil]\nissuer = "https://evil.test"\nclient_id = "x"\nclient_secret_file = "/etc/shadow"',
    ],
)
def test_no_code_comes_in_by_a_configuration(server, everything, change):
    """Who may change what the mail server does is not its user for that, and cannot give themselves scopes."""
    with program(server, everything) as api:
        before = server.config.read_text()
        for path in ("/revisions/checks", "/revisions", "/revisions/previews"):
            answer = api.post(path, json={"text": f"{before}\n{change}\n"})
            assert "only who may write the file" in answer.text, path
        assert server.config.read_text() == before


def test_what_a_revoked_token_does_is_nothing_from_the_next_request_on(server):
    token = token_of(server, "short", "--scope", "queue:read", "--for", "1h", "--network", "127.0.0.0/8")
    with program(server, token) as api:
        assert api.get("/token").json()["scopes"] == ["queue:read"]
        listed = json.loads(server.command("token", "list", "--json").stdout)
        (row,) = [one for one in listed if one["name"] == "short"]
        assert row["used"]
        assert row["networks"] == ["127.0.0.0/8"]
        assert server.command("token", "add", "short", "--scope", "queue:read").returncode == 1
        assert server.command("token", "add", "long", "--scope", "queue:raed").returncode == 2
        assert server.command("token", "revoke", "short").returncode == 0
        assert server.command("token", "revoke", "short").returncode == 1
        assert api.get("/token").status_code == 401


def kept(path: Path) -> bytes:
    """What is in a file that may be gone by now."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes() if path.is_file() else b""
    return b""


def test_no_secret_is_in_an_answer_a_log_or_a_measure(server, everything, load):
    """A token that is good, one that is not, and a password, sent wherever something can be sent."""
    secrets = [everything.split("_", 2)[2], "Q" * 43, PASSWORD]
    wrong = f"postroad_{'q' * 10}_{'Q' * 43}"
    seen = []
    with program(server, everything) as api, program(server, wrong) as stranger:
        for path, methods in DOCUMENT["paths"].items():
            for method in methods:
                place = re.sub(r"{.*?}", "7", path)
                for client in (api, stranger):
                    for secret in (everything, wrong, PASSWORD):
                        given = {"authorization": f"Bearer {secret}"} if client is stranger else {}
                        answer = client.request(method, place, headers={"x-token": secret, **given}, json={"token": 1})
                        seen.append(f"{answer.headers} {answer.text}")
        metrics = httpx2.get(f"http://127.0.0.1:{server.ports['metrics']}/metrics").text
    server.wait_for("token-refused", why="wrong")
    server.wait_for("api-called", token="everything")
    assert "postroad_api_requests_total" in metrics
    logged = (server.folder / "events.log").read_text() + json.dumps(server.events) + "\n".join(server.noise)
    data = b"".join(map(kept, (server.folder / "var").rglob("*")))
    for secret in secrets:
        assert not [one for one in seen if secret in one]
        assert secret not in metrics
        assert secret not in logged
        assert secret.encode() not in data
    for table in server.command("token", "list").stdout, server.command("ban", "list").stdout:
        assert not any(secret in table for secret in secrets)
