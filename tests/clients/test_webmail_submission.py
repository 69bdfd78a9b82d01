"""What is sent from the browser is held to the rules of submission, by the stage that holds mail programs to them."""

import contextlib
import re
import time

import httpx2
import pytest

from tests.support.server import PASSWORD, PATIENCE, Postroad

pytestmark = pytest.mark.client

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"

SETTINGS = {
    "listen": {"web": "127.0.0.1:0", "submission": "127.0.0.1:0"},
    "lane": {"outbound": {"listen": ["submission"], "stages": ["submit", "queue", "route"]}},
    "stage": {
        "submit": {"use": "stages.accept", "login": "required", "account_recipients": ["3/1h"], "max_size": "100 KB"},
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Postroad(tmp_path_factory.mktemp("webmail"), SETTINGS).account(ANN, BOB, EVE) as running:
        yield running


@pytest.fixture(scope="module")
def ann(server):
    with signed_in(server, ANN) as client:
        yield client


@contextlib.contextmanager
def signed_in(server, address):
    """Somebody's browser, and the token of its pages."""
    with httpx2.Client(base_url=f"http://localhost:{server.ports['web']}", timeout=PATIENCE) as client:
        client.headers["accept"] = "text/html"
        assert client.post("/sign-in", data={"address": address, "password": PASSWORD}).status_code == 303
        token = re.search(r'name="csrf" content="([^"]+)"', client.get("/mail/").text)
        assert token
        client.headers |= {"x-csrf-token": token[1], "accept": "application/json"}
        yield client


def sent(client, at: float = 0.0, **letter):
    draft = client.post("/mail/draft", json=letter)
    assert draft.status_code == 200, draft.text
    return client.post("/mail/send", json={"draft": draft.json()["draft"], "token": "t", "at": at})


def test_nobody_writes_in_the_name_of_others(ann):
    response = sent(ann, sender=BOB, to=BOB, subject="I am Bob", text="x")
    assert response.status_code == 409
    assert "may not send as bob@example.org" in response.json()["detail"]


def test_what_is_too_large_is_refused(ann):
    response = sent(ann, to=BOB, subject="large", text="words " * 30_000)
    assert response.status_code == 409
    assert "at most 100000 octets" in response.json()["detail"]


def test_a_letter_for_later_is_held(server, ann):
    assert sent(ann, time.time() + 3600, to=BOB, subject="later", text="x").json() == {"sent": True, "refused": []}
    listed = server.command("queue", "list", "--json").stdout
    assert BOB in listed
    assert b"Subject: later" not in b"".join(server.mailbox(BOB))


def test_who_has_sent_much_waits(server):
    everybody = ", ".join(f"bob+{number}@example.org" for number in range(4))
    with signed_in(server, EVE) as eve:
        response = sent(eve, to=everybody, subject="many", text="x")
    assert response.status_code == 409 or response.json()["refused"]
