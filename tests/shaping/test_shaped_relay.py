"""The relay stage under rules, against real sockets: what holds for a connection, a message, a domain."""

from dataclasses import replace
from pathlib import Path

from engine import Defer, Delivered, Each, Rate
from engine.config.rules import Place, Rule, Rules
from engine.net.names import Hostname
from engine.shaping.shaping import Shaping
from stages.relay import Relay
from tests.stages.test_relay import LOOPBACK, letter
from tests.support.remote import SILENCE, Remote, serving


def shaping(*rules: Rule, **values: object) -> Shaping:
    made = (Rule("default", values=values), *rules)
    return Shaping(Rules(tuple(replace(one, places=dict.fromkeys(one.values, PLACE)) for one in made)))


PLACE = Place(Path(__file__), 1)


def relay(shaping: Shaping, **settings: object) -> Relay:
    return Relay(Hostname("mx.example.org"), shaping=shaping, allow_networks=LOOPBACK, **settings)  # type: ignore[arg-type]


async def test_what_is_paused_waits_in_the_line_of_its_way_and_costs_no_attempt() -> None:
    remote = Remote()
    async with serving(remote), relay(shaping(pause=float("inf")), expire=1000) as stage:
        message = letter(remote.port)
        verdict = await stage(message)
    assert verdict == Defer(
        "Enough mail leaves for this site now", "4.4.5", retry_after=300.0, line="remote/",
        expires=message.envelope.arrived + 1000,
    )  # fmt: skip
    assert remote.commands == []


async def test_other_rules_hold_for_the_next_message() -> None:
    remote, rules = Remote(), shaping(pause=float("inf"))
    async with serving(remote), relay(rules) as stage:
        assert isinstance(await stage(letter(remote.port)), Defer)
        rules.use(Rules())
        assert isinstance(await stage(letter(remote.port)), Delivered)


async def test_a_copy_for_each_share_of_the_recipients() -> None:
    remote = Remote()
    async with serving(remote), relay(shaping(recipients_per_transaction=2)) as stage:
        assert isinstance(await stage(letter(remote.port, *(f"{n}@example.net" for n in range(5)))), Delivered)
    assert sorted(len(got.recipients) for got in remote.received) == [1, 2, 2]


async def test_no_copy_has_more_recipients_than_a_rate_ever_lets_through() -> None:
    remote = Remote()
    async with serving(remote), relay(shaping(recipients=(Rate("3/1s"),))) as stage:
        assert isinstance(await stage(letter(remote.port, *(f"{n}@example.net" for n in range(6)))), Delivered)
    assert [len(got.recipients) for got in remote.received] == [3, 3]


async def test_a_connection_carries_as_many_messages_as_a_rule_says() -> None:
    remote = Remote()
    async with serving(remote), relay(shaping(messages_per_connection=2, connections=1)) as stage:
        for _ in range(5):
            await stage(letter(remote.port))
    assert remote.commands.count("QUIT") == 3


async def test_time_outs_are_those_of_the_rule() -> None:
    remote = Remote(script={"MAIL": [SILENCE]})
    async with serving(remote), relay(shaping(command_timeout=0.05)) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert "in time" in verdict.text


async def test_a_rule_may_want_tls() -> None:
    remote = Remote()
    async with serving(remote), relay(shaping(tls="require")) as stage:
        verdict = await stage(letter(remote.port))
    assert isinstance(verdict, Defer)
    assert "TLS" in verdict.text


async def test_domains_of_one_site_go_by_their_own_rules() -> None:
    remote = Remote()
    rules = shaping(
        Rule("domain", "a.example", values={"pause": float("inf")}), Rule("domain", "b.example", values={"expire": 7.0})
    )
    async with serving(remote), relay(rules) as stage:
        verdict = await stage(letter(remote.port, "1@a.example", "2@b.example", "3@c.example", "4@A.example"))
    assert isinstance(verdict, Each)
    assert {to: type(found) for to, found in verdict.verdicts.items()} == {
        "1@a.example": Defer, "2@b.example": Delivered, "3@c.example": Delivered, "4@A.example": Defer,
    }  # fmt: skip
    assert verdict.verdicts["1@a.example"].line == 'remote [domain."a.example"]/'  # type: ignore[union-attr]
    assert sorted(got.recipients for got in remote.received) == [("2@b.example",), ("3@c.example",)]


async def test_retry_and_expire_are_those_of_the_rule() -> None:
    remote = Remote(script={"MAIL": ["450 4.2.0 Not now"]})
    async with serving(remote), relay(shaping(retry=(1000.0,), expire=5.0)) as stage:
        message = letter(remote.port)
        verdict = await stage(message)
    assert isinstance(verdict, Defer)
    assert verdict.retry_after is not None
    assert 900 <= verdict.retry_after <= 1100
    assert (verdict.expires, verdict.line) == (message.envelope.arrived + 5, "")
