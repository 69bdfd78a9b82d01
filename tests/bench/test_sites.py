"""Many sites: who gets mail, what their mail hosts answer, and a small run with some bad ones."""

import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dns.name
import pytest
import trio

from bench import Failed
from bench.disks import Disk
from bench.measure import Cell, Wanted
from bench.servers.postroad import Postroad
from bench.sites import DELAY, LARGE, ORIGIN, Dialog, Kind, Sites, address, recipient, sink
from bench.workloads import fairness
from bench.workloads.base import Choice
from bench.workloads.fairness import WORKLOAD, Fairness


def test_one_site_in_a_hundred_is_bad_and_none_the_large_one() -> None:
    kinds = Counter(map(Sites(10_000, 100).kind, range(10_000)))
    assert kinds[Kind.HEALTHY] == 9900
    assert sorted(kinds[kind] for kind in (Kind.DEAD, Kind.SILENT, Kind.SLOW)) == [33, 33, 34]
    assert Sites(10_000, 100).kind(LARGE) is Kind.HEALTHY


def test_one_site_gets_half_of_the_mail_and_all_others_the_same() -> None:
    found = Sites(11).destinations(20_000)
    assert found == Sites(11, 3).destinations(20_000)
    counts = Counter(found)
    assert 9500 < counts.pop(LARGE) < 10_500
    assert set(counts) == set(range(1, 11))
    assert all(800 < count < 1200 for count in counts.values())


def test_every_site_has_an_address_of_its_own() -> None:
    assert len({address(site) for site in range(70_000)}) == 70_000
    zone = Sites(300).zone()
    exchange = zone.rrset(dns.name.from_text(f"s00299.{ORIGIN}"), "MX")
    assert exchange is not None
    host = zone.rrset(exchange[0].exchange, "A")
    assert host is not None
    assert str(host[0]) == address(299) == "127.1.1.43"


# -- the mail hosts

SAID = (
    b"EHLO us\r\nMAIL FROM:<a@source.test>\r\nRCPT TO:<17@s00001.sites.test>\r\nDATA\r\n"
    b"Subject: one\r\n\r\n.. MAIL RCPT\r\n.\r\n"
    b"mail from:<>\r\nrcpt to:<18@s00001.sites.test>\r\ndata\r\nSubject: two\r\n\r\n.\r\nQUIT\r\n"
)
CODES = [b"250", b"250", b"250", b"354", b"250", b"250", b"250", b"354", b"250", b"221"]


@pytest.mark.parametrize("size", [1, 7, len(SAID)])
def test_a_mail_host_takes_what_comes_in_any_pieces(size: int) -> None:
    dialog = Dialog()
    replies = [reply for start in range(0, len(SAID), size) for reply in dialog.receive(SAID[start : start + size])]
    assert [reply[:3] for reply in replies] == CODES
    assert dialog.arrived == [17, 18]


def _talk(site: int, port: int, seconds: float) -> bytes:
    """Send a whole message at once; all that is answered until nothing more comes for so long."""
    with socket.create_connection((address(site), port), 5) as connection:
        connection.settimeout(seconds)
        connection.sendall(SAID.replace(b"RCPT TO:<17@s00001.sites.test>", f"RCPT TO:<{recipient(17, site)}>".encode()))
        heard = b""
        try:
            while b"221 " not in heard and (octets := connection.recv(4096)):
                heard += octets
        except TimeoutError:
            pass
        return heard


async def test_sites_take_mail_or_are_dead_silent_or_slow() -> None:
    sites = Sites(6, 3)
    by_kind = {sites.kind(site): site for site in range(6)}
    async with sink(sites) as (port, arrived):
        begun = time.monotonic()
        assert b"221 " in await trio.to_thread.run_sync(_talk, by_kind[Kind.HEALTHY], port, 10.0)
        with trio.fail_after(60):
            while set(arrived) != {17, 18}:
                await trio.sleep(0.01)
        assert all(begun < moment < time.monotonic() for moment in arrived.values())
        first = dict(arrived)
        assert await trio.to_thread.run_sync(_talk, by_kind[Kind.SILENT], port, 0.3) == b""
        with pytest.raises(ConnectionRefusedError):
            await trio.to_thread.run_sync(_talk, by_kind[Kind.DEAD], port, 1.0)
        slow = await trio.to_thread.run_sync(_talk, by_kind[Kind.SLOW], port, DELAY / 2)
        assert slow.startswith(b"220 ")
        assert b"250" not in slow
        assert arrived == first  # one that comes again came when it did first


async def test_sites_that_cannot_listen_are_a_failure() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with sink(Sites(10**8)):
            raise AssertionError
    assert caught.group_contains(Failed, match="the sites do not start", depth=None)


# -- the workload


def test_one_cell() -> None:
    assert WORKLOAD.cells(Choice()) == [Cell(4096, 40)]
    assert WORKLOAD.cells(Choice(sizes=(1, 2), reuse=(False,))) == [Cell(1, 40), Cell(2, 40)]


async def test_mail_for_a_healthy_site_that_does_not_come_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "_PATIENCE", 0.01)
    with pytest.raises(Failed, match="1 of 3 messages for healthy sites have not arrived"):
        await fairness._all([0, 1, 2], [0, 2])


@pytest.fixture
def disk() -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="postroad-bench-") as name:
        yield Disk("plain", Path(name), "for a test")


@pytest.mark.slow
async def test_healthy_sites_get_their_mail_beside_bad_ones(disk: Disk) -> None:
    workload = Fairness(30, seconds=1.0)
    [cell] = workload.cells(Choice(sessions=(5,)))
    trials = await workload.trials([Postroad()], cell, disk, Wanted(1, 1.0, 200))
    assert [trial.key for trial in trials] == ["postroad", "postroad@bad"]
    runs = [await trial.run(200) for trial in trials]
    assert runs[0].messages == 200
    assert 150 < runs[1].messages < 200  # bad sites do not count
    for run in runs:
        figures = run.figures
        assert 0 < figures["p50, ms"] <= figures["p99, ms"] <= figures["p99.9, ms"]
        assert figures["late, ms"] >= 0
