"""Two nodes that share what they remember: what one has heard the other knows; none stops when the store is gone."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import Postroad, letter, until

pytestmark = marks("redis-server")

BOB = "bob@example.org"


def settings(redis: Redis) -> dict[str, object]:
    return {
        "server": {"workers": 1},
        "mailboxes": {"readers": 1},
        "lane": {"inbound": {"stages": ["accept", "greylist", "queue", "route"]}},
        "stage": {
            "accept": {"relay_networks": ["127.0.0.1"]},
            "greylist": {"delay": "1s", "network_passes": 0, "domain_passes": 0},
        },
        "dns": {"servers": ["127.0.0.1:1"], "timeout": "1s"},
        "shared": {"url": redis.settings.url, "password_file": str(redis.settings.password_file)},
    }


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    (tmp_path / "redis").mkdir()
    server = Redis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nodes(tmp_path: Path, redis: Redis) -> Iterator[list[Postroad]]:
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "other")]
        for folder in folders:
            folder.mkdir()
        yield [stack.enter_context(Postroad(folder, settings(redis)).account(BOB)) for folder in folders]


def attempt(node: Postroad, sender: str) -> str:
    """The reply to RCPT, or to the content."""
    with node.dialogue("127.0.0.9") as client:
        client.start(sender=sender)
        reply = client.ask(f"RCPT TO:<{BOB}>")
        return client.content(letter(sender, author=sender)) if reply.startswith("250") else reply


def test_nodes_know_the_same_and_go_on_without_the_store(nodes: list[Postroad], redis: Redis) -> None:
    one, other = nodes
    assert attempt(one, "a@x.test").startswith("451 4.7.1")
    until(lambda: attempt(other, "a@x.test").startswith("250"), "what the first node has heard to count for the other")
    assert attempt(one, "a@x.test").startswith("250")

    redis.kill()
    known = [attempt(one, "a@x.test") for _ in range(5)]
    assert all(reply.startswith("250") for reply in known), "this node has a copy of what it has changed"
    assert attempt(other, "b@x.test").startswith("451 4.7.1")
    until(lambda: attempt(other, "b@x.test").startswith("250"), "the second try, without the store")
    until(lambda: one.all("unreachable"), "the loss of the store to be told")
    assert len(one.all("unreachable")) == 1
    assert one.all("bug") == other.all("bug") == []

    redis.start()
    until(lambda: attempt(one, "a@x.test") and one.all("reachable-again"), "the store to be used again")
    assert attempt(one, "c@x.test").startswith("451 4.7.1")
    until(lambda: attempt(other, "c@x.test").startswith("250"), "the other node to know again")
    until(lambda: one.command("queue", "list").stdout == "", "all to be delivered")


def test_what_cannot_be_meant(tmp_path: Path) -> None:
    server = Postroad(tmp_path, {"shared": {"url": "redis:6379", "password_file": "nowhere"}})
    said = server.command("check").stderr
    assert "'redis:6379' is no Valkey or Redis" in said
    assert "nowhere: no such file" in said
