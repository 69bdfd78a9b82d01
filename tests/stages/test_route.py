"""The stage `route`: which lane for whom, and what becomes of aliases."""

import inspect
import itertools
import threading
from pathlib import Path

import msgspec
import pytest
import trio

from engine import Defer, Each, Envelope, Message, MessageId, Recipient, Reject, Session
from engine.config import Quota as Settings
from engine.config import convert
from engine.directory import Directory, Embedded, Limit, Unavailable
from engine.mailbox import Limited, Posting, Quotas
from engine.message import Octets
from engine.return_path import ReturnPaths
from engine.stage import load_stage
from engine.verdict import Route as To
from stages.route import NO_SUCH_USER, NOT_A_WRITER, Route, Rule

RULES = (
    Rule(to="boss@example.org", lane="vip"),
    Rule(to="*.partner.example", lane="partner"),
    Rule(to="@Bücher.example", lane="books"),
    Rule(to="list-host.test", lane="lists"),
    Rule(to="local", lane="local"),
    Rule(to="*", lane="bounces", sender="<>"),
    Rule(to="*", lane="loud", sender="shouter@example.org"),
    Rule(to="*", lane="inside", sender="local"),
    Rule(to="*", lane="remote"),
)


@pytest.fixture
def directory(tmp_path: Path):
    with Embedded.open(tmp_path / "directory", ["example.org", "second.test", "bücher.example"]) as opened:
        for name in ("bob", "ann", "boss", "tag+ged"):
            opened.add_account(f"{name}@example.org")
        opened.add_account("jörg@bücher.example")
        yield opened


@pytest.fixture
def route(directory: Embedded) -> Route:
    return Route(directory, rules=RULES)


def message(*recipients: str, sender: str = "someone@elsewhere.test") -> Message:
    envelope = Envelope(sender, tuple(map(Recipient, recipients)))
    return Message(MessageId.new(), envelope, Octets(b"Subject: hello\r\n\r\nhello\r\n"))


PLAIN = [
    ("bob@example.org", To("local")),
    ("someone@elsewhere.test", To("remote")),
    ("boss@example.org", To("vip")),
    ("x@a.partner.example", To("partner")),
    ("x@A.B.Partner.EXAMPLE", To("partner")),
    ("x@partner.example", To("remote")),
    ("X@List-Host.test", To("lists")),
    ("x@sub.list-host.test", To("remote")),
    ("x@local", To("remote")),  # the word in a rule is no domain
    ("x@[192.0.2.1]", To("remote")),
    ("nobody@example.org", NO_SUCH_USER),
    ("bob@sub.example.org", To("remote")),
]


@pytest.mark.parametrize(("recipient", "verdict"), PLAIN)
async def test_the_first_rule_that_fits_picks_the_lane(route: Route, recipient: str, verdict: object) -> None:
    assert await route(message(recipient)) == verdict


REWRITTEN = [
    ("Bob@EXAMPLE.org", To("local", ("bob@example.org",))),
    ("bob+tag@example.org", To("local", ("bob@example.org",))),
    ('"bob"@example.org', To("local", ("bob@example.org",))),
    ("BOSS+tag@example.org", To("vip", ("boss@example.org",))),  # rules look at who it is
    ("jörg@bücher.example", To("books", ("jörg@xn--bcher-kva.example",))),
    ("postmaster", To("local", ("postmaster@example.org",))),
    ("Postmaster@second.test", To("local", ("postmaster@example.org",))),
]


@pytest.mark.parametrize(("recipient", "verdict"), REWRITTEN)
async def test_accounts_are_written_as_the_directory_has_them(route: Route, recipient: str, verdict: To) -> None:
    assert await route(message(recipient)) == verdict


async def test_an_exact_account_with_a_tag_in_its_name_is_left_alone(route: Route) -> None:
    assert await route(message("tag+ged@example.org")) == To("local")


async def test_tags_can_be_turned_off_or_written_otherwise(directory: Embedded) -> None:
    rules = (Rule(to="*", lane="all"),)
    dashed = Route(directory, rules=rules, subaddress="-")
    assert await dashed(message("bob-x@example.org")) == To("all", ("bob@example.org",))
    assert await Route(directory, rules=rules, subaddress="")(message("bob+x@example.org")) == NO_SUCH_USER


SENDERS = [
    ("", "bounces"),
    ("shouter@example.org", "loud"),
    ("Shouter@Example.ORG", "loud"),
    ("bob@example.org", "inside"),
    ("anyone@second.test", "inside"),
    ("x@elsewhere.test", "remote"),
]


@pytest.mark.parametrize(("sender", "lane"), SENDERS)
async def test_rules_by_sender(route: Route, sender: str, lane: str) -> None:
    assert await route(message("x@elsewhere.test", sender=sender)) == To(lane)
    assert await route(message("bob@example.org", sender=sender)) == To("local")


# Several recipients


async def test_one_lane_for_all_is_said_once(route: Route) -> None:
    assert await route(message("bob@example.org", "ann@example.org")) == To("local")
    assert await route(message("a@b.test", "c@d.test", "e@f.test")) == To("remote")
    assert await route(message("x@example.org", "y@example.org")) == NO_SUCH_USER


async def test_recipients_go_their_own_ways(route: Route) -> None:
    assert await route(message("bob@example.org", "a@b.test", "nobody@example.org", "ANN@example.org")) == Each(
        {
            "bob@example.org": To("local"),
            "a@b.test": To("remote"),
            "nobody@example.org": NO_SUCH_USER,
            "ANN@example.org": To("local", ("ann@example.org",)),
        }
    )


async def test_the_same_rewriting_is_still_said_for_each(route: Route) -> None:
    found = await route(message("bob+a@example.org", "bob+b@example.org"))
    to_bob = To("local", ("bob@example.org",))
    assert found == Each({"bob+a@example.org": to_bob, "bob+b@example.org": to_bob})


# Aliases

ALIASES = {
    "one@example.org": ["ann@example.org"],
    "two@example.org": ["ann@example.org", "Bob+tag@example.org", "bob@example.org"],
    "far@example.org": ["Foreign.User@Elsewhere.test"],
    "mixed@example.org": ["ann@example.org", "x@elsewhere.test", "boss@example.org", "bob@example.org"],
    "nested@example.org": ["two@example.org", "one@example.org", "far@example.org"],
    "loop-a@example.org": ["loop-b@example.org"],
    "loop-b@example.org": ["loop-a@example.org"],
    "loop-c@example.org": ["loop-a@example.org", "loop-c+again@example.org", "ann@example.org"],
    "dead@example.org": ["gone@example.org"],
    "partly@example.org": ["gone@example.org", "ann@example.org"],
    "half-far@example.org": ["gone@example.org", "x@elsewhere.test"],
    "postmaster@second.test": ["postmaster@example.org"],
    "@second.test": ["catcher@second.test", "bob@example.org"],
}

EXPANDED = [
    ("one@example.org", To("local", ("ann@example.org",))),
    ("two@example.org", To("local", ("ann@example.org", "bob@example.org"))),
    ("two+tag@example.org", To("local", ("ann@example.org", "bob@example.org"))),
    ("far@example.org", To("remote", ("Foreign.User@elsewhere.test",))),
    (
        "mixed@example.org",
        (
            To("local", ("ann@example.org", "bob@example.org")),
            To("remote", ("x@elsewhere.test",)),
            To("vip", ("boss@example.org",)),
        ),
    ),
    (
        "nested@example.org",
        (
            To("remote", ("Foreign.User@elsewhere.test",)),
            To("local", ("ann@example.org", "bob@example.org")),
        ),
    ),
    ("loop-c@example.org", To("local", ("ann@example.org",))),
    ("partly@example.org", To("local", ("ann@example.org", "gone@example.org"))),  # the unknown one bounces there
    ("half-far@example.org", (To("remote", ("x@elsewhere.test",)), To("local", ("gone@example.org",)))),
    ("postmaster@second.test", To("local", ("postmaster@example.org",))),
    ("anyone@second.test", To("local", ("bob@example.org",))),  # the catch-all catches its own member: once
]

NOWHERE = ["loop-a@example.org", "loop-b@example.org", "dead@example.org"]


@pytest.fixture
def aliased(directory: Embedded, route: Route) -> Route:
    for alias, targets in ALIASES.items():
        directory.add_alias(alias, targets)
    return route


@pytest.mark.parametrize(("alias", "verdict"), EXPANDED)
async def test_aliases_are_replaced_by_their_members(aliased: Route, alias: str, verdict: object) -> None:
    found = await aliased(message(alias))
    if isinstance(verdict, tuple):  # several lanes
        assert isinstance(found, Each)
        (given,) = found.verdicts.values()
        assert isinstance(given, tuple)
        assert sorted(given, key=str) == sorted(verdict, key=str)
    else:
        assert found == verdict
    assert aliased.at_recipient(Session(), "", alias) is None


@pytest.mark.parametrize("alias", NOWHERE)
async def test_an_alias_that_leads_to_nobody_is_refused(aliased: Route, alias: str) -> None:
    assert await aliased(message(alias)) == NO_SUCH_USER
    assert aliased.at_recipient(Session(), "", alias) == NO_SUCH_USER


@pytest.mark.parametrize(("depth", "reached"), [(10, True), (11, False)])
async def test_aliases_follow_each_other_ten_times(
    directory: Embedded, route: Route, depth: int, reached: bool
) -> None:
    chain = [f"a{number}@example.org" for number in range(depth)] + ["bob@example.org"]
    for alias, target in itertools.pairwise(chain):
        directory.add_alias(alias, [target])
    wanted = To("local", ("bob@example.org",)) if reached else NO_SUCH_USER
    assert await route(message("a0@example.org")) == wanted


# At RCPT


@pytest.mark.parametrize(
    ("recipient", "refused"),
    [
        ("bob@example.org", False),
        ("BOB+x@Example.org", False),
        ("nobody@example.org", True),
        ("nobody@second.test", True),
        ("postmaster@second.test", False),
        ("Postmaster", False),
        ("someone@elsewhere.test", False),  # relaying is for others to refuse
        ("bob\udcff@example.org", True),
    ],
)
def test_unknown_users_are_refused_at_rcpt(route: Route, recipient: str, refused: bool) -> None:
    answer = route.at_recipient(Session(peer="192.0.2.1"), "x@elsewhere.test", recipient)
    assert answer == (Reject("no such user here", code="5.1.1") if refused else None)


async def test_a_group_stands_for_its_members(directory: Embedded, route: Route) -> None:
    directory.add_group("team@example.org", ["ann@example.org"])
    assert await route(message("team@example.org")) == To("local", ("ann@example.org",))
    directory.change_group("team@example.org", ["x@elsewhere.test"], ["ann@example.org"])
    assert await route(message("team@example.org")) == To("remote", ("x@elsewhere.test",))
    directory.change_group("team@example.org", (), ["x@elsewhere.test"])
    assert await route(message("team@example.org")) == NO_SUCH_USER


@pytest.mark.parametrize(
    ("posting", "allowed"),
    [
        ("anybody", {"", "ann@example.org", "bob@example.org", "boss@example.org"}),
        ("accounts", {"ann@example.org", "bob@example.org", "boss@example.org"}),
        ("members", {"ann@example.org", "boss@example.org"}),
    ],
)
def test_who_may_write_to_a_group(directory: Embedded, route: Route, posting: str, allowed: set[str]) -> None:
    """It counts who has logged in; the sender of the envelope, and a network that may relay, prove nothing."""
    directory.add_group("team@example.org", ["ann@example.org", "bob@elsewhere.test"])
    directory.rule_group("team@example.org", posting, ["boss@example.org"])
    for login in ("", "ann@example.org", "bob@example.org", "boss@example.org", "gone@example.org"):
        for address in ("team@example.org", "TEAM+tag@example.org"):
            session = Session(login=login, trusted=bool(login) or posting == "members")
            answer = route.at_recipient(session, "ann@example.org", address)
            assert answer == (None if login in allowed or posting == "anybody" else NOT_A_WRITER), (login, address)
    directory.rule_group("team@example.org", "anybody")
    assert route.at_recipient(Session(), "x@elsewhere.test", "team@example.org") is None


def test_a_rule_holds_through_all_that_leads_to_the_group(directory: Embedded, route: Route) -> None:
    """Through a group that everybody may write to, an alias, both in a ring, and what catches all."""
    directory.add_group("board@example.org", ["ann@example.org", "x@elsewhere.test"])
    directory.rule_group("board@example.org", "members")
    directory.add_group("all@example.org", ["bob@example.org", "board@example.org", "everybody@example.org"])
    directory.add_alias("everybody@example.org", ["all@example.org"])
    directory.add_alias("@second.test", ["everybody@example.org"])
    for address in ("all@example.org", "everybody@example.org", "whoever@second.test"):
        for login in ("", "bob@example.org", "ann@example.org"):
            answer = route.at_recipient(Session(login=login, trusted=True), "ann@example.org", address)
            assert answer == (None if login == "ann@example.org" else NOT_A_WRITER), (login, address)
    directory.rule_group("board@example.org", "accounts")
    assert route.at_recipient(Session(login="bob@example.org"), "bob@example.org", "all@example.org") is None
    directory.rule_group("all@example.org", "members")  # both rules count
    assert route.at_recipient(Session(login="boss@example.org"), "", "everybody@example.org") == NOT_A_WRITER
    directory.rule_group("all@example.org", "anybody")
    directory.rule_group("board@example.org", "anybody")
    assert route.at_recipient(Session(), "x@elsewhere.test", "all@example.org") is None


async def test_a_change_counts_for_the_next_message(directory: Embedded, route: Route) -> None:
    assert await route(message("x@new.test")) == To("remote")
    directory.add_domain("new.test")
    assert await route(message("x@new.test")) == NO_SUCH_USER
    directory.add_account("x@new.test")
    assert await route(message("x@new.test")) == To("local")


# A directory elsewhere


async def test_a_directory_elsewhere_is_asked_in_threads(
    directory: Embedded, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not route.waits
    threads = set()

    def find(self: Embedded, address: str, *, subaddress: str) -> None:
        threads.add(threading.current_thread())

    monkeypatch.setattr(Embedded, "limiter", trio.CapacityLimiter(1))
    monkeypatch.setattr(Embedded, "find", find)
    assert route.waits
    assert await route(message("x@example.org")) == NO_SUCH_USER
    refusal = route.at_recipient(Session(peer="192.0.2.1"), "", "x@example.org")
    assert inspect.isawaitable(refusal)
    assert await refusal == NO_SUCH_USER
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_without_the_directory_mail_waits(
    route: Route, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    def away(self: Embedded, *_: object, **__: object) -> None:
        raise Unavailable("the server is away")

    monkeypatch.setattr(Embedded, "limiter", trio.CapacityLimiter(1) if elsewhere else None)
    monkeypatch.setattr(Embedded, "find", away)
    put_off = Defer("Local trouble, please try again later", code="4.3.0", log="the server is away")
    assert await route(message("x@example.org")) == put_off
    refusal = route.at_recipient(Session(peer="192.0.2.1"), "", "x@example.org")
    assert (await refusal if inspect.isawaitable(refusal) else refusal) == put_off


# Settings

WRONG = [
    ((), "there is no rule"),
    ((Rule(to="local", lane="local"),), "the last rule must take everyone"),
    ((Rule(to="*", lane="a", sender="<>"),), "the last rule must take everyone"),
    ((Rule(to="*", lane="a"), Rule(to="local", lane="b")), "rule 1 takes everyone.*never reached"),
    ((Rule(to="*", lane="a"), Rule(to="*", lane="b")), "rule 1 takes everyone"),
    ((Rule(to="no domain", lane="a"), Rule(to="*", lane="b")), "rule 1: to = 'no domain': .*no domain name"),
    ((Rule(to="a@b.test", lane="a", sender=""), Rule(to="*", lane="b")), "rule 1: from = ''"),
    ((Rule(to="*@b.test", lane="a"), Rule(to="*", lane="b")), 'write "@example.org"'),
    ((Rule(to="a b@c.test", lane="a"), Rule(to="*", lane="b")), "is no address"),
    ((Rule(to="local", lane=""), Rule(to="*", lane="b")), "rule 1 names no lane"),
    ((Rule(to="*.b_c.test", lane="a"), Rule(to="*", lane="b")), "is no domain name"),
]


@pytest.mark.parametrize(("rules", "text"), WRONG)
def test_rules_that_cannot_work(directory: Embedded, rules: tuple[Rule, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Route(directory, rules=rules)
    assert list(Route.check(rules=rules))


def test_all_mistakes_are_told(directory: Embedded) -> None:
    with pytest.raises(ValueError, match=r"subaddress.*rule 1 names no lane.*no domain name.*must take everyone"):
        Route(directory, rules=(Rule(to="a b", lane=""),), subaddress="++")


async def test_wildcards_in_any_script(directory: Embedded) -> None:
    route = Route(directory, rules=(Rule(to="*.BÜCHER.test", lane="books"), Rule(to="*", lane="remote")))
    assert await route(message("x@shop.bücher.test")) == To("books")
    assert await route(message("x@shop.xn--bcher-kva.test")) == To("books")
    assert await route(message("x@bücher.test")) == To("remote")


def test_rules_are_read_from_pipeline_toml() -> None:
    rules = convert([{"to": "local", "lane": "a"}, {"to": "*", "from": "<>", "lane": "b"}], tuple[Rule, ...])
    assert rules == (Rule(to="local", lane="a"), Rule(to="*", lane="b", sender="<>"))
    for wrong in ({"to": "*"}, {"lane": "a"}, {"to": "*", "lane": "a", "smart_host": "x:25"}, {"to": 1, "lane": "a"}):
        with pytest.raises(ValueError):
            convert([wrong], tuple[Rule, ...])
    assert msgspec.json.encode(rules[1]) == b'{"to":"*","lane":"b","from":"<>"}'


def test_who_is_full_is_refused_but_not_one_of_many(directory: Embedded) -> None:
    class Full(Quotas):
        """All who can be full are."""

        def is_full(self, limited: Limited) -> bool:
            asked.append(limited.quota.address)
            return True

    asked: list[str] = []
    for name, *targets in (
        ("both", "bob@example.org", "ann@example.org"), ("mixed", "bob@example.org", "boss@example.org"),
        ("far", "bob@example.org", "x@elsewhere.test"), ("one", "bob@example.org"),
    ):  # fmt: skip
        directory.add_alias(f"{name}@example.org", targets)
    quotas = Full(directory)
    route, full = Route(directory, quotas=quotas, rules=RULES), quotas.refusal
    assert route.at_recipient(Session(), "x@y.test", "bob@example.org") is None
    assert asked == [], "nobody has a limit"
    for name in ("bob", "ann"):
        directory.limit(f"{name}@example.org", Limit(messages=1))
    for name, refusal in (
        ("bob", full), ("Bob+tag", full), ("one", full), ("both", full), ("mixed", None), ("far", None),
        ("boss", None), ("nobody", NO_SUCH_USER),
    ):  # fmt: skip
        assert route.at_recipient(Session(), "x@y.test", f"{name}@example.org") == refusal, name
    directory.limit("bob@example.org", Limit())
    assert route.at_recipient(Session(), "x@y.test", "bob@example.org") is None
    quotas.use(Settings(messages=1))
    assert route.at_recipient(Session(), "x@y.test", "bob@example.org") == full


def test_the_engine_finds_the_stage_and_its_table(tmp_path: Path) -> None:
    spec = load_stage("route", "", tmp_path)
    assert spec.target is Route
    assert dict(spec.services) == {
        "directory": Directory, "returns": ReturnPaths, "quotas": Quotas, "posting": Posting,
    }  # fmt: skip
    assert dict(spec.settings) == {"rules": tuple[Rule, ...], "subaddress": str}
    assert spec.required == {"rules"}
    assert spec.tables == {"route": "rules"}
    assert spec.hooks == ("at_recipient",)
    assert (spec.effect, spec.source, spec.synchronous) == (False, False, False)
    assert list(inspect.signature(Route.check).parameters) == list(spec.settings)
