"""What everybody may ask the site for: links to unsubscribe, reports on TLS, policies of MTA-STS."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.config import ConfigError, parse
from engine.reports import posted
from engine.reports.inbox import ReportStore
from engine.unsubscribe import Link
from engine.unsubscribe.links import sign
from tests.reports.tls_samples import GOOGLE
from tests.support.site import BASIC, Site, site_of

FORM = {"content-type": "application/x-www-form-urlencoded"}
CLICK = b"List-Unsubscribe=One-Click"
LINK = Link("ann@example.net", "news.example.org", int(time.time()) - 60)

SETTINGS = """
[suppression]

[unsubscribe]
secret_file = "links.secrets"
max_age = "30d"

[tls_reports]
per_network = "3/1h"

[mta_sts]
mode = "enforce"
mx = ["mx.example.org", "*.backup.example"]
domains = ["example.org", "bücher.example"]
"""


@asynccontextmanager
async def open_site(folder: Path, settings: str = SETTINGS) -> AsyncIterator[Site]:
    (folder / "links.secrets").write_text("new secret\nold secret\n")
    async with site_of(folder, BASIC.replace('"accept", ', '"accept", "suppress", ') + settings) as site:
        yield site


# -- unsubscribing


@pytest.mark.parametrize("secret", [b"new secret", b"old secret"])
async def test_one_click_is_enough(tmp_path: Path, secret: bytes) -> None:
    async with open_site(tmp_path) as site, site.browser(peer="203.0.113.7") as program:
        done = await program.post(f"/unsubscribe/{sign(LINK, [secret])}", content=CLICK, headers=FORM)
        assert (done.status_code, "location" in done.headers) == (200, False)  # RFC 8058 3.2
        assert site.role.left == [("ann@example.net", "news.example.org", "203.0.113.7")]
        assert "ann@example.net" in done.text


async def test_who_follows_the_link_is_asked_first(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser() as person:
        address = f"/unsubscribe/{sign(LINK, [b'new secret'])}"
        asked = await person.get(address)
        assert asked.status_code == 200
        assert '<input type="hidden" name="List-Unsubscribe" value="One-Click">' in asked.text
        assert site.role.left == []
        assert (asked.headers["referrer-policy"], asked.headers["x-robots-tag"]) == ("no-referrer", "noindex")
        assert "form-action 'self'" in asked.headers["content-security-policy"]
        done = await person.post(address, data={"List-Unsubscribe": "One-Click"})
        assert "You are unsubscribed" in done.text
        assert len(site.role.left) == 1


async def test_in_the_language_of_the_reader(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser(language="vi") as person:
        asked = await person.get(f"/unsubscribe/{sign(LINK, [b'new secret'])}")
        assert "Không nhận thư này nữa?" in asked.text
        assert "<strong>ann@example.net</strong>" in asked.text


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        (sign(LINK, [b"new secret"]), b"", 400),
        (sign(LINK, [b"new secret"]), b"List-Unsubscribe=Later", 400),
        (sign(LINK, [b"another secret"]), CLICK, 404),
        (sign(Link("ann@example.net", "", 1_000_000_000), [b"new secret"]), CLICK, 410),
        ("x", CLICK, 404),
    ],
    ids=["no body", "another body", "forged", "too old", "no token"],
)
async def test_what_takes_nobody_off(tmp_path: Path, token: str, body: bytes, status: int) -> None:
    async with open_site(tmp_path) as site, site.browser() as program:
        done = await program.post(f"/unsubscribe/{token}", content=body, headers=FORM)
        assert (done.status_code, site.role.left) == (status, [])
        assert (await program.put(f"/unsubscribe/{token}")).status_code == 405


async def test_an_address_is_no_markup(tmp_path: Path) -> None:
    token = sign(Link('"><script>x</script>"@b', "<b>", int(time.time())), [b"new secret"])
    async with open_site(tmp_path) as site, site.browser() as person:
        asked = await person.get(f"/unsubscribe/{token}")
        assert "<script>x" not in asked.text
        assert "<b>" not in asked.text


async def test_without_its_secrets_it_is_to_be_tried_again(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.browser() as program:
        (tmp_path / "links.secrets").unlink()
        done = await program.post(f"/unsubscribe/{sign(LINK, [b'new secret'])}", content=CLICK, headers=FORM)
        assert (done.status_code, site.role.left) == (503, [])


# -- reports on TLS


def report(end: float | None = None, **changes: Any) -> dict[str, Any]:
    """One about yesterday, or about the day that ended then."""
    end = end or time.time() - 3600
    days = [datetime.fromtimestamp(at, UTC).isoformat() for at in (end - 86_400, end)]
    return {**GOOGLE, "date-range": {"start-datetime": days[0], "end-datetime": days[1]}, **changes}


def about(domain: str) -> list[dict[str, Any]]:
    (policy,) = GOOGLE["policies"]
    return [{**policy, "policy": {**policy["policy"], "policy-domain": domain}}]


def kept(folder: Path) -> list[tuple[str, str]]:
    with ReportStore.open(folder / "var", read_only=True) as store:
        return [(one.report.org_name, one.peer) for one in store.reports()]


async def posted_to(site: Site, octets: bytes, kind: str = posted.JSON, peer: str = "192.0.2.1") -> int:
    async with site.browser(peer=peer) as program:
        return (await program.post("/reports/tls", content=octets, headers={"content-type": kind})).status_code


async def test_a_report_is_kept_once(tmp_path: Path) -> None:
    octets = json.dumps(report()).encode()
    async with open_site(tmp_path) as site:
        assert await posted_to(site, octets) == 200
        assert await posted_to(site, gzip.compress(octets), f"{posted.GZIP}; charset=x", "192.0.2.9") == 200
    assert kept(tmp_path) == [(GOOGLE["organization-name"], "192.0.2.1")]


@pytest.mark.parametrize(
    ("octets", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"{", posted.JSON, 400),
        (json.dumps(report()).encode(), posted.GZIP, 400),
        (gzip.compress(json.dumps(report()).encode())[:-9], posted.GZIP, 400),
        (gzip.compress(json.dumps(report()).encode()) + b"more", posted.GZIP, 400),
        (gzip.compress(b" " * 2**25), posted.GZIP, 400),
        (json.dumps(report(policies=about("elsewhere.example"))).encode(), posted.JSON, 400),
        (json.dumps(report(policies=GOOGLE["policies"] + about("elsewhere.example"))).encode(), posted.JSON, 400),
        (json.dumps(report(policies=[])).encode(), posted.JSON, 400),
    ],
    ids=["another type", "no JSON", "no gzip", "cut gzip", "gzip and more", "a bomb", "others", "others too", "nobody"],
)
async def test_what_is_no_report_about_us_is_not_kept(tmp_path: Path, octets: bytes, kind: str, status: int) -> None:
    async with open_site(tmp_path) as site:
        assert await posted_to(site, octets, kind) == status
    assert not (tmp_path / "var" / "tls-received").exists()


async def test_one_that_is_too_old_is_taken_and_forgotten(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        assert await posted_to(site, json.dumps(report(end=1_500_000_000)).encode()) == 200
    assert kept(tmp_path) == []


async def test_a_network_posts_so_many_and_no_more(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        octets = json.dumps(report()).encode()
        assert [await posted_to(site, octets) for _ in range(4)] == [200, 200, 200, 429]
        assert await posted_to(site, b"{", peer="198.51.100.1") == 400
        async with site.browser() as program:
            done = await program.post("/reports/tls", content=b"{}", headers={"content-type": posted.JSON})
            assert 0 < int(done.headers["retry-after"]) <= 3700


# -- policies


async def ask(site: Site, host: str) -> tuple[int, str]:
    async with site.browser() as client:
        answer = await client.get("/.well-known/mta-sts.txt", headers={"host": host, "accept": "*/*"})
        return answer.status_code, answer.headers["content-type"].partition(";")[0]


@pytest.mark.parametrize("host", ["mta-sts.example.org", "MTA-STS.Example.ORG:443", "mta-sts.xn--bcher-kva.example"])
async def test_our_policy(tmp_path: Path, host: str) -> None:
    async with open_site(tmp_path) as site, site.browser() as client:
        answer = await client.get("/.well-known/mta-sts.txt", headers={"host": host})
        assert answer.headers["content-type"].startswith("text/plain")  # RFC 8461 3.2
        assert answer.text.splitlines() == [
            "version: STSv1", "mode: enforce", "mx: mx.example.org", "mx: *.backup.example", "max_age: 604800",
        ]  # fmt: skip


@pytest.mark.parametrize("host", ["example.org", "mta-sts.example.net", "mta-sts.mta-sts.example.org", "[::1]", "mx"])
async def test_under_other_names_there_is_none(tmp_path: Path, host: str) -> None:
    async with open_site(tmp_path) as site:
        assert (await ask(site, host))[0] == 404


async def test_what_is_not_configured_is_not_there(tmp_path: Path) -> None:
    async with open_site(tmp_path, "") as site, site.browser() as client:
        assert await ask(site, "mta-sts.example.org") == (404, "application/json")
        assert (await client.get(f"/unsubscribe/{sign(LINK, [b'new secret'])}")).status_code == 404
        assert await posted_to(site, json.dumps(report()).encode()) == 404


# -- configuration


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('[mta_sts]\nmax_age = "2000d"', "must be a year at most"),
        ('[mta_sts]\nmx = ["mail"]', "'mail' is no host"),
        ('[mta_sts]\nmx = ["*"]', "'*' is no domain name"),
        ('[mta_sts]\ndomains = ["a b"]', "[mta_sts] domains"),
        ('[mta_sts]\nmode = "strict"', "[mta_sts] mode"),
        ('[suppression]\n[unsubscribe]\nsecret_file = "nowhere"', "cannot read"),
        ("[suppression]\n[unsubscribe]", "is required"),
        ('[unsubscribe]\nsecret_file = "links.secrets"', "write a table [suppression]"),
        ('[tls_reports]\nkeep = "0s"', "must be longer than nothing"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: str, told: str) -> None:
    (tmp_path / "links.secrets").write_text("secret\n")
    with pytest.raises(ConfigError) as raised:
        parse(BASIC + settings, tmp_path / "pipeline.toml")
    assert told in str(raised.value)


def test_they_need_the_listener(tmp_path: Path) -> None:
    text = BASIC.replace('web = "127.0.0.1:0"', 'smtp = "127.0.0.1:0"') + "[mta_sts]\n[tls_reports]\n"
    with pytest.raises(ConfigError) as raised:
        parse(text, tmp_path / "pipeline.toml")
    assert str(raised.value).count('write [listen] web = "*:443"') == 2
