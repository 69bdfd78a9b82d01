"""Automation: what replies lead to, by ours and by an operator's tables, and what is in force then."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from engine import Defer, Delivered, Each, Reject
from engine.bounces import classifier
from engine.config import ConfigError
from engine.config.automation import Automation, read_automation, shipped
from engine.config.document import Document
from engine.config.rules import Provider, covers
from engine.shaping.actions import Act, Action, ActionStore
from engine.shaping.automation import NOTHING, Actions, Said, hosts_of
from tests.shaping.test_shapes import configured
from tests.support.post import Clock

NOW = 1_790_000_000.0
YAHOO = "mta5.am0.yahoodns.net,mta6.am0.yahoodns.net"
GMAIL = "alt1.gmail-smtp-in.l.google.com,gmail-smtp-in.l.google.com"
OUTLOOK = "example-com.mail.protection.outlook.com"


def rules(text: str) -> tuple[Automation, ...]:
    document = Document(text, Path("/shaping.toml"))
    found = read_automation(document)
    assert document.problems == []
    return found


def actions(text: str, **rest: object) -> Actions:
    return Actions(None, rules(text), **rest)  # type: ignore[arg-type]


def wrong(text: str) -> list[tuple[int, str]]:
    document = Document(text, Path("/shaping.toml"))
    read_automation(document)
    return [(problem.line, problem.text) for problem in document.problems]


TEMPLATE = '[[automation]]\nname = "x"\naction = "suspend"\nlasts = "1h"\n'


# -- ours


@pytest.mark.parametrize(
    ("site", "reply", "times", "name"),
    [
        (YAHOO, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user "
         "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", 2, "yahoo-deferred"),
        (YAHOO, "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because it is in Spamhaus's list",
         5, "yahoo-blocked"),
        (GMAIL, "421-4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP "
         "address. To protect our users from spam, mail has been temporarily rate limited.", 2, "gmail-unusual-rate"),
        (OUTLOOK, "421 RP-001 (BAY0-MC2-F11) Unfortunately, some messages from 192.0.2.1 weren't sent. Try again.",
         3, "outlook-throttled"),
        (OUTLOOK, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Contact your Internet service "
         "provider since part of their network is on our block list (S3150).", 5, "outlook-blocked"),
        ("mx.example.net", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", 5,
         "spamhaus"),
        ("mx.example.net", "421 4.7.0 mx.example.net Error: too many connections from 192.0.2.1", 3,
         "too-many-connections"),
        ("mx3.qq.com", "550 Mail is rejected by recipients [RP:QRC]. frequency limited", 3, "frequency-limited"),
        ("mx.example.net", "550 5.7.26 This mail has been blocked because the sender is unauthenticated.", 10,
         "not-authenticated"),
        ("mx1.mail.icloud.com", "451 4.7.1 [HCM1] Message rejected due to local policy. Please visit "
         "https://support.apple.com/en-us/HT204137", 5, "icloud-deferred"),
    ],
)  # fmt: skip
async def test_what_large_providers_say(site: str, reply: str, times: int, name: str) -> None:
    ours = Actions()
    said = Said(site, "one", reply, host=site.partition(",")[0])
    for _ in range(times - 1):
        assert [one.name for one in await ours.heard(said, NOW)] == []
    assert name in [one.name for one in await ours.heard(said, NOW)]
    assert await ours.heard(said, NOW) == []  # it is in force


async def test_no_other_site_is_meant_by_what_one_provider_says() -> None:
    ours = Actions()
    for _ in range(20):
        assert await ours.heard(Said("mx.example.net", "", "421 4.7.0 [TSS04] deferred"), NOW) == []


def test_ours_have_each_a_name_of_its_own() -> None:
    names = [one.name for one in shipped()]
    assert len(set(names)) == len(names)


# -- conditions


@pytest.mark.parametrize(
    ("conditions", "said", "fits"),
    [
        ('codes = ["421"]', Said("mx", "", "421 no"), True),
        ('codes = ["421"]', Said("mx", "", "450 no"), False),
        ('codes = ["4"]', Said("mx", "", "450 no"), True),
        ('status = ["4.7.28"]', Said("mx", "", "421-4.7.28 no"), True),
        ('status = ["x.7.28"]', Said("mx", "", "550 5.7.28 no"), True),
        ('status = ["4.7.28"]', Said("mx", "", "550 5.7.28 no"), False),
        ('texts = ["Try * Later"]', Said("mx", "", "450 please TRY again\n450 later"), True),
        ('texts = ["try later"]', Said("mx", "", "450 try again later"), False),
        ('match = ["ticket [0-9]+$"]', Said("mx", "", "450 Ticket 77"), True),
        ('match = ["ticket [0-9]+$"]', Said("mx", "", "450 Ticket none"), False),
        ('classes = ["greylist", "rate"]', Said("mx", "", "451 4.7.1 Greylisted"), True),
        ('classes = ["rate"]', Said("mx", "", "451 4.7.1 Greylisted"), False),
        ('codes = ["451"]\nclasses = ["rate"]', Said("mx", "", "451 4.7.1 Greylisted"), False),
        ('codes = ["4"]\nsites = ["*.example.net"]', Said("mx.example.net", "", "450 no"), True),
        ('codes = ["4"]\nsites = ["*.example.net"]', Said("a.example.org,mx.example.net", "", "450 no"), True),
        ('codes = ["4"]\nsites = ["*.example.net"]', Said("far", "", "450 no", host="mx.example.net"), True),
        ('codes = ["4"]\nsites = ["mx.example.net"]', Said("a.test,mx.example.net:2525", "", "450 no"), True),
        ('codes = ["4"]\nsites = ["*.example.net"]', Said("mx.example.org", "", "450 no"), False),
        ('codes = ["4"]\nsites = ["*.example.net"]', Said("example.net", "", "450 no"), False),
        ('codes = ["4"]\ndomains = ["example.net"]', Said("mx", "", "450 no", domain="example.net"), True),
        ('codes = ["4"]\ndomains = ["example.net"]', Said("example.net", "", "450 no", domain="a.example.net"), False),
        ('codes = ["4"]\nsources = ["one"]', Said("mx", "one", "450 no"), True),
        ('codes = ["4"]\nsources = ["one"]', Said("mx", "two", "450 no"), False),
        ('codes = ["4"]\nproviders = ["big"]', Said("mx.big.example", "", "450 no"), True),
        ('codes = ["4"]\nproviders = ["big"]', Said("mx", "", "450 no", domain="big.test"), True),
        ('codes = ["4"]\nproviders = ["big"]', Said("mx.example.net", "", "450 no"), False),
        ('codes = ["4"]\nproviders = ["gone"]', Said("mx.example.net", "", "450 no"), False),
        ('codes = ["4"]\nscope = "tenant"', Said("mx", "", "450 no", tenant="acme"), True),
        ('codes = ["4"]\nscope = "tenant"', Said("mx", "", "450 no"), False),
    ],
)
async def test_a_condition(conditions: str, said: Said, fits: bool) -> None:
    class Big:
        mx = ("*.big.example",)
        domains = ("big.test",)

    found = await actions(TEMPLATE + conditions, providers={"big": Big()}).heard(said, NOW)
    assert [one.act for one in found] == ["suspend"] * fits


async def test_a_hostile_reply_takes_time_in_proportion() -> None:
    one = actions(TEMPLATE + 'match = ["(a+)+$"]\ntexts = ["a*a*a*b"]')
    assert await one.heard(Said("mx", "", "450 " + "a" * 500_000 + "!"), NOW) == []


@pytest.mark.parametrize(
    ("site", "hosts"),
    [
        ("a.test,b.test", ("a.test", "b.test")), ("a.test,b.test:2525", ("a.test", "b.test")), ("::1", ("::1",)),
        ("[::1]:2525", ("::1",)), ("192.0.2.1:25", ("192.0.2.1",)),
    ],
)  # fmt: skip
def test_hosts_of_a_site(site: str, hosts: tuple[str, ...]) -> None:
    assert hosts_of(site) == hosts


@pytest.mark.parametrize(
    ("pattern", "name", "is_it"),
    [
        ("*", "a", True), ("*", "", False), ("a.b", "a.b", True), ("a.b", "axb", False), ("*.b", "a.b", True),
        ("*.b", "b", False), ("a*c*e", "abcde", True), ("a*c*e", "abde", False), ("mx?", "mx1", False),
    ],
)  # fmt: skip
def test_names_that_a_pattern_covers(pattern: str, name: str, is_it: bool) -> None:
    assert covers(pattern, name) == is_it


# -- thresholds


async def test_so_many_within_a_time() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]\nafter = "3/1m"')
    said = Said("mx", "", "450 no")
    heard = [bool(await one.heard(said, NOW + second)) for second in (0, 50, 70, 100)]
    assert heard == [False, False, False, True]  # at 100 s: 50, 70 and 100
    assert await one.heard(said._replace(site="other"), NOW + 100) == []


async def test_a_share_of_all_that_a_site_says() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]\nshare = 50\nleast = 10\nwithin = "10m"')
    said = Said("mx", "", "450 no")
    for _ in range(6):
        one.passed("mx", "")
    assert [bool(await one.heard(said, NOW)) for _ in range(6)] == [False] * 5 + [True]
    for _ in range(100):
        one.passed("quiet", "")
    assert not any([await one.heard(said._replace(site="quiet"), NOW) for _ in range(50)])
    assert not any([await one.heard(said._replace(site="few"), NOW) for _ in range(9)])


async def test_what_was_long_ago_is_no_part_of_a_share() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]\nshare = 50\nleast = 10\nwithin = "10m"')
    for _ in range(1000):
        one.passed("mx", "")
    await one.tell(NOW)
    found = [bool(await one.heard(Said("mx", "", "450 no"), NOW + 3600)) for _ in range(10)]
    assert found == [False] * 9 + [True]


async def test_replies_of_another_kind_are_part_of_a_share() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]\nshare = 60\nleast = 10\nwithin = "10m"')
    for _ in range(5):
        assert await one.heard(Said("mx", "", "550 no"), NOW) == []
        assert await one.heard(Said("mx", "", "450 no"), NOW) == []
    assert [bool(await one.heard(Said("mx", "", "450 no"), NOW)) for _ in range(3)] == [False, False, True]


# -- what is in force


async def test_whom_an_action_is_about() -> None:
    for scope, about in (("source", ("mx", "one", "")), ("site", ("mx", "", "")), ("tenant", ("mx", "", "acme"))):
        one = actions(TEMPLATE + f'codes = ["4"]\nscope = "{scope}"')
        (found,) = await one.heard(Said("mx", "one", "450 no", tenant="acme"), NOW)
        assert (found.site, found.source, found.tenant) == about
        for site, source, tenant in (
            ("mx", "one", "acme"),
            ("mx", "two", "acme"),
            ("mx", "one", ""),
            ("ma", "one", "acme"),
        ):
            held = site == "mx" and about[1] in ("", source) and about[2] in ("", tenant)
            overlay = one.in_force(site, source, NOW + 1, tenant=tenant)
            assert overlay.waits(NOW + 1) == (3599 if held else 0), (scope, site, source, tenant)


async def test_it_is_over_by_itself() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]')
    assert one.in_force("mx", "", NOW) is NOTHING
    await one.heard(Said("mx", "", "450 no"), NOW)
    assert one.in_force("mx", "", NOW + 3599).waits(NOW + 3599) == 1
    assert one.in_force("mx", "", NOW + 3600) == NOTHING
    assert [bool(await one.heard(Said("mx", "", "450 no"), NOW + 3601))] == [True]


async def test_several_at_once() -> None:
    one = actions(
        '[[automation]]\ncodes = ["450"]\naction = "slow"\nrate = 0.5\nconnections = 0.2\nlasts = "1h"\n'
        '[[automation]]\ncodes = ["451"]\naction = "slow"\nrate = 0.1\nconnections = 0.9\nlasts = "2h"\n'
        '[[automation]]\ncodes = ["452"]\naction = "use_source"\nuse = "spare"\nlasts = "3h"\n'
        '[[automation]]\ncodes = ["550"]\naction = "expire"\nlasts = "4h"\n'
        '[[automation]]\ncodes = ["551"]\naction = "notify"\nlasts = "4h"\n'
    )
    for code in (450, 451, 452):
        await one.heard(Said("mx", "", f"{code} no"), NOW)
    overlay = one.in_force("mx", "", NOW)
    assert (overlay.rate, overlay.connections, overlay.use, overlay.expire) == (0.1, 0.2, "spare", False)
    assert (len(overlay.actions), overlay.until, overlay.waits(NOW)) == (3, NOW + 3600, 0)
    assert overlay.verdict(NOW, NOW + 1) is None
    later = one.in_force("mx", "", NOW + 3600)
    assert (later.rate, later.connections) == (0.1, 0.9)
    (expired,) = await one.heard(Said("mx", "", "550 no"), NOW)
    rejected = one.in_force("mx", "", NOW).verdict(NOW, NOW + 1)
    assert isinstance(rejected, Reject)
    assert expired.id in rejected.log
    (letter,) = await one.heard(Said("other", "", "551 no"), NOW)
    assert letter.notify
    assert one.in_force("other", "", NOW).verdict(NOW, NOW + 1) is None


async def test_what_was_held_comes_back_bit_by_bit() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]')
    await one.heard(Said("mx", "", "450 no"), NOW)
    verdicts = [one.in_force("mx", "", NOW).verdict(NOW, NOW + 9) for _ in range(50)]
    waits = [found.retry_after or 0 for found in verdicts if isinstance(found, Defer)]
    assert len(waits) == 50
    assert 3600 <= min(waits) < max(waits) <= 3960
    assert {found.expires for found in verdicts if isinstance(found, Defer)} == {NOW + 9}


async def test_verdicts_of_a_message_are_heard_one_by_one() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]\nshare = 50\nleast = 4')
    no = Defer("no", reply="450 no", remote="mx.example.net")
    await one.told(Delivered("mx", "250 ok"), Said("mx", ""))
    await one.told(Each({"a@b.c": no, "b@b.c": no, "d@b.c": Defer("our own trouble")}), Said("mx", ""))
    assert one.in_force("mx", "", time.time()) is NOTHING
    await one.told(no, Said("mx", ""))
    assert one.in_force("mx", "", time.time()).waits(time.time()) > 3500


# -- classes of an operator


OWN = """
[[class]]
name = "x-night-shift"
about = "source"

[[pattern]]
class = "x-night-shift"
texts = ["night shift"]

[[pattern]]
class = "rate"
texts = ["not today"]
"""


async def test_patterns_and_classes_of_an_operator_are_conditions(tmp_path: Path) -> None:
    (tmp_path / "patterns.toml").write_text(OWN)
    known = classifier(tmp_path / "patterns.toml")
    text = TEMPLATE + 'classes = ["x-night-shift"]\n[[automation]]\nname = "y"\naction = "slow"\nclasses = ["rate"]'
    document = Document(text, Path("/shaping.toml"))
    one = Actions(None, read_automation(document, {"x-night-shift", "rate"}), known=known)
    assert document.problems == []
    assert [each.name for each in await one.heard(Said("mx", "", "450 our night shift sleeps"), NOW)] == ["x"]
    assert [each.name for each in await one.heard(Said("mx", "", "550 Not today"), NOW)] == ["y"]
    assert await one.heard(Said("mx", "", "450 our day shift sleeps"), NOW) == []


def test_a_class_that_no_pattern_has_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "patterns.toml").write_text(OWN)
    rules = TEMPLATE + 'classes = ["x-night-shift", "x-day-shift"]'
    more = 'providers = false\n[bounces]\npatterns = "patterns.toml"\n[suppression.x-night-shift]\n[suppression.x-noon]'
    with pytest.raises(ConfigError) as raised:
        configured(tmp_path, rules, more)
    told = str(raised.value)
    assert "there is no class x-day-shift" in told
    assert "there is no class x-noon" in told
    assert "there is no class x-night-shift" not in told


# -- over processes and restarts


async def test_others_see_it_and_it_outlives_a_restart(tmp_path: Path) -> None:
    now = time.time()
    text = TEMPLATE + 'codes = ["4"]'
    with ActionStore.open(tmp_path) as store:
        one = Actions(store, rules(text))
        (action,) = await one.heard(Said("mx", "", "450 no"), now)
        assert one.in_force("mx", "", now).actions == (action.id,)  # at once, whatever the disk does
        one.close()
        assert store.all() == [action]
        assert one.in_force("mx", "", now).actions == (action.id,)
        by_hand = Action.new("by hand", "suspend", "*.example.net", now, 60.0)
        store.put(by_hand)
        assert one.in_force("mx.example.net", "", now).actions == (by_hand.id,)
        assert one.in_force("a", "", now, domain="b.example.net").actions == (by_hand.id,)
        assert await one.heard(Said("mx", "", "450 no"), now) == []
    with ActionStore.open(tmp_path) as store:
        again = Actions(store, rules(text))
        assert again.in_force("mx", "", now).actions == (action.id,)
        assert await again.heard(Said("mx", "", "450 no"), now) == []
        store.lift(action.id)
        assert again.in_force("mx", "", now) == NOTHING


async def test_other_rules_leave_what_is_in_force() -> None:
    one = actions(TEMPLATE + 'codes = ["4"]')
    await one.heard(Said("mx", "", "450 no"), NOW)
    one.use((), {})
    assert one.in_force("mx", "", NOW).waits(NOW) == 3600
    assert await one.heard(Said("other", "", "450 no"), NOW) == []


async def test_all_sites_of_a_provider_count_together_and_are_acted_on_together() -> None:
    providers = {"big": Provider("big", ("*.big.example",), ("big.test",)), "other": Provider("other", ("*.net",))}
    text = TEMPLATE + 'codes = ["4"]\nproviders = ["big"]\nscope = "provider"\nafter = "3/1m"'
    one = actions(text, providers=providers)
    sites = ["a.big.example", "b.big.example,c.big.example", "far.example"]
    said = [Said(site, "one", "450 no", domain="big.test" if site == "far.example" else "a.test") for site in sites]
    assert await one.heard(Said("d.big.example,mx.example.net", "one", "450 no"), NOW) == [], "not all of its hosts"
    taken = [await one.heard(each, NOW) for each in said]
    ((action,),) = filter(None, taken)
    assert (action.site, action.source, action.provider) == ("[provider.big]", "one", "big")
    assert one.in_force("new.big.example", "one", NOW).waits(NOW) == 3600
    assert one.in_force("mx.example.net", "one", NOW, domain="big.test").waits(NOW) == 3600
    assert one.in_force("new.big.example", "two", NOW) is NOTHING
    assert one.in_force("mx.example.net", "one", NOW, domain="a.test") is NOTHING


# -- what is wrong with tables


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("automation = 5", [(1, "must be tables, [[automation]]")]),
        ('[[automation]]\naction = "suspend"', [(2, "needs a condition: classes, codes, status, texts, match")]),
        ('[[automation]]\ncodes = ["4"]', [(1, "is required")]),
        (TEMPLATE + 'code = ["4"]', [
            (3, "needs a condition: classes, codes, status, texts, match"), (5, "unknown key; did you mean codes?"),
        ]),
        (TEMPLATE + 'classes = ["reputatoin"]', [(5, "there is no class reputatoin; did you mean reputation?")]),
        (TEMPLATE + 'texts = ["*"]', [(5, "'*' is in every reply")]),
        (TEMPLATE + 'codes = ["4"]\nsites = ["*a*b*c*"]', [(6, "a pattern has 3 stars at most")]),
        (TEMPLATE + 'codes = ["4"]\nshare = 101\nleast = 0', [
            (6, "must be per cent, from 1 to 100"), (7, "must be at least 1"),
        ]),
        (TEMPLATE + 'codes = ["4"]\nrate = 0.0\nconnections = 1.5\nwithin = "0s"', [
            (6, "must be a part, such as 0.5"), (7, "must be a part, such as 0.5"), (8, "must be longer than nothing"),
        ]),
        (TEMPLATE + 'codes = ["4"]\nafter = "1001/1h"', [(6, "counts 1000 replies at most; of more, write a share")]),
        (TEMPLATE + 'codes = ["4"]\nscope = "provider"', [
            (6, '"provider" needs providers, and neither sites nor domains'),
        ]),
        (TEMPLATE + 'codes = ["4"]\nuse = "spare"', [(6, 'goes together with action = "use_source"')]),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_its_line(text: str, problems: list[tuple[int, str]]) -> None:
    assert sorted(wrong(text)) == problems


def test_an_expression_that_is_none() -> None:
    ((line, text),) = wrong(TEMPLATE + 'match = ["(a"]')
    assert line == 5
    assert text.startswith("'(a': ")


# -- that somebody has lifted


async def test_who_keeps_the_lines_hears_of_what_was_lifted_and_of_nothing_else(tmp_path: Path, autojump_clock) -> None:
    heard: list[str] = []
    told = trio.Event()

    async def lifted(gone: Sequence[Action]) -> None:
        heard.extend(one.id for one in gone)
        told.set()

    def action(act: Act, lasts: float) -> Action:
        return Action.new("by hand", act, "mx.example.net", NOW, lasts)

    clock = Clock(NOW)
    with ActionStore.open(tmp_path, clock) as store:
        known = Actions(store, (), clock=clock)
        over, slow, mine, other = (
            action("suspend", 9),
            action("slow", 900),
            action("suspend", 900),
            action("suspend", 90),
        )
        for one in (over, slow, mine, other):
            store.put(one)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(known.watch, lifted)
            await trio.testing.wait_all_tasks_blocked()
            clock.now += 10  # the first is over by itself
            store.lift(slow.id)
            store.lift(mine.id)
            await told.wait()
            nursery.cancel_scope.cancel()
    assert heard == [mine.id]


@pytest.mark.parametrize(
    ("site", "line", "domain", "held"),
    [
        ("mx.far.test:2525", "mx.far.test:2525/out", "", True),
        ("mx.far.test", "mx.far.test:2525/out", "", True),
        ("*.far.test", "mx1.far.test,mx2.far.test/out", "", True),
        ("*.firm.test", "mx.far.test/out", "mail.firm.test", True),
        ("mx.far.test", "mx.far.test shared/out", "", True),
        ("mx.far.test", "mx.near.test/out", "near.test", False),
        ("mx.far.test", "far.test", "far.test", False),
    ],
)
def test_what_an_action_has_held_back(site: str, line: str, domain: str, held: bool) -> None:
    one = Action.new("by hand", "suspend", site, NOW, 60.0)
    assert actions("").is_held_by(one, line, domain) is held
    assert not actions("").is_held_by(msgspec.structs.replace(one, source="other"), line, domain)
