"""Certificates in the pages: whose, until when, at which listeners; how ACME does, and that it can be hurried."""

import datetime
import re
from typing import Any

import pytest
import trio

from engine.net.certificates import ISSUED
from engine.runtime.services import CERTIFICATES_SERVICE
from tests.support.authorities import Server
from tests.support.site import ADMIN, BASIC, OWNER, PEER, posted, site_of

SOON = {
    "not_before": datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=80),
    "not_after": datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=5, hours=1),
}
ACME = '[acme]\ndirectory = "https://acme.example/directory"\ndomains = ["mx.example.org", "new.example.org"]\n'


@pytest.fixture
async def site(tmp_path):
    made = Server("mx.example.org"), Server("soon.example.org", **SOON)
    for place, one in zip((tmp_path / "own", tmp_path / "var" / ISSUED / "soon.example.org"), made, strict=True):
        place.mkdir(parents=True)
        (place / "fullchain.pem").write_bytes(one.chain)
        (place / "privkey.pem").write_bytes(one.key)
        (place / "privkey.pem").chmod(0o600)
    text = BASIC.replace("[listen]", '[listen]\nimap = "127.0.0.1:143"\nimaps = "*:993"\nacme_http = "*:80"')
    text += '[tls]\ncertificate = "own/fullchain.pem"\nkey = "own/privkey.pem"\n' + ACME
    async with site_of(tmp_path, text) as found:
        found.staff()
        yield found


def standing(folder: str, **values: Any) -> dict[str, Any]:
    usual = {"folder": folder, "names": [folder], "failures": 0, "error": "", "failed": 0.0, "issued": 0.0}
    return {**usual, "again": 2e9, **values}


def state_of(text: str) -> str:
    """The state of which the page is."""
    (found,) = re.findall(
        r'data-live="/admin/certificates" data-news="/admin/certificates/live" data-state="(\w+)"', text
    )
    return str(found)


async def renewed(browser, folder: str):
    return await posted(browser, "/admin/certificates/renew", folder=folder)


async def test_each_is_told_with_its_names_issuer_and_end(site):
    text = (await site.known(OWNER).get("/admin/certificates")).text
    assert "mx.example.org" in text
    assert "trustme" in text
    assert re.search(r"expires on 20\d\d-\d\d-\d\d, in 5 days", text)
    assert text.count("where no name is asked for") == 1
    rows = re.findall(r'<th scope="row">(\w+)</th><td[^>]*>[^<]+</td>\s*<td[^>]*><span class="badge \w+">([^<]+)', text)
    assert dict(rows) == {"imap": "STARTTLS", "imaps": "from the start", "web": "in the clear"}
    assert "The process that gets certificates does not answer." in text
    vietnamese = (await site.known(OWNER, language="vi").get("/admin/certificates")).text
    assert re.search(r"hết hạn ngày 20\d\d-\d\d-\d\d, còn 5 ngày", vietnamese)


async def test_how_acme_does_is_told_with_the_last_error(site, told):
    asked = []

    def renew(worker: str, folder: str) -> bool:
        asked.append((worker, folder))
        return folder == "new.example.org"

    site.answers.known[CERTIFICATES_SERVICE, "standings"] = lambda _: [
        standing("soon.example.org", issued=1.7e9),
        standing("new.example.org", failures=3, error="new.example.org: <b>no route</b>", failed=1.8e9),
    ]
    site.answers.known[CERTIFICATES_SERVICE, "renew"] = renew
    browser = site.known(OWNER)
    text = (await browser.get("/admin/certificates")).text
    assert "It has failed 3 times." in text
    assert "&lt;b&gt;no route" in text
    assert "not there yet" in text
    assert text.count('name="folder"') == 2
    done = await renewed(browser, "new.example.org")
    assert done.headers["location"] == "/admin/certificates?done=wanted"
    assert asked == [("certificates", "new.example.org")]
    assert told == [("certificate-wanted", {"peer": PEER, "by": OWNER, "certificate": "new.example.org"})]
    assert (await renewed(browser, "other.example.org")).status_code == 422
    assert (await renewed(browser, "../../etc")).status_code == 400


async def test_who_looks_on_is_shown_what_becomes_of_a_certificate(site, tmp_path):
    now = [standing("new.example.org", again=1e9)]
    site.answers.known[CERTIFICATES_SERVICE, "standings"] = lambda _: now
    browser, seen = site.known(OWNER), set[str]()

    async def shown(text: str) -> None:
        """The page is of another state, and has this."""
        with trio.fail_after(60):
            while (found := state_of(page := (await browser.get("/admin/certificates")).text)) in seen:
                await trio.sleep(0.02)
        seen.add(found)
        assert text in page

    await shown("is being got")
    now[:] = [standing("new.example.org", failures=1, error="no route", failed=1.8e9)]
    await shown("It has failed 1 time.")
    site.context.note("certificate-wanted", by=OWNER, certificate="new.example.org")
    await shown("no route")
    made, place = Server("new.example.org"), tmp_path / "var" / ISSUED / "new.example.org"
    place.mkdir()
    (place / "privkey.pem").write_bytes(made.key)
    (place / "privkey.pem").chmod(0o600)
    (place / "fullchain.pem").write_bytes(made.chain)
    await shown("new.example.org/fullchain.pem")


async def test_a_silent_process_is_told_of(site):
    page = await renewed(site.known(OWNER), "new.example.org")
    assert page.status_code == 503
    assert "does not answer" in page.text


async def test_what_cannot_be_read_is_told(site):
    (site.role.config.tls.certificate).write_text("no certificate")
    page = await site.known(OWNER).get("/admin/certificates")
    assert page.status_code == 200
    assert "holds no certificate in PEM" in page.text
    assert "soon.example.org" in page.text


async def test_it_is_for_owners_alone(site):
    browser = site.known(ADMIN)
    assert (await browser.get("/admin/certificates")).status_code == 403
    assert (await renewed(browser, "new.example.org")).status_code == 403
    assert site.answers.asked == []
