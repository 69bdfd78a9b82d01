"""Bells: who is rung for hears it, on this machine or by a store; nobody is waited for."""

from collections.abc import Callable

import trio
import trio.testing

from engine.abuse.bells import Bells
from engine.scanning.guard import Unreachable


class Store:
    """One that carries rings, or is out of reach."""

    def __init__(self, *, reachable: bool = True) -> None:
        self.reachable = reachable
        self.rung: list[str] = []

    async def ring(self, who: str) -> bool:
        if not self.reachable:
            raise Unreachable("away")
        self.rung.append(who)
        return who.startswith("known")

    async def hear(self, who: str, heard: Callable[[], None], wanted: Callable[[], bool]) -> None:
        if not self.reachable:
            raise Unreachable("away")
        heard()
        assert wanted()
        await trio.sleep_forever()


async def test_who_is_here_hears_it_and_others_by_the_store() -> None:
    store, heard = Store(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Bells().listen, "one-of-the-tests", heard.set)
        await trio.testing.wait_all_tasks_blocked(0.01)
        bells = Bells(lambda: store)
        for _ in range(10_000):  # more than wait in a socket
            assert await bells.ring(["one-of-the-tests"]) == []
        assert await bells.ring(["nobody-of-the-tests", "known-elsewhere"]) == ["nobody-of-the-tests"]
        with trio.fail_after(60):
            await heard.wait()
        nursery.cancel_scope.cancel()
    assert store.rung == ["nobody-of-the-tests", "known-elsewhere"]


async def test_rings_of_a_store_are_heard() -> None:
    heard = trio.Event()
    async with trio.open_nursery() as nursery:
        store = Store()
        nursery.start_soon(Bells(lambda: store).listen, "third-of-the-tests", heard.set)
        with trio.fail_after(60):
            await heard.wait()
        nursery.cancel_scope.cancel()


async def test_a_store_out_of_reach_is_no_trouble() -> None:
    store = Store(reachable=False)
    assert await Bells(lambda: store).ring(["nobody-of-the-tests"]) == [], "who may hear it is not gone"
    assert await Bells().ring(["nobody-of-the-tests"]) == ["nobody-of-the-tests"]
    with trio.move_on_after(0.05):
        await Bells(lambda: store).listen("fourth-of-the-tests", lambda: None)
