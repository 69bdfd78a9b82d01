"""The stage `resolve` with the real resolver against a real DNS server: domains in, sites and verdicts out."""

from random import Random

import pytest
import trio
import trio.testing

from engine import Defer, Each, Envelope, Message, MessageId, Recipient, Reject
from engine.message import NEXT_HOP, Octets
from engine.net.dns import TROUBLE_TTL, Resolver
from engine.net.names import Hostname
from engine.net.zone import Fault, Zone, serve_zone
from stages.resolve import Resolve

OUR_NAME = Hostname("Mail.Our.Example")

RECORDS = {
    "one": {"MX": "10 mx1"},
    "two": {"MX": ["20 mx2", "10 mx1"]},
    "again": {"MX": ["9 mx2", "5 mx1"]},  # the same ranks as "two" under other numbers
    "turned": {"MX": ["20 mx1", "10 mx2"]},
    "twice": {"MX": ["20 mx1", "10 mx1"]},
    "equal": {"MX": ["10 mx1", "10 mx2", "10 mx3", "20 backup"]},
    "equals": {"MX": ["1 mx3", "1 mx2", "1 mx1", "2 backup"]},
    "many": {"MX": [f"10 many{number}" for number in range(8)]},
    "alsomany": {"MX": [f"10 many{number}" for number in range(8)]},
    "plain": {"A": "192.0.2.80"},
    "plainsix": {"AAAA": "2001:db8::80"},
    "alias": {"CNAME": "two"},
    "aliasplain": {"CNAME": "plain"},
    "mxalias": {"MX": "10 aliashost"},
    "aliashost": {"CNAME": "mx2"},
    "loopalias": {"CNAME": "loopalias"},
    "null": {"MX": "0 ."},
    "halfnull": {"MX": ["0 .", "10 mx1"]},
    "bare": {"TXT": "nothing"},
    "dead": {"MX": ["10 gone1", "20 gone2"]},
    "halfdead": {"MX": ["10 gone1", "20 mx2"]},
    "patchy": {"MX": ["10 gone1", "20 mx1", "30 mx2", "40 mx3"]},
    "emptyhost": {"MX": "10 bare"},
    "farther": {"MX": ["10 mx1", "20 mail.our.example.", "20 mx2", "30 mx3"]},
    "nearest": {"MX": ["10 mail.our.example.", "20 mx2"]},
    "sixonly": {"MX": "10 six"},
    "wide": {"MX": ["10 wide1", "20 wide2"]},
    "shaky": {"MX": ["10 shaky1", "20 mx2"]},
    "shakyalone": {"MX": ["10 shaky1", "20 gone1"]},
    "servfail": {"A": "192.0.2.66"},
    "xn--bcher-kva": {"MX": "10 mx1"},
    "longnames": {"MX": [f"10 {'n' * 40}{number}" for number in range(4)]},
    "mx1": {"A": "192.0.2.1", "AAAA": "2001:db8::1"},
    "mx2": {"A": "192.0.2.2"},
    "mx3": {"A": "192.0.2.3"},
    "backup": {"A": "192.0.2.9"},
    "six": {"AAAA": "2001:db8::6"},
    "wide1": {"A": [f"192.0.2.{number}" for number in range(100, 120)]},
    "wide2": {"A": [f"192.0.2.{number}" for number in range(120, 123)]},
    "shaky1": {"A": "192.0.2.67"},
    **{f"many{number}": {"A": f"192.0.2.{number + 30}"} for number in range(8)},
    **{f"{'n' * 40}{number}": {"A": f"192.0.2.{number + 40}"} for number in range(4)},
}


@pytest.fixture
def zone():
    zone = Zone("example", RECORDS)
    zone.fail("servfail", Fault.SERVFAIL)
    zone.fail("shaky1", Fault.SERVFAIL)
    return zone


@pytest.fixture
def ours():
    return Zone("our.example", {"mail": {"A": "192.0.2.200"}})


@pytest.fixture
async def resolver(nursery, mock_clock, zone, ours):
    return Resolver([await nursery.start(serve_zone, zone, ours)])


@pytest.fixture
def stage(resolver):
    return staged(resolver)


def staged(resolver, **settings):
    stage = Resolve(resolver, OUR_NAME, **settings)
    stage.rng = Random(4)
    return stage


def letter(*recipients):
    envelope = Envelope("a@sender.example", tuple(map(Recipient, recipients)), facts={"spf.result": "pass"})
    return Message(MessageId.new(), envelope, Octets(b"Subject: x\r\n\r\n"))


def told(verdict):
    """What the relay will read: the hosts in their order."""
    assert isinstance(verdict, Message), verdict
    assert verdict.fact("spf.result") == "pass"
    return [tuple(host) for host in verdict.fact("resolve.hosts")]


MX1 = ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("domain", "site", "hosts"),
    [
        ("one.example", "mx1.example", [(10, "mx1.example", MX1)]),
        ("ONE.Example", "mx1.example", [(10, "mx1.example", MX1)]),
        (
            "two.example",
            "mx1.example,mx2.example",
            [(10, "mx1.example", MX1), (20, "mx2.example", ["192.0.2.2"])],
        ),
        ("twice.example", "mx1.example", [(10, "mx1.example", MX1)]),
        ("plain.example", "plain.example", [(0, "plain.example", ["192.0.2.80"])]),
        ("plainsix.example", "plainsix.example", [(0, "plainsix.example", ["2001:db8::80"])]),
        (
            "alias.example",
            "mx1.example,mx2.example",
            [(10, "mx1.example", MX1), (20, "mx2.example", ["192.0.2.2"])],
        ),
        ("aliasplain.example", "aliasplain.example", [(0, "aliasplain.example", ["192.0.2.80"])]),
        ("mxalias.example", "aliashost.example", [(10, "aliashost.example", ["192.0.2.2"])]),
        ("halfnull.example", "mx1.example", [(10, "mx1.example", MX1)]),
        ("halfdead.example", "gone1.example,mx2.example", [(20, "mx2.example", ["192.0.2.2"])]),
        ("shaky.example", "mx2.example,shaky1.example", [(20, "mx2.example", ["192.0.2.2"])]),
        ("farther.example", "mx1.example", [(10, "mx1.example", MX1)]),
        ("sixonly.example", "six.example", [(10, "six.example", ["2001:db8::6"])]),
        ("bücher.example", "mx1.example", [(10, "mx1.example", MX1)]),
        ("[192.0.2.7]", "[192.0.2.7]", [(0, "[192.0.2.7]", ["192.0.2.7"])]),
        ("[IPv6:2001:DB8:0::7]", "[IPv6:2001:db8::7]", [(0, "[IPv6:2001:db8::7]", ["2001:db8::7"])]),
        ("[ipv6:::1]", "[IPv6:::1]", [(0, "[IPv6:::1]", ["::1"])]),
    ],
)
async def test_ways(stage, mock_clock, domain, site, hosts):
    verdict = await stage(letter(f"a@{domain}"))
    assert told(verdict) == hosts
    assert verdict.fact("resolve.site") == site
    assert verdict.fact("resolve.port") == 25
    assert verdict.fact("resolve.secure") is False


@pytest.mark.parametrize(
    ("address", "kind", "code"),
    [
        ("a@nobody.example", Reject, "5.1.2"),
        ("a@" + "x" * 64 + ".example", Reject, "5.1.2"),
        ("a@a..example", Reject, "5.1.2"),
        ("a@☃\u200d.example", Reject, "5.1.2"),
        ("a@null.example", Reject, "5.1.10"),
        ("a@bare.example", Reject, "5.4.4"),
        ("a@dead.example", Reject, "5.4.4"),
        ("a@emptyhost.example", Reject, "5.4.4"),
        ("a@nearest.example", Reject, "5.4.6"),
        ("a@mail.our.example", Reject, "5.4.6"),
        ("a@servfail.example", Defer, "4.4.3"),
        ("a@shakyalone.example", Defer, "4.4.3"),
        ("a@loopalias.example", Defer, "4.4.3"),
        ("a@elsewhere.test", Defer, "4.4.3"),  # the server refuses
        ("postmaster", Reject, "5.1.3"),
        ("a@", Reject, "5.1.3"),
        ("a@[]", Reject, "5.1.3"),
        ("a@[192.0.2.7", Reject, "5.1.3"),
        ("a@[192.0.2.777]", Reject, "5.1.3"),
        ("a@[2001:db8::1]", Reject, "5.1.3"),
        ("a@[IPv6:192.0.2.7]", Reject, "5.1.3"),
        ("a@[IPv6:fe80::1%eth0]", Reject, "5.1.3"),
        ("a@[x400:whatever]", Reject, "5.1.3"),
    ],
)
async def test_refusals_and_deferrals(stage, mock_clock, address, kind, code):
    verdict = await stage(letter(address))
    assert type(verdict) is kind
    assert verdict.code == code
    assert (await stage(letter(address))) == verdict


async def test_a_deferral_tells_the_operator_why_and_passes_with_the_trouble(stage, zone, mock_clock):
    verdict = await stage(letter("a@servfail.example"))
    assert "SERVFAIL" in verdict.log
    assert "SERVFAIL" not in verdict.text
    zone.fail("servfail", None)
    mock_clock.jump(TROUBLE_TTL)
    assert told(await stage(letter("a@servfail.example"))) == [(0, "servfail.example", ["192.0.2.66"])]


async def test_a_silent_server_defers(stage, zone, mock_clock):
    zone.fail("one", Fault.SILENT)
    verdicts = []

    async def keep():
        verdicts.append(await stage(letter("a@one.example", "b@two.example")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        await zone.until_asked("one", "MX")
        await zone.until_asked("mx2", "AAAA")  # the other domain goes on meanwhile
        await trio.testing.wait_all_tasks_blocked()
        assert verdicts == []
        mock_clock.jump(5)
    each = verdicts[0].verdicts
    assert each["a@one.example"].code == "4.4.3"
    assert len(told(each["b@two.example"])) == 2


async def test_a_way_is_kept_until_its_first_record_expires(stage, zone, mock_clock):
    zone.set("mx1", "A", "192.0.2.1", ttl=30)
    zone.remove("mx1", "AAAA")
    await stage(letter("a@one.example"))
    zone.set("mx1", "A", "192.0.2.99", ttl=30)
    mock_clock.jump(29)
    assert told(await stage(letter("a@one.example")))[0][2] == ["192.0.2.1"]
    mock_clock.jump(1)
    assert told(await stage(letter("a@one.example")))[0][2] == ["192.0.2.99"]
    assert zone.questions["one.example", "MX"] == 1


async def test_equal_hosts_are_shuffled_for_each_message(stage, mock_clock):
    orders = set()
    for _ in range(60):
        hosts = [host for _, host, _ in told(await stage(letter("a@equal.example")))]
        assert hosts[3] == "backup.example"
        orders.add(tuple(hosts[:3]))
    assert len(orders) == 6


async def test_the_same_seed_gives_the_same_order(resolver, mock_clock):
    orders = []
    for _ in range(2):
        stage = staged(resolver)
        orders.append([told(await stage(letter("a@equal.example"))) for _ in range(5)])
    assert orders[0] == orders[1]


async def test_recipients_of_one_site_go_on_together(stage, mock_clock):
    addresses = [
        f"{user}@{domain}.example"
        for domain in ("one", "two", "again", "alias", "turned", "equal", "equals", "many", "alsomany", "nobody")
        for user in "ab"
    ]
    verdict = await stage(letter(*addresses))
    assert isinstance(verdict, Each)
    assert list(verdict.verdicts) == addresses
    groups = {}
    for address, decision in verdict.verdicts.items():
        groups.setdefault(id(decision), set()).add(address.partition("@")[2].partition(".")[0])
    assert sorted(map(sorted, groups.values())) == [
        ["again", "alias", "two"],
        ["alsomany", "many"],
        ["equal", "equals"],
        ["nobody"],
        ["one"],
        ["turned"],
    ]
    turned = verdict.verdicts["a@turned.example"]
    assert turned.fact("resolve.site") == verdict.verdicts["a@two.example"].fact("resolve.site")
    assert [host for _, host, _ in told(turned)] == ["mx2.example", "mx1.example"]
    assert verdict.verdicts["a@nobody.example"].code == "5.1.2"


async def test_one_site_for_all_needs_no_each(stage, mock_clock):
    verdict = await stage(letter("a@two.example", "b@TWO.example", "c@again.example", "d@alias.example"))
    assert isinstance(verdict, Message)
    assert len(verdict.recipients) == 4


async def test_the_message_that_came_is_left_alone(stage, mock_clock):
    message = letter("a@one.example")
    assert await stage(message) is not message
    assert dict(message.envelope.facts) == {"spf.result": "pass"}


async def test_hosts_are_bounded(resolver, mock_clock):
    hosts = told(await staged(resolver, max_hosts=3)(letter("a@many.example")))
    assert len(hosts) == 3
    assert len({host for _, host, _ in hosts}) == 3


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_hosts_that_are_gone_do_not_count(resolver, mock_clock, limit):
    hosts = told(await staged(resolver, max_hosts=limit)(letter("a@patchy.example")))
    assert [host for _, host, _ in hosts] == ["mx1.example", "mx2.example", "mx3.example"][:limit]


@pytest.mark.parametrize(("limit", "shares"), [(10, [7, 3]), (4, [2, 2]), (1, [1, 1]), (100, [20, 3])])
async def test_addresses_are_bounded_and_shared_out(resolver, mock_clock, limit, shares):
    hosts = told(await staged(resolver, max_addresses=limit)(letter("a@wide.example")))
    assert [len(addresses) for _, _, addresses in hosts] == shares


async def test_without_ipv6(resolver, zone, mock_clock):
    stage = staged(resolver, ipv6=False)
    assert told(await stage(letter("a@one.example"))) == [(10, "mx1.example", ["192.0.2.1"])]
    assert (await stage(letter("a@sixonly.example"))).code == "5.4.4"
    assert (await stage(letter("a@[IPv6:2001:db8::7]"))).code == "5.4.4"
    assert not [question for question in zone.questions if question[1] == "AAAA"]


async def test_another_port_is_another_site(resolver, mock_clock):
    verdict = await staged(resolver, port=2525)(letter("a@one.example"))
    assert verdict.fact("resolve.port") == 2525
    assert verdict.fact("resolve.site") == "mx1.example:2525"


async def test_a_long_site_key_is_cut_but_tells_all_hosts_apart(resolver, zone, mock_clock):
    keys = [(await staged(resolver)(letter("a@longnames.example"))).fact("resolve.site") for _ in range(2)]
    zone.set("longnames", "MX", *RECORDS["longnames"]["MX"][:3])
    mock_clock.jump(300)
    keys.append((await staged(resolver)(letter("a@longnames.example"))).fact("resolve.site"))
    assert keys[0] == keys[1] != keys[2]
    for key in keys:
        assert key.startswith("n" * 40 + "0.example,")
        assert len(key) < 130


@pytest.mark.parametrize(
    ("smart_host", "way"),
    [
        ("mx1.example:587", ("mx1.example:587", 587, (0, "mx1.example", MX1))),
        ("MX1.example", ("mx1.example", 25, (0, "mx1.example", MX1))),
        ("127.0.0.1:2525", ("127.0.0.1:2525", 2525, (0, "127.0.0.1", ["127.0.0.1"]))),
        ("[::1]:25", ("::1", 25, (0, "::1", ["::1"]))),
        ("[::1]:26", ("[::1]:26", 26, (0, "::1", ["::1"]))),
    ],
)
async def test_smart_host(resolver, zone, mock_clock, smart_host, way):
    verdict = await staged(resolver, smart_host=smart_host)(letter("a@null.example", "b@nobody.example", "c@[1.2.3.4]"))
    assert (verdict.fact("resolve.site"), verdict.fact("resolve.port"), *told(verdict)) == way
    assert not [question for question in zone.questions if question[1] == "MX"]


async def test_a_server_that_an_operator_names_takes_the_message(resolver, zone, mock_clock):
    stage = staged(resolver, smart_host="mx2.example")
    verdict = await stage(letter("a@null.example", "b@nobody.example").with_fact(NEXT_HOP, "mx1.example:587"))
    assert (verdict.fact("resolve.site"), *told(verdict)) == ("mx1.example:587", (0, "mx1.example", MX1))
    assert not [question for question in zone.questions if question[1] == "MX"]


@pytest.mark.parametrize("smart_host", ["nobody.example", "bare.example", "servfail.example"])
async def test_a_smart_host_that_cannot_be_found_bounces_nothing(resolver, mock_clock, smart_host):
    verdict = await staged(resolver, smart_host=smart_host)(letter("a@one.example", "b@two.example"))
    decisions = verdict.verdicts.values() if isinstance(verdict, Each) else [verdict]
    assert all(isinstance(decision, Defer) and decision.code == "4.4.4" for decision in decisions)
    assert all("example" in decision.log for decision in decisions)


@pytest.mark.parametrize(
    "settings", [{"smart_host": "a:b"}, {"smart_host": ":25"}, {"max_hosts": 0}, {"max_addresses": 0}]
)
def test_settings_that_cannot_work(settings):
    with pytest.raises(ValueError):
        Resolve(Resolver(["127.0.0.1:53"]), OUR_NAME, **settings)


@pytest.mark.parametrize(
    ("mx_secure", "host_secure", "expected"),
    [(True, True, True), (False, True, False), (True, False, False), (False, False, False)],
)
async def test_secure_only_when_all_of_it_is(nursery, mock_clock, mx_secure, host_secure, expected):
    domains = Zone("example", {"one": {"MX": "10 mx.hosts.test."}, "plain": {"A": "192.0.2.1"}}, secure=mx_secure)
    hosts = Zone("hosts.test", {"mx": {"A": "192.0.2.2"}}, secure=host_secure)
    stage = staged(Resolver([await nursery.start(serve_zone, domains, hosts)]))
    assert (await stage(letter("a@one.example"))).fact("resolve.secure") is expected
    assert (await stage(letter("a@plain.example"))).fact("resolve.secure") is mx_secure
