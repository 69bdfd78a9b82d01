"""Figures over time, and reports by day, by the API: what a token may see of them."""

import time

from engine.figures.gathering import Gathered
from engine.reports.received import parse
from engine.reports.tls_received import Policy, TlsReport
from tests.reports.dmarc_samples import DAY, YESTERDAY, aggregate
from tests.support.api import api_of

YEAR = 366.0 * DAY


def fill(api):
    now = time.time()
    counts = {"arrived/accepted/in": 7, "domain/example.org/received": 3, "tls/sts/success": 2}
    api.site.role.figures.opened().add(now - 900, now - 700, Gathered(counts), {}, 99)


def lines(told, chart):
    (one,) = [one for one in told.json()["charts"] if one["name"] == chart]
    return {line["name"]: sum(value or 0 for value in line["values"]) for line in one["series"]}


async def test_the_whole_server_a_domain_and_tls(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("measures:read") as program:
        fill(api)
        told = await program.get("/measures/figures", params={"span": "week"})
        assert told.status_code == 200, told.text
        assert lines(told, "taken") == {"in": 7}
        assert len(told.json()["times"]) == len(told.json()["charts"][0]["series"][0]["values"]) + 1
        assert lines(await program.get("/measures/figures", params={"domain": "example.org"}), "received")["clean"] == 3
        assert lines(await program.get("/measures/figures", params={"part": "tls"}), "tls-sent") == {"success": 2}
        assert (await program.get("/measures/figures", params={"span": "century"})).status_code == 422


async def test_a_token_of_some_domains_sees_theirs_alone(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("measures:read", domains=["example.org"]) as program:
        fill(api)
        assert (await program.get("/measures/figures")).status_code == 403
        assert (await program.get("/measures/figures", params={"part": "tls"})).status_code == 403
        assert (await program.get("/measures/figures", params={"domain": "example.net"})).status_code == 403
        assert (await program.get("/measures/figures", params={"domain": "example.org"})).status_code == 200


async def test_reports_by_day_and_summed_up(tmp_path):
    async with api_of(tmp_path) as api, api.with_scopes("reports:read", domains=["example.org"]) as program:
        for domain in ("example.org", "example.net"):
            api.site.role.inbox.dmarc.take(parse(aggregate(domain)), domain, YEAR, signed=("google.com",))
            policy = Policy(domain, "sts", succeeded=5, failed=1)
            api.site.role.inbox.take(TlsReport("G", "", "1", YESTERDAY, YESTERDAY + DAY - 1, (policy,)), YEAR)
        assert lines(await program.get("/reports/dmarc/days"), "dmarc-results") == {
            "both": 0, "dkim": 7, "spf": 0, "failed": 2,
        }  # fmt: skip
        assert lines(await program.get("/reports/tls/days"), "tls-received") == {"success": 5, "unexplained": 1}
        summed = (await program.get("/reports/dmarc")).json()
        assert [(one["domain"], one["source"], one["failed"]) for one in summed["sources"]] == [
            ("example.org", "2001:db8::9", 2),
            ("example.org", "192.0.2.1", 0),
        ]
        for path in ("/reports/dmarc", "/reports/dmarc/days", "/reports/tls/days"):
            assert (await program.get(path, params={"domain": "example.net"})).status_code == 403
