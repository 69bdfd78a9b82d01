"""News between processes: who listens hears all from the greeting on."""

from contextlib import aclosing
from pathlib import Path

import trio
import zmq

from engine.links.publish import Publisher, heard

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
