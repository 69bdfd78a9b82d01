"""A running server reports about the domains of those who send to it, once, also when it is killed in between."""

import email
from pathlib import Path

from engine.net.zone import Zone
from engine.reports.counts import Counts, Gathered, today
from engine.reports.received import parse
from engine.reports.rows import Observed
from engine.reports.unpacked import unpacked
from tests.support.background import dns
from tests.support.server import Postroad

BOB, DMARC = "bob@example.org", "dmarc@example.org"
FROM_ANN = b"From: Ann <ann@ann.example>\r\nSubject: hello\r\n\r\nHello.\r\n"


def zone() -> Zone:
    return Zone(
        ".",
        {
            "ann.example.": {"TXT": '"v=spf1 ip4:127.0.0.1 -all"'},
            "_dmarc.ann.example.": {"TXT": f'"v=DMARC1; p=reject; rua=mailto:{DMARC}!1m"'},
            "ann.example._report._dmarc.example.org.": {"TXT": '"v=DMARC1"'},
        },
    )


def days_earlier(store: Path) -> None:
    """What was counted, as if that had been two days ago."""
    counts = Counts.open(store)
    earlier = Gathered()
    for key in counts.due(today() + 1):
        found = counts.read(key)
        assert found is not None
        published, rows = found
        for row, count in rows:
            for _ in range(count):
                earlier.add(today() - 2, Observed(published, row))
        counts.drop(key)
    counts.write(earlier)
    counts.close()


def test_what_was_counted_is_reported_once(tmp_path: Path) -> None:
    with dns(zone()) as address:
        settings = {
            "dns": {"servers": [address]},
            "lane": {"inbound": {"stages": ["accept", "authenticate", "queue", "route"]}},
            "stage": {"accept": {"relay_networks": []}},
            "reports": {"org_name": "Example", "email": "postmaster@example.org"},
        }
        server = Postroad(tmp_path, settings).account(BOB, DMARC)
        with server:
            for _ in range(3):
                server.send(FROM_ANN, BOB, sender="ann@ann.example")
            server.send(FROM_ANN, BOB, sender="eve@eve.example")
            assert len(server.mail_for(BOB, 4)) == 4
            assert server.stop() == 0
        days_earlier(tmp_path / "var" / "reports")
        with server:
            told = server.wait_for("report-sent", domain="ann.example")
            assert (told["to"], told["rows"], told["messages"]) == ([DMARC], 2, 4)
            (octets,) = server.mail_for(DMARC)
            server.kill()
        with server:
            server.send(b"Subject: the end\r\n\r\n", DMARC)
            assert len(server.mail_for(DMARC, 2)) == 2
            shown = server.command("reports", "show", "--account", DMARC)
            assert server.command("reports", "show", "--account", "eve@example.org").returncode == 1
    assert [line.split("\t")[:5] for line in shown.stdout.splitlines()] == [["ann.example", "127.0.0.1", "4", "3", "1"]]
    assert (shown.returncode, len(shown.stderr.splitlines())) == (0, 1)  # of the other message nothing is said
    assert email.message_from_bytes(octets)["From"] == "postmaster@example.org"
    (xml,) = unpacked(octets)
    report = parse(xml)
    assert (report.domain, report.policy["p"]) == ("ann.example", "reject")
    assert sorted((r.source, r.count, r.spf, r.disposition, r.envelope_from) for r in report.records) == [
        ("127.0.0.1", 1, "fail", "none", "eve.example"),
        ("127.0.0.1", 3, "pass", "pass", "ann.example"),
    ]
