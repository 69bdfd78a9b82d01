"""Filters that break in every way: the message stays with its sender, other mail flows, and the log says which."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Postroad, letter, until

BOB = "bob@example.org"

CODE = {
    "raising": "async def raising(message: Message): raise KeyError('oops')",
    "exiting": "async def exiting(message: Message): raise SystemExit(3)",
    "grouping": "async def grouping(message: Message):\n    async with trio.open_nursery() as n: n.start_soon(broken)",
    "nothing": "async def nothing(message: Message): pass",
    "rubbish": "async def rubbish(message: Message): return 42",
    "the_class": "async def the_class(message: Message): return Defer",
    "hanging": "async def hanging(message: Message): await trio.sleep_forever()",
    "stubborn": "def stubborn(message: Message): time.sleep(20)",
    "sync_raising": "def sync_raising(message: Message): raise OSError('no such thing')",
    "bad_header": "async def bad_header(message: Message): return message.with_header('X', 'a\\r\\nBcc: eve')",
}
HEAD = '''
"""Broken on purpose."""
import time
import trio
from engine import Defer, Message

async def broken(): raise ValueError("inside")

'''
SAID = {
    "raising": "raised KeyError: 'oops'",
    "exiting": "raised SystemExit: 3",
    "grouping": "raised ExceptionGroup",
    "nothing": "returned nothing (a forgotten `return message`?)",
    "rubbish": "returned 42",
    "the_class": "returned <class 'engine.verdict.Defer'>",
    "hanging": "took longer than 1 s",
    "stubborn": "took longer than 1 s",
    "sync_raising": "raised OSError: no such thing",
    "bad_header": "raised ValueError",
}
ON_ERROR = {"skip": 250, "reject": 550, "quarantine": 250}


def stage(name: str, sender: str, **more: object) -> dict[str, object]:
    return {"use": f"filters/{name}.py", "timeout": "1s", "when": f'sender == "{sender}@example.net"', **more}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    """Every broken filter in one lane, each for mail from a sender of its own."""
    stages = {name: stage(name, name) for name in CODE}
    stages |= {
        f"on_{how}": stage("raising", how, on_error=how) | {"use": "filters/raising.py:raising"} for how in ON_ERROR
    }
    settings = {"lane": {"inbound": {"stages": ["accept", *stages, "queue", "route"]}}, "stage": stages}
    with Postroad(
        tmp_path_factory.mktemp("filters"), settings, **{name: HEAD + code for name, code in CODE.items()}
    ) as server:
        server.account(BOB)
        yield server


@pytest.mark.parametrize("name", CODE)
def test_a_broken_filter_puts_the_message_off(server: Postroad, name: str) -> None:
    server.forget()
    before = server.workers()
    with server.dialogue() as client:
        client.start(BOB, sender=f"{name}@example.net")
        reply = client.content(letter(name), "451 4.3.0")
        assert "trouble" in reply
        assert name not in reply  # the client is not told what our filters are
        client.start(BOB, sender="good@example.net").content(letter("good"), "250")
    put_off = server.wait_for("put-off", **{"from": f"{name}@example.net"})
    assert put_off["log"].startswith(f"the stage {name} {SAID[name]}")
    cause = [event for event in server.events if event["event"] in ("bug", "stage-failed")]
    assert [event["id"] for event in cause] == [put_off["id"]]
    assert server.workers() == before


@pytest.mark.parametrize("how", ON_ERROR)
def test_on_error(server: Postroad, how: str) -> None:
    server.forget()
    with server.dialogue() as client:
        client.start(BOB, sender=f"{how}@example.net").content(letter(how), str(ON_ERROR[how]))
    if how == "skip":
        server.wait_for("delivered", **{"from": "skip@example.net"})
    if how == "quarantine":
        server.wait_for("accepted", **{"from": "quarantine@example.net"})
        server.send(letter("behind it"), BOB, sender="behind@example.net")
        server.wait_for("delivered", **{"from": "behind@example.net"})
        assert server.all("delivered", **{"from": "quarantine@example.net"}) == []


def test_others_do_not_wait_for_a_filter_that_hangs(server: Postroad) -> None:
    with server.dialogue() as stuck:
        stuck.start(BOB, sender="stubborn@example.net").ask("DATA", "354")
        stuck.send(letter("stuck") + b".\r\n")
        for _ in range(20):
            server.send(letter("good"), BOB, sender="good@example.net")
        stuck.expect("451")


BREAKS_BEHIND_QUEUE = (
    HEAD
    + """
seen = []

async def behind(message: Message) -> Message:
    seen.append(message.id)
    if seen.count(message.id) < 3:
        raise RuntimeError("not yet")
    return message
"""
)


def test_a_filter_that_breaks_behind_the_queue_is_tried_again(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "queue", "behind", "route"]}},
        "stage": {"behind": {"use": "filters/behind.py"}},
        "queue": {"retry": ["200ms"]},
    }
    with Postroad(tmp_path, settings, behind=BREAKS_BEHIND_QUEUE) as server:
        server.account(BOB).send(letter("patience"), BOB)
        server.mail_for(BOB)
        said = ["the stage behind raised RuntimeError: not yet"] * 2
        until(lambda: [event["log"] for event in server.all("deferred")] == said, "two deferrals")


KILLER = (
    HEAD
    + """
import os, signal

async def killer(message: Message) -> Message:
    if message.header("Subject") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return message
"""
)


def killing(behind: bool, workers: int) -> dict[str, object]:
    stages = ["accept", "queue", "killer", "route"] if behind else ["accept", "killer", "queue", "route"]
    return {
        "server": {"workers": workers},
        "lane": {"inbound": {"stages": stages}},
        "stage": {"killer": {"use": "filters/killer.py", "workers": 2}},
    }


@pytest.mark.parametrize("behind", [False, True])
def test_a_message_that_kills_its_worker_is_parked(tmp_path: Path, behind: bool) -> None:
    """After three workers died with it in hand, it is the likely cause; all other mail goes on."""
    with Postroad(tmp_path, killing(behind, workers=1), killer=KILLER) as server:
        server.account(BOB)
        with server.dialogue().start(BOB) as client:
            client.content(letter("kill"), "250")
        for number in range(10):
            server.send(letter(f"good {number}"), BOB)
        assert len(server.mail_for(BOB, 10)) == 10
        if behind:
            server.wait_for("quarantined")
        until(lambda: len(server.all("worker-died")) == 3, "the third to have died")


def test_no_message_is_lost_beside_one_that_kills(tmp_path: Path) -> None:
    """With two senders to one worker another message may share its fate and be parked with it, but none is lost."""
    with Postroad(tmp_path, killing(behind=True, workers=2), killer=KILLER) as server:
        server.account(BOB)
        for subject in ("kill", *(f"good {number}" for number in range(10))):
            server.send(letter(subject), BOB)
        until(lambda: len(server.all("delivered") + server.all("quarantined")) == 11, "an end for every message")
        ended = [event["id"] for event in server.all("delivered") + server.all("quarantined")]
        assert sorted(ended) == sorted(event["id"] for event in server.all("accepted"))


EXITS = (
    HEAD
    + """
from dataclasses import dataclass

@dataclass
class Exits:
    async def __aenter__(self): raise SystemExit(7)
    async def __aexit__(self, *_): pass
    async def __call__(self, message: Message) -> Message: return message
"""
)


def test_a_filter_that_exits_when_it_is_loaded_or_opened(tmp_path: Path) -> None:
    with Postroad(tmp_path, exits=HEAD + "raise SystemExit(0)\n") as server:
        before = server.workers()
        server.change(
            {
                "lane": {"inbound": {"stages": ["accept", "exits", "queue", "route"]}},
                "stage": {"exits": {"use": "filters/exits.py"}},
            }
        )
        done = server.reload()
        assert done.returncode == 2
        assert "exits.py does not load: SystemExit" in done.stderr
        os.kill(server.pid, signal.SIGHUP)  # as an operator might who does not ask the command
        assert "exits.py does not load: SystemExit" in server.wait_for("reload-refused")["error"]
        server.filter("exits", EXITS)
        done = server.reload()
        assert done.returncode == 1
        assert "the stage exits called exit() when it was opened" in done.stderr
        assert server.workers() == before
