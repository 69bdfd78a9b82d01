"""The stage `incoming_reports` and reports of DMARC: what is kept, and what hostile ones come to."""

import json
import time

import pytest

from engine import Each
from tests.reports.dmarc_samples import HOSTILE, YESTERDAY, aggregate, mailed, zipped
from tests.stages.test_incoming_reports import READ, World, message

DMARC = "dmarc@example.org"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.inbox.close()
    made.directory.close()


def stage(world, **settings):
    return world.stage(dmarc=(DMARC,), **settings)


def events(capfd, name):
    lines = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    return [line for line in lines if line["event"] == name]


@pytest.mark.parametrize("kind", ["gzip", "zip", "xml"])
async def test_one_that_comes_is_kept_once_and_told(world, kind, capfd):
    for _ in range(2):
        about = message(mailed(aggregate(), kind), DMARC, passed=["google.com"])
        assert await stage(world)(about) == Each({DMARC: READ})
    first, second = events(capfd, "dmarc-report")
    assert (first["org"], first["domain"], first["messages"], first["passed"]) == ("google.com", "example.org", 9, 7)
    assert (first["new"], second["new"]) == (True, False)
    (one,) = world.inbox.dmarc.reports()
    assert (one.domain, one.ours, one.signed, one.policy) == (
        "example.org",
        "example.org",
        ("google.com",),
        "quarantine",
    )
    assert {(row.source, row.dkim, row.spf, row.disposition): count for row, count in one.rows} == {
        ("192.0.2.1", True, False, "none"): 7,
        ("2001:db8::9", False, False, "quarantine"): 2,
    }


async def test_of_what_is_below_a_domain_of_ours_the_domain_is_known(world):
    await stage(world)(message(mailed(aggregate("news.mail.example.org")), DMARC, passed=["google.com"]))
    (one,) = world.inbox.dmarc.reports()
    assert (one.domain, one.ours) == ("news.mail.example.org", "example.org")


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_one_is_left_unread_quickly(world, name, capfd):
    octets, why = HOSTILE[name]
    about = message(octets, DMARC, passed=["evil.example"])
    began = time.monotonic()
    assert await stage(world)(about) is about
    assert time.monotonic() - began < 30
    (told,) = events(capfd, "dmarc-report-unread")
    assert why in told["why"]
    assert list(world.inbox.dmarc.reports()) == []


@pytest.mark.parametrize(("passed", "taken"), [([], False), (None, True), (["google.com"], True)])
async def test_a_forged_one_is_left_unread(world, passed, taken, capfd):
    about = message(mailed(aggregate()), DMARC, passed=passed)
    assert (await stage(world)(about) is about) is not taken
    assert len(list(world.inbox.dmarc.reports())) == taken
    if not taken:
        (told,) = events(capfd, "dmarc-report-unread")
        assert told["why"] == "no good signature of DKIM"


async def test_who_signs_another_domain_stands_beside_and_in_nobodys_place(world):
    lie = aggregate(rows=(("192.0.2.66", 1_000_000, "none", "fail", "fail"),))
    await stage(world)(message(mailed(lie), DMARC, passed=["evil.example"]))
    await stage(world)(message(mailed(aggregate()), DMARC, passed=["google.com"]))
    assert {one.signed: sum(count for _, count in one.rows) for one in world.inbox.dmarc.reports()} == {
        ("evil.example",): 1_000_000,
        ("google.com",): 9,
    }


async def test_of_several_in_one_mail_all_count_or_none(world, capfd):
    whole = zipped(aggregate(identity="1"))
    both = mailed(whole, "zip")
    assert await stage(world)(message(both, DMARC, passed=["google.com"])) == Each({DMARC: READ})
    assert len(list(world.inbox.dmarc.reports())) == 1


async def test_one_that_is_older_than_what_is_kept_is_read_and_forgotten(world, capfd):
    old = aggregate(begin=YESTERDAY - 400 * 86_400)
    assert await stage(world)(message(mailed(old), DMARC, passed=["google.com"])) == Each({DMARC: READ})
    (told,) = events(capfd, "dmarc-report")
    assert told["new"] is False
    assert list(world.inbox.dmarc.reports()) == []


async def test_mail_to_other_addresses_passes(world):
    about = message(mailed(aggregate()), "ann@example.org", passed=["google.com"])
    assert await stage(world)(about) is about


async def test_one_that_is_too_large_is_not_read(world, monkeypatch, capfd):
    monkeypatch.setattr("stages.incoming_reports.DMARC_LIMIT", 2**20)
    about = message(mailed(aggregate()) + b"x" * 2**20, DMARC, passed=["google.com"])
    assert await stage(world)(about) is about
    (told,) = events(capfd, "dmarc-report-unread")
    assert told["why"] == "it has more than 1 MiB"
