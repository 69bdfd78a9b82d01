"""What clients hear when the server goes down."""

import pytest
import trio

from tests.imap.imap_serving import Post


async def test_all_clients_are_told(post: Post) -> None:
    resting, idling, new = await post.client(selects="INBOX"), await post.client(selects="INBOX"), await post.visit()
    await idling.begins(b"IDLE")
    assert await idling.hears() == b"+ Idling"
    await new.hears()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post.visits.drain)
        for client in (resting, idling, new):
            assert (await client.hears()).startswith(b"* BYE")
            assert await client.hears() == b""
            await client.stream.aclose()


async def test_a_client_that_does_not_hear_is_left(post: Post, autojump_clock: trio.abc.Clock) -> None:
    client = await post.client()
    start = trio.current_time()
    await post.visits.drain(grace=0.5)
    assert trio.current_time() - start == pytest.approx(0.5)
    assert (await client.hears()).startswith(b"* BYE")
