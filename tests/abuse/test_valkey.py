"""Tables on a real server that several nodes share: what is kept, how it is counted, and when it is out of reach."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from engine.abuse import Tables
from engine.abuse.table import Changes, Kept, key_of
from engine.abuse.valkey import Valkey, counting
from engine.config import Shared
from engine.login import Rates, Sender
from engine.scanning.guard import FAILURES, Unreachable
from engine.units import Rate
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import ROOT

pytestmark = marks("redis-server")

ONE, OTHER = key_of("one"), key_of("other")

COUNT = """
import sys
from pathlib import Path
import trio
from engine.abuse.table import Kept
from engine.abuse.valkey import Valkey
from engine.config import Shared

def more(values):
    return None, {b"count": Kept(b"%d" % (int(values[0] or 0) + 1), 1000)}

async def main():
    store = Valkey(Shared(url=sys.argv[1], password_file=Path(sys.argv[2])))
    for _ in range(100):
        await store.change("accounts", [b"count"], more)

trio.run(main)
"""


@pytest.fixture
def store(redis: Redis) -> Valkey:
    return Valkey(redis.settings)


def more(values: Sequence[bytes | None]) -> tuple[int, Changes]:
    count = int(values[0] or 0) + 1
    return count, {ONE: Kept(b"%d" % count, 1000)}


async def test_what_is_kept_is_there_for_its_time(store: Valkey) -> None:
    def keep(_: Sequence[bytes | None]) -> tuple[str, Changes]:
        return "kept", {ONE: Kept(b"\r\n\0value", 1000), OTHER: Kept(b"", 0.001)}

    assert await store.read("accounts", [ONE]) == [None]
    answer, changes = await store.change("accounts", [ONE, OTHER], keep)
    assert (answer, set(changes)) == ("kept", {ONE, OTHER})
    with trio.fail_after(60):
        while await store.read("accounts", [ONE, OTHER]) != [b"\r\n\0value", None]:
            await trio.sleep(0.01)
    assert await store.read("contacts", [ONE]) == [None], "a table of its own"
    assert await store.read("accounts", []) == []
    await store.change("accounts", [], lambda _: (None, {ONE: None}))
    assert await store.read("accounts", [ONE]) == [None]
    assert await store.change("accounts", [ONE], lambda _: (None, {})) == (None, {})


async def test_many_at_once_count_to_the_last_one(store: Valkey) -> None:
    async def count() -> None:
        for _ in range(5):
            await store.change("accounts", [ONE], more)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(count)
    assert await store.read("accounts", [ONE]) == [b"40"]


async def test_several_nodes_count_to_the_last_one(redis: Redis, store: Valkey) -> None:
    command = [sys.executable, "-c", COUNT, redis.settings.url, str(redis.settings.password_file)]
    several = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert await trio.to_thread.run_sync(lambda: [one.wait() for one in several]) == [0, 0]
    assert await store.read("accounts", [b"count"]) == [b"200"]


async def test_a_server_that_is_gone_and_comes_back(
    redis: Redis, store: Valkey, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    with Tables.open(tmp_path / "abuse") as tables:
        tables.server = store
        table = tables["accounts"]
        assert await table.change([ONE], more) == 1
        assert await table.change([ONE], more) == 2
        redis.kill()
        for count in range(3, 3 + 2 * FAILURES):
            assert await table.change([ONE], more) == count, "this machine knows what was on the server"
        assert await table.read([ONE]) == [b"8"]
        tables.strict = True
        with pytest.raises(Unreachable):
            await table.change([ONE], more)
        tables.strict = False

        redis.start()
        assert await table.change([ONE], more) == 9, "it is left alone for a while"
        autojump_clock.jump(60)
        assert await table.change([ONE], more) == 1
        assert await store.read("accounts", [ONE]) == [b"1"]
        assert table.local.read([ONE]) == [b"1"]


async def test_nodes_count_what_is_sent_together(redis: Redis, store: Valkey, tmp_path: Path) -> None:
    ann = Sender("account", "ann@example.org", (Rate("5/1h"),), (Rate("100/1h"),))
    with Rates.open(tmp_path / "one") as one, Rates.open(tmp_path / "other") as other:
        for rates in (one, other):
            rates.elsewhere = counting(Valkey(redis.settings))
        said = []
        for turn in range(7):
            said.append(await trio.to_thread.run_sync((one, other)[turn % 2].take, ann, 10))
        assert [excess is None for excess in said] == [True] * 5 + [False] * 2
        assert [excess.is_news for excess in said if excess] == [True, False]
        assert [sent.count for sent in one.sent()] == [5, 50]

        redis.kill()
        assert await trio.to_thread.run_sync(one.take, ann, 10) is not None, "what it has seen there it knows"
        assert await trio.to_thread.run_sync(one.take, Sender("account", "eve@example.org", ann.messages), 1) is None


async def test_a_server_that_hangs_costs_a_second_and_then_nothing(redis: Redis, store: Valkey) -> None:
    assert await store.read("accounts", [ONE]) == [None]
    redis.popen.send_signal(signal.SIGSTOP)
    try:
        for _ in range(FAILURES):
            with pytest.raises(Unreachable, match="no answer within"):
                await store.read("accounts", [ONE])
        with pytest.raises(Unreachable, match="left alone"):
            await store.read("accounts", [ONE])
    finally:
        redis.popen.send_signal(signal.SIGCONT)


async def test_a_reply_that_comes_too_late_is_nobody_else_s(redis: Redis, store: Valkey) -> None:
    await store.change("accounts", [ONE], more)
    redis.popen.send_signal(signal.SIGSTOP)
    with trio.move_on_after(0.1):
        await store.read("accounts", [ONE])
    redis.popen.send_signal(signal.SIGCONT)
    assert await store.read("accounts", [OTHER]) == [None]
    assert await store.read("accounts", [ONE]) == [b"1"]


async def test_a_wrong_password(redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("another\n")
    with pytest.raises(Unreachable, match="does not let us in: WRONGPASS"):
        await Valkey(redis.settings).read("accounts", [ONE])


async def test_something_else_at_that_port(nursery: trio.Nursery) -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mx.example.org ESMTP\r\n")
        await stream.receive_some()

    listeners = await nursery.start(trio.serve_tcp, greet, 0)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(Unreachable, match="no reply begins with"):
        await Valkey(Shared(url=f"redis://127.0.0.1:{port}")).read("accounts", [ONE])


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://host", "redis://", "redis://a:b@host", "redis://host/x"])
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(ValueError, match="is no Valkey or Redis"):
        print(Shared(url=url).place)


def test_a_place() -> None:
    assert Shared(url="redis://host").place == ("host", 6379, "", 0)
    found = Shared(url="valkeys://na%40me@host:7000/2")
    assert (found.place, found.under_tls) == (("host", 7000, "na@me", 2), True)
