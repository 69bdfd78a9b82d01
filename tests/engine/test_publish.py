"""News between processes: who listens hears all from the greeting on."""

from contextlib import aclosing
from pathlib import Path

import pytest
import trio
import zmq

from engine.links import publish, wire
from engine.links.publish import Publisher, heard
from engine.links.sockets import Socket

DEADLINE = 20  # seconds, of which a test that works needs a fraction


async def test_whoever_was_greeted_hears_all_and_a_new_publisher_greets_anew(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{tmp_path}/news"
    with trio.fail_after(DEADLINE):
        async with aclosing(heard(context, endpoint)) as told:
            for _ in range(2):
                async with trio.open_nursery() as nursery:
                    publisher = Publisher(context, endpoint)
                    publisher.tell(0)  # to nobody
                    nursery.start_soon(publisher.serve)
                    while await anext(told) != ():
                        pass
                    for number in range(500):
                        publisher.tell(number, 2**40)
                    assert [await anext(told) for _ in range(500)] == [(number, 2**40) for number in range(500)]
                    nursery.cancel_scope.cancel()
                publisher.tell(1)  # to nobody again
    context.term()


async def test_what_is_said_together_comes_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "GATHER", 0.3)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoint = f"ipc://{tmp_path}/news"
    socket = Socket(context, zmq.SUB)
    socket.subscribe()
    socket.connect(endpoint)
    publisher = Publisher(context, endpoint)
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.serve)
            assert await socket.receive_many()  # the greeting
            for number in range(100):
                publisher.tell(number)
            messages = await socket.receive_many()
            assert [wire.unpack(frames[0]) for frames in messages] == [[[number] for number in range(100)]]
            nursery.cancel_scope.cancel()
    socket.close()
    context.term()
