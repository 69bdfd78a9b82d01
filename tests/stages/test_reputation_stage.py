"""The stage `reputation`: what counts as good and bad, and who must come again later."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine import Defer, Message, Reject, Session
from engine.abuse import Tables
from engine.message import PARK
from stages.reputation import Reputation
from tests.support.messages import message

STRANGER = Session(peer="192.0.2.1")
NET = "192.0.2.0/24"


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse") as tables:
        yield tables


def mail(session: Session = STRANGER, **facts: Any) -> Message:
    found = message()
    return replace(found, envelope=replace(found.envelope, session=session)).with_facts(
        {name.replace("_", "."): value for name, value in facts.items()}
    )


async def test_what_a_scanner_says_is_learnt_and_told(tables: Tables) -> None:
    async with Reputation(tables, defer_below=-0.4) as stage:
        for about in (mail(), mail(scan_score=1.0), mail(scan_score=7.0), mail().with_fact(PARK, "a virus")):
            assert isinstance(await stage(about), Message)
        await stage._flush()
        said = await stage(mail())
        assert isinstance(said, Message)
        assert said.fact("door.reputation") == 0.0
        assert await stage.at_connect(STRANGER) is None
        for _ in range(20):
            await stage(mail(scan_score=9.9))
    async with Reputation(tables, defer_below=-0.4) as stage:
        assert isinstance(await stage.at_connect(STRANGER), Defer), "what had gathered was written at the end"
        assert await stage.at_connect(Session(peer="198.51.100.1")) is None
        assert await stage.at_connect(Session(peer="192.0.2.1", trusted=True)) is None


async def test_what_is_refused_counts_content_most(tables: Tables) -> None:
    async with Reputation(tables) as stage:
        stage.at_refusal(STRANGER, Reject("spam"), True)
        for _ in range(5):
            stage.at_refusal(STRANGER, Reject("no such user"), False)
        stage.at_refusal(Session(peer="192.0.2.1", login="ann@example.org"), Reject("no"), True)
        await stage._flush()
        assert await stage._known.score(NET) == pytest.approx(-2 / 12)
        assert await stage.at_connect(STRANGER) is None, "off by default"


def test_what_cannot_be_meant() -> None:
    said = list(Reputation.check(defer_below=0.0, half_life=0.0, network_ipv4=99))
    assert [one.partition(" must")[0] for one in said] == ["defer_below", "half_life", "network_ipv4"]


async def test_a_rehearsal_learns_nothing(tables: Tables) -> None:
    async with Reputation(tables) as stage:
        for _ in range(30):
            said = await stage.rehearse(mail(scan_score=9.9))
            assert isinstance(said, Message)
            assert said.fact("door.reputation") == 0.0
        await stage._flush()
        assert await stage._known.score(NET) == 0.0
        ours = mail(Session(peer="192.0.2.1", login="ann@example.org"))
        assert await stage.rehearse(ours) is ours
