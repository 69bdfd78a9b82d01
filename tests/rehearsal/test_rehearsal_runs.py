"""What becomes of a message in a rehearsal is what would become of it, and nothing comes of it."""

from pathlib import Path

import pytest

from engine.message import JUNK, PARK
from tests.rehearsal.theatre import BOB, CAT, FAR, asked, configured, digests, letter, opened, people

DECIDE = '''
"""Does what the subject says."""
from engine import Defer, Discard, Each, Message, Quarantine, Reject

async def decide(message: Message):
    match message.header("Subject"):
        case "reject":
            return Reject("not this")
        case "defer":
            return Defer("not now")
        case "discard":
            return Discard("nobody misses it")
        case "park":
            return Quarantine("odd")
        case "park later":
            return message.with_fact("quarantine.reason", "odder")
        case "each":
            return Each({"cat@example.org": Reject("not for cat")})
        case "each later":
            return Each({"cat@example.org": Defer("not for cat now")})
        case "raise":
            raise RuntimeError("it broke")
    return message.with_fact("decide.seen", True).with_header("X-Seen", "yes")
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("subject", "recipients", "fates"),
    [
        ("hello", (BOB,), {BOB: "delivered: lane local, enqueue"}),
        ("hello", (FAR,), {FAR: "delivered: lane remote, relay 192.0.2.1"}),
        ("hello", (BOB, FAR), {BOB: "delivered: lane local, enqueue", FAR: "delivered: lane remote, relay 192.0.2.1"}),
        (
            "hello",
            ("both@example.org",),
            {BOB: "delivered: lane local, enqueue", FAR: "delivered: lane remote, relay 192.0.2.1"},
        ),
        (
            "hello",
            (BOB, "nobody@example.org"),
            {
                BOB: "delivered: lane local, enqueue",
                "nobody@example.org": "reject by route: 5.1.1 no such user here",
            },
        ),
        ("reject", (BOB, CAT), dict.fromkeys((BOB, CAT), "reject by decide: 5.7.1 not this")),
        ("defer", (BOB,), {BOB: "defer by decide: 4.3.0 not now"}),
        ("discard", (BOB,), {BOB: "discard by decide: nobody misses it"}),
        ("park", (BOB,), {BOB: "quarantine by decide: odd"}),
        ("park later", (BOB,), {BOB: "quarantine by decide: odder"}),
        ("each", (BOB, CAT), {BOB: "delivered: lane local, enqueue", CAT: "reject by decide: 5.7.1 not for cat"}),
        ("each later", (BOB, CAT), dict.fromkeys((BOB, CAT), "defer by decide: 4.3.0 not for cat now")),
    ],
)
async def test_what_becomes_of_it(
    folder: Path, subject: str, recipients: tuple[str, ...], fates: dict[str, str]
) -> None:
    troubles: list[str] = []
    async with opened(configured(folder, decide=DECIDE), troubles=troubles) as rehearsal:
        found = await rehearsal.run(asked(*recipients, content=letter(subject)))
    assert {fate.recipient: str(fate) for fate in found.fates} == fates
    assert troubles == []


async def test_a_stage_that_breaks_is_told_of_and_puts_the_message_off(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    troubles: list[str] = []
    async with opened(configured(folder, decide=DECIDE), troubles=troubles) as rehearsal:
        found = await rehearsal.run(asked(content=letter("raise")))
    [fate] = found.fates
    assert (fate.verdict, fate.stage) == ("defer", "decide")
    assert troubles == ["stage decide: RuntimeError: it broke"]
    assert capfd.readouterr().err == "", "it is no event of the server"


async def test_the_way_the_facts_and_the_fields(folder: Path) -> None:
    async with opened(configured(folder, decide=DECIDE)) as rehearsal:
        found = await rehearsal.run(asked(FAR))
    assert [(step.lane, step.stage, step.verdict) for step in found.way] == [
        ("inbound", "decide", "changed"),
        ("inbound", "route", "lane remote"),
        ("remote", "resolve", "changed"),
        ("remote", "relay", "delivered: relay 192.0.2.1"),
    ]
    [fate] = found.fates
    assert fate.facts["decide.seen"] is True
    assert fate.fields[0] == "X-Seen: yes"
    assert (fate.site, fate.sender, fate.body) == ("192.0.2.1", "a@sender.test", "")


async def test_what_waits_begins_behind_the_queue(folder: Path) -> None:
    async with opened(configured(folder, decide=DECIDE)) as rehearsal:
        found = await rehearsal.run(asked(content=letter("reject"), behind=True))
        assert [step.stage for step in found.way] == ["route", "enqueue"]
        found = await rehearsal.run(asked(content=letter("reject"), behind=True, lane="renamed"))
        assert found.told == "delivered: lane local, enqueue"
        found = await rehearsal.run(asked(facts={PARK: "why"}, behind=True))
        assert (found.fates[0].verdict, found.fates[0].text) == ("quarantine", "why")


async def test_stages_at_the_door_are_asked(folder: Path) -> None:
    limits = {"stage": {"limit_rates": {"sender_messages": ["1/1h"]}}}
    lane = {"lane": {"inbound": {"stages": ["accept", "limit_rates", "queue", "route"]}}}
    async with opened(configured(folder, {**limits, **lane})) as rehearsal:
        for _ in range(3):  # none is counted
            assert (await rehearsal.run(asked())).told == "delivered: lane local, enqueue"


async def test_greylisting_answers_a_stranger_and_notes_nothing(folder: Path) -> None:
    changes = {
        "lane": {"inbound": {"stages": ["accept", "greylist", "queue", "route"]}},
        "dns": {"servers": ["127.0.0.1:1"], "timeout": "1s"},
    }
    config = configured(folder, changes)
    before = digests(folder / "var")
    async with opened(config, offline=True) as rehearsal:
        [fate] = (await rehearsal.run(asked())).fates
        assert (fate.verdict, fate.stage) == ("defer", "greylist")
        assert list((folder / "var").glob("rehearsal-*"))
    assert digests(folder / "var") == before
    assert not list((folder / "var").glob("rehearsal-*"))


async def test_who_asks_others_is_left_out_offline(folder: Path) -> None:
    lane = {"lane": {"inbound": {"stages": ["accept", "authenticate", "queue", "route"]}}}
    async with opened(configured(folder, lane), offline=True) as rehearsal:
        found = await rehearsal.run(asked(FAR))
        assert rehearsal.absent == ["authenticate", "resolve"]
    [fate] = found.fates
    assert str(fate) == "delivered: lane remote, relay"
    assert not any(field.startswith("Authentication-Results") for field in fate.fields)


async def test_an_own_stage_may_say_how_it_is_rehearsed(folder: Path) -> None:
    source = '''
"""Counts."""
from pathlib import Path
from engine import Message, Verdict
from engine.stage import Rehearsed

class Count:
    def __init__(self, rehearsed: Rehearsed) -> None:
        self.rehearsed = rehearsed

    async def __call__(self, message: Message) -> Verdict:
        raise AssertionError("it counts")

    async def rehearse(self, message: Message) -> Verdict:
        return message.with_fact("count.rehearsed", self.rehearsed)
'''
    async with opened(configured(folder, count=source)) as rehearsal:
        [fate] = (await rehearsal.run(asked())).fates
    assert fate.facts["count.rehearsed"] is True


async def test_an_effect_may_say_where_the_message_goes(folder: Path) -> None:
    async with opened(configured(folder)) as rehearsal:
        found = await rehearsal.run(asked(facts={JUNK: True}, behind=True))
    assert found.told == "delivered: lane local, enqueue Junk"


async def test_a_lane_that_leads_nowhere(folder: Path) -> None:
    changes = {"lane": {"local": {"stages": ["sign"]}}}
    async with opened(configured(folder, changes)) as rehearsal:
        [fate] = (await rehearsal.run(asked())).fates
    assert fate.verdict == "defer"
    assert "the lane ended and no stage said where the mail goes" in fate.text
