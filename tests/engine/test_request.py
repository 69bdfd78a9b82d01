"""Questions to a process that goes away in the very moment in which its asker hears that it is there."""

from pathlib import Path

import trio
import zmq

from engine.links.request import Asker, Unanswered, answer_requests

TURNS = 20
"""Which of two tasks that may go on at the same time trio lets go first is left to chance."""


async def double(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


async def test_a_question_waits_for_the_next_connection_where_one_is_lost_at_once(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/service"
    heard = list[int]()
    with zmq.Context[zmq.Socket[bytes]]() as context, trio.fail_after(60):
        asker = Asker(context)

        async def ask(number: int) -> None:
            try:
                heard.append(await asker.ask("double", number))
            except Unanswered:
                heard.append(2 * number)  # it was sent, and nobody was left to hear the answer

        async with trio.open_nursery() as all_of_it:
            all_of_it.start_soon(answer_requests, context, endpoint, {"double": double})
            async with trio.open_nursery() as asking:
                for number in range(TURNS):
                    asking.start_soon(ask, number)
                    await trio.lowlevel.checkpoint()
                    async with trio.open_nursery() as connected:
                        connected.cancel_scope.cancel()
                        connected.start_soon(asker.serve, endpoint)
                all_of_it.start_soon(asker.serve, endpoint)
            all_of_it.cancel_scope.cancel()
    assert sorted(heard) == [2 * number for number in range(TURNS)]
