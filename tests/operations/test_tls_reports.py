"""A server counts how TLS with others goes, reports it once the day is over, and another takes the report in."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.net.zone import Zone
from engine.policies.store import Kept, StsStore
from engine.protocols.mta_sts import StsPolicy
from engine.reports.sessions import SessionCounts
from engine.reports.tls_received import TlsReport, parse
from tests.support.authorities import OTHER, PAST, ROOT, Server, tlsa
from tests.support.background import dns, in_thread
from tests.support.clock import Clock
from tests.support.http_server import HttpServer
from tests.support.programs import needs
from tests.support.remote import USUAL, Received, Remote, serving
from tests.support.server import Postroad, free_port, letter, until

STRANGE = Server("nobody.invalid", by=OTHER, **PAST)
"""Expired, of an authority that nobody knows, for another name."""
GOOD = Server("mx2.sts.example", "mx2.dane.example")
STRANGE_AT, GOOD_AT = "127.0.1.1", "127.0.1.2"
TAKES = "tls@far.example"
DOMAINS = ("sts.example", "dane.example", "none.example")


@dataclass
class World:
    sender: Postroad
    takes: Postroad  # of far.example, whom reports are sent to
    strange: Remote  # the first host of each domain: its certificate is no good
    good: Remote
    page: HttpServer
    clock: Clock

    def reports(self) -> list[Received]:
        return [one for one in (*self.strange.received, *self.good.received) if one.sender == ""]

    def counted(self, command: str) -> Any:
        done = self.takes.command("reports", "tls", "--json", *command.split())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def zones(port: int, page: int) -> list[Zone]:
    """Two domains with a policy and one without, with two hosts each, and who takes reports."""
    rua = f"mailto:{TAKES}"
    hosts = {"@": {"MX": ["10 mx1", "20 mx2"]}, "mx1": {"A": STRANGE_AT}, "mx2": {"A": GOOD_AT}}
    asks = {"_smtp._tls": {"TXT": f'"v=TLSRPTv1; rua={rua},https://reports.far.example:{page}/tls"'}}
    at = f"_{port}._tcp"
    dane = {f"{at}.mx1": {"TLSA": tlsa(3, 1, 1, GOOD.der)}, f"{at}.mx2": {"TLSA": tlsa(3, 1, 1, GOOD.der)}}
    # It reports to itself, by the servers that fail.
    own = {"_smtp._tls": {"TXT": '"v=TLSRPTv1; rua=mailto:tls@dane.example"'}}
    return [
        Zone("sts.example", {**hosts, **asks, "_mta-sts": {"TXT": '"v=STSv1; id=1"'}}),
        Zone("dane.example", {**hosts, **own, **dane}, secure=True),
        Zone("none.example", hosts),  # asks for no reports
        Zone("far.example", {"@": {"MX": "10 mx2.sts.example."}, "reports": {"A": "127.0.0.1"}}),
        Zone("example.org", {}),
    ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    trust = tmp_path / "ca.pem"
    ROOT.cert_pem.write_to_path(trust)
    clock, port = Clock(tmp_path / "clock"), free_port()
    with ExitStack() as stack:
        strange, good = (Remote(tls=one.context, extensions=("STARTTLS", *USUAL), port=port) for one in (STRANGE, GOOD))
        stack.enter_context(in_thread(lambda: serving(strange, STRANGE_AT)))
        stack.enter_context(in_thread(lambda: serving(good, GOOD_AT)))
        page = stack.enter_context(HttpServer(lambda _: b"").serving(STRANGE.context))
        served = zones(port, page.port)
        address = stack.enter_context(dns(*served))
        settings = {
            "dns": {"servers": [address]},
            "lane": {"remote": {"stages": ["sign", "resolve", "relay"]}},
            "stage": {"resolve": {"port": port}, "relay": {"trust": str(trust)}},
            "reports": {"org_name": "Example", "email": "tls@example.org", "allow_networks": ["127.0.0.0/8"]},
        }
        sender = Postroad(tmp_path / "sender", settings)
        sender.environment = dict(clock.environment)
        sign(sender, served[-1])
        keep_policy(sender, "sts.example", "*.sts.example")
        takes = Postroad(tmp_path / "takes", taking(address)).account(TAKES)
        takes.environment = dict(clock.environment)  # nobody believes a signature that comes from the future
        stack.enter_context(takes)
        try:
            yield World(sender, takes, strange, good, page, clock)
        finally:
            if sender.running:
                sender.kill()


def taking(address: str) -> dict[str, Any]:
    """The settings of the server that takes reports in."""
    return {
        "server": {"hostname": "mx.far.example"},
        "domains": {"local": ["far.example"]},
        "dns": {"servers": [address]},
        "lane": {"inbound": {"stages": ["accept", "authenticate", "queue", "incoming_reports", "route"]}},
        "stage": {"accept": {"relay_networks": []}, "incoming_reports": {"tls": [TAKES]}},
    }


def sign(server: Postroad, zone: Zone) -> None:
    """Make keys, and publish them."""
    done = server.command("dkim", "new", "example.org", "--selector", "a", "--force")
    assert done.returncode == 0, done.stderr
    for row in json.loads(server.command("dkim", "publish", "example.org", "--json").stdout):
        zone.set(
            row["name"].removesuffix(".example.org"),
            "TXT",
            " ".join(f'"{row["text"][n : n + 200]}"' for n in range(0, len(row["text"]), 200)),
        )


def keep_policy(server: Postroad, domain: str, host: str) -> None:
    """As if it had been fetched from a web server."""
    with StsStore.open(server.folder / "var") as store:
        store.put(domain, Kept(StsPolicy("enforce", 9 * 86_400, (host,)), "1", time.time(), time.time()))


def failures(report: TlsReport) -> list[tuple[str, str, int]]:
    return [(one.result, one.mx_hostname, one.count) for policy in report.policies for one in policy.failures]


@needs("faketime")
def test_a_day_of_sessions_is_reported_and_the_report_is_taken_in(world: World) -> None:
    with world.sender as sender:
        for domain in DOMAINS:
            sender.send(letter("news"), f"bob@{domain}", sender="ann@example.org")
            sender.wait_for("delivered", to=f"bob@{domain}")
        assert {one.recipients[0] for one in world.good.received} == {"bob@sts.example", "bob@dane.example"}
        assert sender.stop() == 0
    world.clock.set("+29h")  # the day is over, and the hours over which reports are spread
    with world.sender as sender:
        told = [sender.wait_for("report-sent", kind="tls", domain=domain) for domain in DOMAINS[:2]]
        assert [(one["rows"], one["messages"]) for one in told] == [(2, 2), (2, 2)]
        assert told[0]["to"][0] == TAKES
        arrived = until(lambda: len(found := world.reports()) >= 2 and found, "two reports")
        assert sender.stop() == 0
    (posted,) = world.page.asked
    by_page = parse(gzip.decompress(posted.body))
    assert failures(by_page) == [("certificate-not-trusted", "mx1.sts.example", 1)]
    assert (by_page.domains, by_page.succeeded, by_page.failed) == (["sts.example"], 1, 1)
    assert (by_page.policies[0].type, by_page.policies[0].mx) == ("sts", ("*.sts.example",))

    # The one to dane.example went to the host that no record fits, for it goes whatever fails.
    (to_itself,) = [one for one in arrived if one.recipients == ("tls@dane.example",)]
    assert to_itself in world.strange.received
    (to_another,) = [one for one in arrived if one.recipients == (TAKES,)]
    take_in(world, to_another, to_itself)

    with world.sender as sender:  # nothing is sent twice, and what carried the reports is not reported
        sender.send(letter("more"), "bob@none.example", sender="ann@example.org")
        until(lambda: len(sender.all("delivered", to="bob@none.example")) >= 2, "the last message")
        assert sender.stop() == 0
    assert len(world.page.asked) == 1
    assert len(world.reports()) == 2
    with SessionCounts.open(sender.folder / "var" / "tls-reports") as counts:
        left = [found[0].domain for key in counts.due(10**6) if (found := counts.read(key))]
        # There may be domains of which nobody has asked yet whether they want reports, for the server has ended.
        assert not {"dane.example", "far.example"} & set(left)


def take_in(world: World, *reports: Received) -> None:
    """Bring them to the server that takes them, which shows them."""
    takes = world.takes
    for one in reports:
        takes.send(one.content, TAKES, sender="")
    for domain in DOMAINS[:2]:
        told = takes.wait_for("tls-report", domain=[domain])
        assert (told["org"], told["succeeded"], told["failed"], told["new"]) == ("Example", 1, 1, True)
    takes.send(reports[0].content.replace(b"This is a", b"That is a"), TAKES, sender="")  # which breaks the signature
    takes.wait_for("tls-report-unread", why="no good signature of DKIM")
    assert len(takes.mail_for(TAKES)) == 1
    shown = world.counted("--last 7d")
    assert {tuple(one["signed_by"]) for one in shown["reports"]} == {("example.org",)}
    assert {
        (row["domain"], row["policy"], row["result"], row["server"], row["sessions"]) for row in shown["results"]
    } == {
        ("sts.example", "sts", "certificate-not-trusted", "mx1.sts.example", 1),
        ("sts.example", "sts", "success", "", 1),
        ("dane.example", "tlsa", "validation-failure", "mx1.dane.example", 1),
        ("dane.example", "tlsa", "success", "", 1),
    }
    assert len(world.counted("--domain sts.example")["reports"]) == 1
    lines = takes.command("reports", "tls")
    assert len(lines.stdout.splitlines()) == 4
    assert "Example (signed by example.org) about sts.example" in lines.stderr
