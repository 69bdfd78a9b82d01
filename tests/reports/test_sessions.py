"""Sessions as they are counted: together where they are alike, for domains that ask for it, in bounded room."""

from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from engine.policies.results import TlsResult
from engine.reports import counts as counting
from engine.reports import tally as gathering
from engine.reports.counts import Gathered
from engine.reports.sessions import SessionCounts, SessionRow, SessionTally, Wanted, asked_for, seen
from tests.support.told_dns import TROUBLE, ToldDns

STS = TlsResult("sts", "example.com", ("version: STSv1", "mode: enforce", "mx: mx.example.com"), ("mx.example.com",))
FAILED = msgspec.structs.replace(
    STS,
    result="certificate-expired",
    reason="No TLS with mx.example.com: its certificate has expired",
    sending_ip="192.0.2.1",
    mx_hostname="mx.example.com",
    mx_helo="mail.example.com",
    receiving_ip="192.0.2.25",
)
RECORD = {"TXT": "v=TLSRPTv1; rua=mailto:tls@example.com"}


def gathered(*results: TlsResult, day: int = 7) -> Gathered:
    all_of_it = Gathered()
    for one in results:
        all_of_it.add(day, seen(one))
    return all_of_it


@pytest.fixture
def counts(tmp_path: Path):
    with SessionCounts.open(tmp_path / "sessions") as opened:
        yield opened


def told(counts: SessionCounts) -> dict[tuple[str, str], int]:
    """Result and server → sessions, of the only report."""
    (key,) = counts.due(100)
    found = counts.read(key)
    assert found is not None
    return {(row.result, row.mx_hostname): count for row, count in found[1]}


def test_of_what_went_well_only_the_policy_is_kept() -> None:
    well = msgspec.structs.replace(FAILED, result="", reason="")
    assert seen(well).row == SessionRow("sts", STS.policy, STS.mx_patterns)
    assert seen(well).published == Wanted("example.com")
    assert seen(FAILED).row.receiving_ip == "192.0.2.25"


def test_what_strangers_say_is_bounded() -> None:
    long = seen(msgspec.structs.replace(FAILED, reason="x" * 9000, mx_helo="\ud800", policy=("y" * 900,) * 900)).row
    assert len(long.reason) == len(long.policy[0]) == 255
    assert (long.mx_helo, len(long.policy)) == ("?", 64)


def test_the_same_is_counted_together(counts: SessionCounts) -> None:
    counts.write(gathered(STS, STS, FAILED))
    counts.write(gathered(STS, FAILED, msgspec.structs.replace(FAILED, mx_hostname="mx2.example.com")))
    assert told(counts) == {
        ("", ""): 3,
        ("certificate-expired", "mx.example.com"): 2,
        ("certificate-expired", "mx2.example.com"): 1,
    }


def test_what_has_no_room_is_counted_without_its_ends(counts: SessionCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "ROWS_OF_ONE", 2)
    every = [msgspec.structs.replace(FAILED, mx_helo=f"host{number}", mx_hostname=f"mx{number}") for number in range(9)]
    assert counts.write(gathered(*every)) == 0
    assert told(counts) == {
        ("certificate-expired", "mx0"): 1,
        ("certificate-expired", "mx1"): 1,
        ("certificate-expired", ""): 7,
    }


def test_a_domain_has_so_many_octets(counts: SessionCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "OCTETS_OF_ONE", 100)
    every = [msgspec.structs.replace(FAILED, mx_hostname=f"mx{number}") for number in range(3)]
    assert counts.write(gathered(*every)) == 0
    assert told(counts) == {("certificate-expired", "mx0"): 1, ("certificate-expired", ""): 2}


@pytest.mark.parametrize(
    ("records", "rua"),
    [(RECORD, "mailto:tls@example.com"), ({"TXT": "v=spf1 -all"}, ""), ({}, ""), ({"TXT": TROUBLE}, None)],
)
async def test_who_wants_reports(records: dict[str, str], rua: str | None) -> None:
    assert await asked_for(ToldDns({"_smtp._tls.example.com": records}), "example.com") == rua
    assert await asked_for(ToldDns({}), f"{'x' * 250}.example") == ""


async def test_only_who_asks_for_it_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHERED", 3)
    dns = ToldDns({"_smtp._tls.example.com": RECORD, "_smtp._tls.sick.example": {"TXT": TROUBLE}})
    tally = SessionTally(tmp_path / "sessions", lambda: dns, lambda: 7)
    tally.heard(STS)
    assert not tally._gathered.rows  # it is off
    tally.on = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tally.run)
        await wait_all_tasks_blocked()
        for result in (
            STS,
            STS,
            *(msgspec.structs.replace(STS, domain=name) for name in ("sick.example", "none.example")),
        ):
            tally.heard(result)
        tally.heard(FAILED)
        with trio.fail_after(60):
            while len(tally.counts.due(8)) < 2:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    found = {}
    for key in tally.counts.due(8):
        published, rows = tally.counts.read(key) or pytest.fail("nothing there")
        found[published.domain] = (published.rua, sum(count for _, count in rows))
    assert found == {"example.com": ("mailto:tls@example.com", 3), "sick.example": ("", 1)}
    tally.close()


def test_what_is_left_at_the_end_is_written_without_a_question(tmp_path: Path) -> None:
    dns = ToldDns({})
    tally = SessionTally(tmp_path / "sessions", lambda: dns, lambda: 7)
    tally.on = True
    tally.heard(STS)
    tally.close()
    with SessionCounts.open(tmp_path / "sessions") as counts:
        (key,) = counts.due(8)
        assert counts.read(key) == (Wanted("example.com"), [(seen(STS).row, 1)])
    assert dns.asked == []
