"""The DNS of a domain in the pages: told by a real DNS server, with the records to copy, and of whose domains."""

import re

import pytest

from engine.net.zone import Zone, serve_zone
from engine.signing import KeyStore
from tests.support.site import ADMIN, BASIC, HELPER, OWNER, site_of

ZONE = {
    "example": {"MX": "10 mx.example.org.", "TXT": '"v=spf1 mx -all"'},
    "mx.example": {"A": "192.0.2.25"},
    "_dmarc.example": {"TXT": '"hello <b>"'},
    "_submissions._tcp.example": {"SRV": "0 1 587 mx.example.org."},
}


@pytest.fixture
def zone():
    return Zone("org", ZONE)


@pytest.fixture
async def site(tmp_path, nursery, zone):
    address = await nursery.start(serve_zone, zone)
    text = BASIC.replace("[listen]", '[listen]\nsmtp = "192.0.2.25:25"\nimap = "127.0.0.1:143"')
    text = text.replace('["example.org"]', '["example.org", "other.org"]')
    async with site_of(tmp_path, text + f'\n[dns]\nservers = ["{address}"]\n') as found:
        found.staff()
        yield found


def findings(text: str) -> dict[str, str]:
    """What is said of each thing."""
    found = re.findall(r'<h3>([^<]+?) <span class="badge [a-z]+">([^<]+)</span>', text)
    return {what.strip(): verdict for what, verdict in found}


async def test_what_is_good_missing_and_wrong(site):
    KeyStore(site.role.data).make("example.org", "k1")
    page = await site.known(OWNER).get("/admin/dns/findings?domain=example.org")
    found = findings(page.text)
    assert found["MX"] == found["A, AAAA of mx.example.org"] == found["SPF for 192.0.2.25"] == "good"
    assert found["DKIM k1-ed25519"] == found["DMARC"] == found["TLS-RPT"] == found["SRV imap"] == "missing"
    assert "v=DKIM1; k=rsa; p=" in page.text
    assert "_dmarc.example.org" in page.text
    value = re.search(r'<dd id="value-\d+">(v=DKIM1; k=rsa; [^<]+)</dd>', page.text)
    assert value
    assert "&#34;" not in value[1]  # one text, as forms of providers want it
    assert "<html" not in page.text


async def test_the_page_comes_before_the_answers_or_with_them_where_there_is_no_script(site):
    browser = site.known(OWNER)
    page = await browser.get("/admin/dns?domain=example.org")
    assert findings(page.text) == {}
    assert 'data-piece="/admin/dns/findings?domain=example.org"' in page.text
    assert "example.org. IN MX 10 mx.example.org." in page.text
    page = await browser.get("/admin/dns?domain=example.org&look=1")
    assert findings(page.text)["MX"] == "good"
    assert "data-piece" not in page.text


async def test_what_has_just_been_published_is_seen(site, zone):
    browser = site.known(OWNER)
    page = await browser.get("/admin/dns/findings?domain=other.org")
    assert findings(page.text)["MX"] == "missing"
    zone.set("other", "MX", "10 mx.example.org.")
    page = await browser.get("/admin/dns/findings?domain=other.org")
    assert findings(page.text)["MX"] == "good"


async def test_in_vietnamese(site):
    page = await site.known(OWNER, language="vi").get("/admin/dns/findings?domain=example.org")
    found = findings(page.text)
    assert found["MX"] == "tốt"
    assert found["TLS-RPT"] == "thiếu"
    assert "A, AAAA của mx.example.org" in found


async def test_one_sees_the_domains_that_one_administers(site):
    browser = site.known(ADMIN)
    text = (await browser.get("/admin/dns")).text
    assert "example.org" in text
    assert "other.org" not in text
    for domain in ("other.org", "nowhere.org"):
        for path in ("", "/findings"):
            assert (await browser.get(f"/admin/dns{path}", params={"domain": domain})).status_code == 404
    assert (await browser.get("/admin/dns/findings")).status_code == 404
    assert (await browser.get("/admin/dns?domain=example.org")).status_code == 200
    assert (await site.known(HELPER).get("/admin/dns?domain=example.org")).status_code == 403
