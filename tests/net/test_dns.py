"""The resolver against a real DNS server on loopback.

The mock clock stands still unless a test moves it, so that nothing here can time out on its own. Every test names
it, because pytest-trio looks for a clock only among the arguments of the test itself.
"""

from functools import partial

import pytest
import trio
import trio.testing

from engine.net.dns import (
    AT_ONCE,
    FEWEST,
    LONGEST_NEGATIVE_TTL,
    LONGEST_TTL,
    TROUBLE_TTL,
    Allowance,
    Answer,
    DnsTrouble,
    ExpiringCache,
    Mx,
    NoData,
    NoSuchName,
    Resolver,
    a_labels,
    side_by_side,
)
from engine.net.zone import Fault, Zone, serve_zone

RECORDS = {
    "@": {"MX": ["20 mx2", "10 MX1"], "A": "192.0.2.1", "TXT": ['"one " "two"', '"three"'], "NS": "ns"},
    "mx1": {"A": ["192.0.2.2", "192.0.2.3", "192.0.2.4"], "AAAA": ["2001:db8::2", "2001:db8::3"]},
    "mx2": {"A": "192.0.2.5"},
    "six": {"AAAA": "2001:db8::6"},
    "www": {"CNAME": "mx2"},
    "null": {"MX": "0 ."},
    "loop1": {"CNAME": "loop2"},
    "loop2": {"CNAME": "loop1"},
    "self": {"CNAME": "self"},
    "long": {"TXT": ['"' + "x" * 200 + str(number) + '"' for number in range(20)]},
    "xn--bcher-kva": {"A": "192.0.2.7"},
    **{f"hop{number}": {"CNAME": f"hop{number + 1}"} for number in range(9)},
    "hop9": {"A": "192.0.2.9"},
}


@pytest.fixture
def zone():
    return Zone("example.org", RECORDS)


@pytest.fixture
async def address(nursery, mock_clock, zone):
    return await nursery.start(serve_zone, zone)


@pytest.fixture
def resolver(address):
    return Resolver([address])


def records(outcome):
    assert isinstance(outcome, Answer), outcome
    return sorted(outcome.records)


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("example.org", "A", ["192.0.2.1"]),
        ("EXAMPLE.ORG.", "A", ["192.0.2.1"]),
        ("example.org", "MX", [Mx(10, "mx1.example.org"), Mx(20, "mx2.example.org")]),
        ("null.example.org", "MX", [Mx(0, ".")]),
        ("example.org", "TXT", [b"one two", b"three"]),
        ("example.org", "NS", ["ns.example.org"]),
        ("six.example.org", "AAAA", ["2001:db8::6"]),
        ("www.example.org", "CNAME", ["mx2.example.org"]),
        ("www.example.org", "A", ["192.0.2.5"]),
        ("hop1.example.org", "A", ["192.0.2.9"]),  # eight aliases
        ("bücher.example.org", "A", ["192.0.2.7"]),
        ("BÜCHER.example.org", "A", ["192.0.2.7"]),
        ("bücher。example.org", "A", ["192.0.2.7"]),
    ],
)
async def test_records(resolver, name, rdtype, expected, mock_clock):
    assert records(await resolver.ask(name, rdtype)) == expected


async def test_other_types_come_as_rdata(resolver, mock_clock):
    outcome = await resolver.ask("example.org", "SOA")
    assert outcome.records[0].minimum == 60


@pytest.mark.parametrize(
    ("name", "rdtype", "kind"),
    [
        ("mx1.example.org", "MX", NoData),
        ("nobody.example.org", "MX", NoSuchName),
        ("example.com", "MX", DnsTrouble),  # the server refuses
        ("loop1.example.org", "A", DnsTrouble),
        ("self.example.org", "A", DnsTrouble),
        ("hop0.example.org", "A", DnsTrouble),  # nine aliases
    ],
)
async def test_other_outcomes(resolver, name, rdtype, kind, mock_clock):
    assert isinstance(await resolver.ask(name, rdtype), kind)


@pytest.mark.parametrize(
    "name", ["", "@", "a..example.org", "x" * 64 + ".org", "a." * 130 + "org", "☃\u200d.org", "ü" * 300, "\ud800.org"]
)
async def test_impossible_names_do_not_exist(resolver, zone, name, mock_clock):
    outcome = await resolver.ask(name, "MX")
    assert isinstance(outcome, NoSuchName)
    assert outcome.text
    assert not zone.questions


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("Example.ORG", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("_dmarc.Bücher.example", "_dmarc.xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2008 keeps the sharp s
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_labels(domain, expected):
    assert a_labels(domain) == expected


async def test_addresses_take_turns(resolver, mock_clock):
    outcome = await resolver.addresses("mx1.example.org")
    four = [address for address in outcome.records if "." in address]
    six = [address for address in outcome.records if ":" in address]
    assert outcome.records == (four[0], six[0], four[1], six[1], four[2])
    assert sorted(four) == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    assert sorted(six) == ["2001:db8::2", "2001:db8::3"]


async def test_addresses_without_ipv6(resolver, zone, mock_clock):
    assert len((await resolver.addresses("mx1.example.org", ipv6=False)).records) == 3
    assert isinstance(await resolver.addresses("six.example.org", ipv6=False), NoData)
    assert not [question for question in zone.questions if question[1] == "AAAA"]


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("mx2.example.org", Answer),
        ("six.example.org", Answer),
        ("nobody.example.org", NoSuchName),
        ("null.example.org", NoData),
        ("example.com", DnsTrouble),
    ],
)
async def test_addresses_of_one_kind_or_none(resolver, host, kind, mock_clock):
    assert isinstance(await resolver.addresses(host), kind)
    assert isinstance(await resolver.addresses(host), kind)


async def test_a_and_aaaa_are_asked_side_by_side(resolver, zone, mock_clock, nursery):
    zone.delay("mx1", 1)
    outcomes = []

    async def keep():
        outcomes.append(await resolver.addresses("mx1.example.org"))

    nursery.start_soon(keep)
    await zone.until_asked("mx1", "A")
    await zone.until_asked("mx1", "AAAA")
    assert outcomes == []
    mock_clock.jump(1)
    await until(lambda: outcomes)
    assert len(outcomes[0].records) == 5


async def until(done):
    """Let the others run until it is so. Nothing here depends on how long that takes."""
    while not done():
        await trio.lowlevel.checkpoint()


async def test_half_an_address_in_trouble_is_kept_only_as_long_as_the_trouble(resolver, zone, mock_clock):
    zone.fail("mx1", Fault.SERVFAIL, "AAAA")
    outcome = await resolver.addresses("mx1.example.org")
    assert len(outcome.records) == 3
    assert not outcome.secure
    assert outcome.expires == resolver.clock() + TROUBLE_TTL
    zone.fail("mx1", None, "AAAA")
    mock_clock.jump(TROUBLE_TTL)
    assert len((await resolver.addresses("mx1.example.org")).records) == 5
    assert zone.questions["mx1.example.org", "A"] == 1


async def test_no_address_but_trouble_is_trouble(resolver, zone, mock_clock):
    zone.fail("six", Fault.SERVFAIL, "AAAA")
    assert isinstance(await resolver.addresses("six.example.org"), DnsTrouble)


async def test_answers_are_kept_for_their_ttl(resolver, zone, mock_clock):
    zone.set("@", "A", "192.0.2.1", ttl=40)
    for seconds, questions, address in [(0, 1, "192.0.2.1"), (39, 1, "192.0.2.1"), (1, 2, "192.0.2.99")]:
        mock_clock.jump(seconds)
        assert (await resolver.ask("Example.org", "A")).records == (address,)
        assert zone.questions["example.org", "A"] == questions
        zone.set("@", "A", "192.0.2.99", ttl=40)


@pytest.mark.parametrize(("ttl", "kept"), [(7, 7), (0, 0), (2**31 - 1, LONGEST_TTL)])
async def test_ttl_bounds(resolver, zone, mock_clock, ttl, kept):
    zone.set("@", "A", "192.0.2.1", ttl=ttl)
    outcome = await resolver.ask("example.org", "A")
    assert outcome.expires - resolver.clock() == pytest.approx(kept)


async def test_an_alias_expires_with_its_shortest_record(resolver, zone, mock_clock):
    zone.set("www", "CNAME", "mx2", ttl=9)
    assert (await resolver.ask("www.example.org", "A")).expires - resolver.clock() == pytest.approx(9)


@pytest.mark.parametrize("name", ["nobody.example.org", "mx2.example.org"])
@pytest.mark.parametrize(
    "times",
    [(300, 60, 60), (30, 60, 30), (10**6, 10**6, LONGEST_NEGATIVE_TTL)],  # RFC 2308 5: the lesser of the two
)
async def test_denials_are_kept(resolver, zone, mock_clock, name, times):
    soa_ttl, minimum, kept = times
    zone.set("@", "SOA", f"ns hostmaster 1 3600 600 86400 {minimum}", ttl=soa_ttl)
    first = await resolver.ask(name, "MX")
    assert isinstance(first, NoData if name.startswith("mx2") else NoSuchName)
    mock_clock.jump(kept - 1)
    assert await resolver.ask(name, "MX") is first
    assert zone.questions[name, "MX"] == 1
    mock_clock.jump(1)
    await resolver.ask(name, "MX")
    assert zone.questions[name, "MX"] == 2


async def test_a_ttl_of_zero_is_not_kept(resolver, zone, mock_clock):
    zone.set("@", "A", "192.0.2.1", ttl=0)
    for _ in range(2):
        assert records(await resolver.ask("example.org", "A")) == ["192.0.2.1"]
    assert zone.questions["example.org", "A"] == 2


async def test_trouble_is_kept_briefly(resolver, zone, mock_clock):
    zone.fail("@", Fault.SERVFAIL)
    first = await resolver.ask("example.org", "A")
    assert "SERVFAIL" in first.text
    zone.fail("@", None)
    assert await resolver.ask("example.org", "A") is first
    mock_clock.jump(TROUBLE_TTL)
    assert records(await resolver.ask("example.org", "A")) == ["192.0.2.1"]


async def test_many_askers_share_one_query(resolver, zone, mock_clock):
    zone.delay("@", 1)
    async with trio.open_nursery() as nursery:
        outcomes = []

        async def keep():
            outcomes.append(await resolver.ask("example.org", "A"))

        for _ in range(50):
            nursery.start_soon(keep)
        await zone.until_asked("@", "A")
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1)
    assert len(outcomes) == 50
    assert all(outcome is outcomes[0] for outcome in outcomes)
    assert records(outcomes[0]) == ["192.0.2.1"]
    assert zone.questions["example.org", "A"] == 1


@pytest.mark.parametrize("gone", [1, 2, 5])
async def test_an_asker_that_is_cancelled_leaves_the_others_their_answer(resolver, zone, mock_clock, gone):
    zone.delay("@", 1)
    outcomes, scopes = [], [trio.CancelScope() for _ in range(6)]

    async def keep(scope):
        with scope:
            outcomes.append(await resolver.ask("example.org", "A"))

    async with trio.open_nursery() as nursery:
        for scope in scopes:
            nursery.start_soon(keep, scope)
            await trio.testing.wait_all_tasks_blocked()  # so that the first one asks and the others wait for it
        await zone.until_asked("@", "A")
        for scope in scopes[:gone]:
            scope.cancel()
        await zone.until_asked("@", "A", 2)
        mock_clock.jump(1)
    assert [scope.cancelled_caught for scope in scopes] == [True] * gone + [False] * (6 - gone)
    assert len(outcomes) == 6 - gone
    assert all(records(outcome) == ["192.0.2.1"] for outcome in outcomes)
    assert zone.questions["example.org", "A"] == 2


async def test_a_silent_server_is_trouble(resolver, zone, mock_clock):
    zone.fail("@", Fault.SILENT)
    assert "within 5 s from 127.0.0.1:" in (await times_out(resolver, zone, mock_clock, 5)).text


@pytest.mark.parametrize("fault", [Fault.WRONG_ID, Fault.WRONG_QUESTION, Fault.GARBAGE])
async def test_what_is_no_answer_to_our_question_is_not_taken(resolver, zone, mock_clock, fault):
    zone.fail("@", fault)
    assert isinstance(await times_out(resolver, zone, mock_clock, 5), DnsTrouble)


async def times_out(resolver, zone, mock_clock, seconds):
    """What the resolver says when time has passed after the first query."""
    outcomes = []

    async def keep():
        outcomes.append(await resolver.ask("example.org", "A"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        await zone.until_asked("@", "A")
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == []
        mock_clock.jump(seconds)
    return outcomes[0]


async def test_a_lost_query_is_sent_again(resolver, zone, mock_clock):
    zone.fail("@", Fault.SILENT)
    outcomes = []

    async def keep():
        outcomes.append(await resolver.ask("example.org", "A"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        await zone.until_asked("@", "A")
        zone.fail("@", None)
        mock_clock.jump(2.6)  # half of the five seconds: two attempts
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.2)  # dnspython's pause between two rounds
    assert records(outcomes[0]) == ["192.0.2.1"]
    assert zone.questions["example.org", "A"] == 2


async def test_the_next_server_is_asked(zone, nursery, mock_clock):
    broken, whole = Zone("example.org", RECORDS), Zone("example.org", RECORDS)
    broken.fail("@", Fault.SERVFAIL)
    servers = [await nursery.start(serve_zone, broken), await nursery.start(serve_zone, whole)]
    assert records(await Resolver(servers).ask("example.org", "A")) == ["192.0.2.1"]
    assert (broken.questions.total(), whole.questions.total()) == (1, 1)


async def test_long_answers_come_over_tcp(resolver, zone, mock_clock):
    assert len((await resolver.ask("long.example.org", "TXT")).records) == 20
    assert zone.questions["long.example.org", "TXT"] == 2


async def test_a_server_that_cuts_every_answer_is_asked_over_tcp(resolver, zone, mock_clock):
    zone.fail("@", Fault.TRUNCATED)
    assert records(await resolver.ask("example.org", "A")) == ["192.0.2.1"]


async def test_the_ad_bit(nursery, mock_clock):
    zone = Zone("example.org", RECORDS, secure=True)
    address = await nursery.start(serve_zone, zone)
    for trust, expected in [(None, True), (True, True), (False, False)]:
        resolver = Resolver([address], trust_ad=trust)
        for name in ("example.org", "nobody.example.org", "mx2.example.org"):
            assert (await resolver.ask(name, "MX")).secure is expected
        assert (await resolver.addresses("mx1.example.org")).secure is expected
    zone.secure = False
    assert not (await Resolver([address]).ask("example.org", "MX")).secure


async def test_only_servers_on_this_machine_are_trusted(nursery, mock_clock):
    zone = Zone("example.org", RECORDS, secure=True)
    address = await nursery.start(serve_zone, zone)
    outcome = await Resolver([address, "192.0.2.53"]).ask("example.org", "A")
    assert records(outcome) == ["192.0.2.1"]
    assert not outcome.secure


async def test_queries_at_once_are_bounded(address, zone, mock_clock, nursery):
    resolver = Resolver([address], at_once=2)
    names = ("@", "mx1", "mx2", "www")
    for name in names:
        zone.delay(name, 1)
    outcomes = []

    async def keep(name):
        outcomes.append(await resolver.ask("example.org" if name == "@" else f"{name}.example.org", "A"))

    for name in names:
        nursery.start_soon(keep, name)
    for done in (2, 4):
        await until(lambda done=done: zone.questions.total() == done)
        await trio.testing.wait_all_tasks_blocked()
        assert zone.questions.total() == done
        mock_clock.jump(1)
        await until(lambda done=done: len(outcomes) == done)


def test_fewer_are_open_where_many_have_no_answer():
    allowance = Allowance(256)
    for _ in range(100):
        allowance.unanswered(1.0, 2.0)  # all of them open at the same time: one reason
    assert allowance.limiter.total_tokens == AT_ONCE // 2
    for _ in range(AT_ONCE):
        allowance.answered()
    assert AT_ONCE // 2 < allowance.limiter.total_tokens < AT_ONCE
    for now in range(3, 100):
        allowance.unanswered(now, now)
    assert allowance.limiter.total_tokens == FEWEST


def test_some_dead_domains_are_not_laid_to_the_servers():
    allowance = Allowance(256)
    for now in range(8000):
        if now % 10:
            allowance.answered()
        else:
            allowance.unanswered(now, now)
    assert allowance.limiter.total_tokens > AT_ONCE


@pytest.mark.parametrize("server", ["", "dns.example.org", "dns.example.org:53", "127.0.0.1:0", "127.0.0.1:x", "::x"])
def test_servers_must_be_addresses(server):
    with pytest.raises(ValueError):
        Resolver([server])


def test_servers_of_the_system():
    assert Resolver()._asked


async def test_side_by_side_keeps_the_order(mock_clock):
    async def number(value):
        for _ in range(10 - value):
            await trio.lowlevel.checkpoint()
        return value

    assert await side_by_side([partial(number, value) for value in range(8)]) == list(range(8))
    assert await side_by_side([]) == []


def test_the_cache_forgets_what_was_not_used_for_longest():
    now = 0.0
    cache = ExpiringCache(2, lambda: now)
    cache.put("a", 1, 10)
    cache.put("b", 2, 10)
    assert cache.get("a") == 1
    cache.put("c", 3, 10)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.put("d", 4, 0)
    assert cache.get("d") is None
    now = 10.0
    assert cache.get("a") is None
    assert len(cache) == 1
