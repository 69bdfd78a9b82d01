"""Links of the letters about parked mail: who follows one is asked first, and nobody does more than it says."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.message import MessageId
from engine.quarantine.links import Action, Link, sign
from tests.support.parked import parked
from tests.support.site import BASIC, Site, site_of

ANN, EVE = "ann@example.org", "eve@example.org"
CONTENT = b"From: =?utf-8?q?<script>x</script>=E2=80=AE?= <x@example.com>\r\nSubject: Buy <b>now</b>\r\n\r\nWatches\r\n"

SETTINGS = """
[quarantine]
secret_file = "quarantine.secret"
url = "https://mx.example.org/quarantine"
"""


@asynccontextmanager
async def open_site(folder: Path, settings: str = SETTINGS) -> AsyncIterator[Site]:
    (folder / "quarantine.secret").write_text("new secret\nold secret\n")
    async with site_of(folder, BASIC + settings) as site:
        site.answers.known["queue", "release"] = site.answers.known["queue", "delete"] = lambda *_: ""
        yield site


def token(
    identity: MessageId, action: Action = "release", *, to: str = ANN, secret: bytes = b"new secret", left: int = 3600
) -> str:
    return sign(Link(action, identity, to, int(time.time()) + left), [secret])


Told = list[tuple[str, dict[str, Any]]]


@pytest.mark.parametrize(("action", "secret"), [("release", b"new secret"), ("delete", b"old secret")])
async def test_who_follows_the_link_is_asked_first(tmp_path: Path, told: Told, action: Action, secret: bytes) -> None:
    async with open_site(tmp_path) as site, site.browser(peer="203.0.113.7") as person:
        identity = parked(site.role.data, 1, ANN, EVE)
        address = f"/quarantine?token={token(identity, action, secret=secret)}"
        asked = await person.get(address)
        assert asked.status_code == 200
        for shown in ("buy", ANN, "spam", '<form method="post">'):
            assert shown in asked.text
        assert EVE not in asked.text
        assert (asked.headers["referrer-policy"], asked.headers["x-robots-tag"]) == ("no-referrer", "noindex")
        assert asked.headers["cache-control"] == "no-store"
        assert (site.answers.asked, told) == ([], [])
        done = await person.post(address)
        assert done.status_code == 200
        assert ("on its way" if action == "release" else "deleted") in done.text
        assert site.answers.asked == [("mail-1", "queue", action, bytes(identity), ANN)]
        (_, values), = told  # fmt: skip
        assert values == {"by": ANN, "id": str(identity), "decision": action, "to": (ANN,), "peer": "203.0.113.7"}


async def test_in_the_language_of_the_reader(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser(language="vi") as person:
        asked = await person.get(f"/quarantine?token={token(parked(site.role.data, 1, ANN))}")
        assert "Cho thư này đi tiếp?" in asked.text


async def test_nothing_of_the_message_is_markup(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser() as person:
        to = '"><script>y</script>"@example.org'
        identity = parked(site.role.data, 1, to, content=CONTENT)
        for method in (person.get, person.post):
            asked = await method(f"/quarantine?token={token(identity, to=to)}")
            assert asked.status_code == 200
            for none in ("<script>x", "<script>y", "<b>now", "\u202e"):
                assert none not in asked.text


def forged(identity: MessageId) -> str:
    return token(identity, secret=b"another secret")


def cut(identity: MessageId) -> str:
    return token(identity)[:-1]


def too_old(identity: MessageId) -> str:
    return token(identity, left=-1)


def of_others(identity: MessageId) -> str:
    return token(identity, to=EVE)


def of_nothing(_: MessageId) -> str:
    return token(MessageId.new(1.9e9))


@pytest.mark.parametrize(
    ("made", "status"), [(forged, 404), (cut, 404), (too_old, 410), (of_others, 410), (of_nothing, 410)]
)
async def test_what_decides_nothing(tmp_path: Path, made: Callable[[MessageId], str], status: int) -> None:
    async with open_site(tmp_path) as site, site.browser() as person:
        address = f"/quarantine?token={made(parked(site.role.data, 1, ANN))}"
        for method in (person.get, person.post):
            said = await method(address)
            assert (said.status_code, "<form" in said.text.partition("<main")[2]) == (status, False)
        assert site.answers.asked == []


async def test_a_reason_that_is_not_for_recipients(tmp_path: Path) -> None:
    async with open_site(tmp_path, SETTINGS + 'release = ["rspamd says *"]\n') as site, site.browser() as person:
        identity = parked(site.role.data, 1, ANN)
        assert (await person.post(f"/quarantine?token={token(identity)}")).status_code == 403
        assert site.answers.asked == []
        assert (await person.post(f"/quarantine?token={token(identity, 'delete')}")).status_code == 200


async def test_what_cannot_be_done_now_can_be_tried_again(tmp_path: Path, told: Told) -> None:
    async with open_site(tmp_path) as site, site.browser() as person:
        address = f"/quarantine?token={token(parked(site.role.data, 1, ANN))}"
        site.answers.known.clear()
        assert (await person.post(address)).status_code == 503
        assert [event for event, _ in told] == ["page-failed"]
        (tmp_path / "quarantine.secret").unlink()
        assert (await person.get(address)).status_code == 503


@pytest.mark.parametrize("settings", ["", "[quarantine]\n"])
async def test_without_a_secret_there_are_no_links(tmp_path: Path, settings: str) -> None:
    async with open_site(tmp_path, settings) as site, site.browser() as person:
        assert (await person.get("/quarantine?token=x")).status_code == 404


async def test_other_ways_of_asking(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser() as person:
        assert (await person.get("/quarantine")).status_code == 404
        assert (await person.get(f"/quarantine?token={'A' * 5000}")).status_code == 404
        assert (await person.get("/quarantine?token=%00%ff")).status_code == 404
        assert (await person.put("/quarantine")).status_code == 405
        assert site.answers.asked == []
