"""What directories elsewhere have in common: a cache, connections that are used again, names that are like ours."""

import pytest

from engine.config import Elsewhere as Settings
from engine.directory import Account, Alias, Unavailable
from engine.directory.cache import Cache
from engine.directory.elsewhere import Elsewhere
from engine.directory.pool import PAUSE, Pool
from engine.protocols import scram
from tests.support.post import Clock

BOB = Account(1, "bob@example.org", 0.0)
TAGGED = Account(2, "bob+lists@example.org", 0.0)
CATCH_ALL = Alias("@other.test", ("bob@example.org",))


class Known(Elsewhere):
    """A server that knows a few."""

    def __init__(self, clock: Clock, **settings: int) -> None:
        super().__init__(Settings(postmaster="boss@else.test", cache_for=60, **settings), ["Example.org"], clock)
        self.entries = {"bob@example.org": BOB, "bob+lists@example.org": TAGGED, "@other.test": CATCH_ALL}
        self.asked: list[str] = []

    def look_up(self, local: str, domain: str) -> Account | Alias | None:
        self.asked.append(f"{local}@{domain}")
        return self.entries.get(f"{local}@{domain}")

    def knows_domain(self, domain: str) -> bool:
        self.asked.append(domain)
        return domain == "other.test"

    def verify(self, address: str, password: str) -> Account | None:
        return None

    def keys(self, *_: object, **__: object) -> scram.Keys:
        raise NotImplementedError

    def proven(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Known:
    return Known(clock)


FOUND = [
    ("bob@example.org", BOB),
    ("Bob@EXAMPLE.org", BOB),
    ('"bob"@example.org', BOB),
    ("bob+tag@example.org", BOB),
    ("bob+lists@example.org", TAGGED),
    ("nobody@example.org", None),
    ("bob@elsewhere.test", None),
    ("any@other.test", CATCH_ALL),
    ("postmaster", Alias("postmaster@example.org", ("boss@else.test",))),
    ("Postmaster+tag@example.org", Alias("postmaster@example.org", ("boss@else.test",))),
    ("postmaster@other.test", CATCH_ALL),
    ("postmaster@elsewhere.test", None),
    ("no address", None),
    ("+tag@example.org", None),
    ("\udcff@example.org", None),
    ("a\0@example.org", None),
]


@pytest.mark.parametrize(("address", "found"), FOUND)
def test_find(known: Known, address: str, found: object) -> None:
    assert known.find(address) == found
    assert known.account(address) == (found if address.lower().strip('"') in known.entries or '"' in address else None)
    assert not any("\0" in asked or "\udcff" in asked for asked in known.asked)


def test_domains(known: Known) -> None:
    assert [known.is_local(name) for name in ("EXAMPLE.org", "Other.test", "else.test", "a\0b")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert known.asked == ["other.test", "else.test"], "what pipeline.toml says is not asked for"


def test_what_was_found_is_believed_for_a_while(known: Known, clock: Clock) -> None:
    for _ in range(2):
        assert known.find("bob@example.org") == BOB
        assert known.find("ann@example.org") is None
    asked = ["bob@example.org", "ann@example.org", "@example.org"]
    assert known.asked == asked
    known.entries["ann@example.org"] = CATCH_ALL
    clock.now += 59
    assert known.find("ann@example.org") is None
    clock.now += 1
    assert known.find("ann@example.org") == CATCH_ALL
    assert known.state != known.state


def test_a_server_that_cannot_be_asked_is_not_remembered_for_it(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(local: str, domain: str) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(known, "look_up", away)
        with pytest.raises(Unavailable):
            known.find("bob@example.org")
    assert known.find("bob@example.org") == BOB


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_cache_holds_the_newest_and_never_more_than_it_may(size: int) -> None:
    cache: Cache[int, int] = Cache(size, 60)
    for number in range(10):
        assert cache.get(number, lambda number=number: number) == number
        assert len(cache) <= size
    for number in range(10 - size, 10):
        assert cache.get(number, lambda: -1) == number


class Connection:
    def __init__(self) -> None:
        self.closed = False
        self.works = True

    def use(self) -> "Connection":
        if not self.works:
            raise Unavailable("closed by the server")
        return self

    def close(self) -> None:
        self.closed = True


class Server:
    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.there = True

    def connect(self) -> Connection:
        if not self.there:
            raise Unavailable("refused")
        self.made.append(Connection())
        return self.made[-1]


def test_a_connection_is_used_again(clock: Clock) -> None:
    server = Server()
    pool = Pool(server.connect, 1, clock)
    assert pool.run(Connection.use) is pool.run(Connection.use)
    inner = pool.run(lambda _: pool.run(Connection.use))
    assert inner is server.made[1]
    assert [one.closed for one in server.made] == [True, False], "one is kept"
    pool.close()
    assert server.made[1].closed


def test_a_connection_that_the_server_has_closed_is_replaced(clock: Clock) -> None:
    server = Server()
    pool = Pool(server.connect, 2, clock)
    first = pool.run(Connection.use)
    first.works = False
    assert pool.run(Connection.use) is server.made[1]
    assert first.closed


def test_a_server_that_is_away_is_left_alone_for_a_moment(clock: Clock) -> None:
    server = Server()
    pool = Pool(server.connect, 2, clock)
    server.there = False
    with pytest.raises(Unavailable, match="refused"):
        pool.run(Connection.use)
    server.there = True
    with pytest.raises(Unavailable, match="refused"):
        pool.run(Connection.use)
    assert server.made == []
    clock.now += PAUSE
    assert pool.run(Connection.use) is server.made[0]


def test_a_connection_on_which_anything_failed_is_not_used_again(clock: Clock) -> None:
    server = Server()
    pool = Pool(server.connect, 2, clock)

    def broken(_: Connection) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        pool.run(broken)
    assert server.made[0].closed
    assert pool.run(Connection.use) is server.made[1]
