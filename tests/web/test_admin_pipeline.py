"""The pipeline in the pages: drawn in the reader's language, with links to choose, and where mail goes."""

import math

import pytest

from engine.drawing.svg import as_svg
from engine.links.request import Unanswered
from engine.web.admin import pipeline, watch, wordings
from engine.web.admin.standing import Standing
from engine.web.collecting import Collected
from engine.web.languages import texts
from tests.drawing.pipelines import EVERY, noted
from tests.support.queued import fill
from tests.support.site import ADMIN, BASIC, OWNER, site_of

EVIL = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        found.staff()
        yield found


def standing(worker):
    if worker == "web":
        raise Unanswered("not this one")
    return [
        {"site": f"mx.{worker}.test", "source": "", "connections": 2, "limit": 5, "waiting": 3, "paused_until": 0.0,
         "last_reply": EVIL},
    ]  # fmt: skip


async def test_there_is_a_translation_of_every_text_of_the_drawing():
    known, asked = wordings.texts_of(str), set()

    def say(text):
        asked.add(text)
        return text

    for make in EVERY.values():
        as_svg(make(), noted(make()), say=say, leads=str)
    names = {"mailboxes", "next server"}
    assert {text for text in asked if text not in known} == set()
    assert names <= asked


async def test_it_is_in_the_language_of_the_reader(site):
    text = (await site.known(OWNER, language="vi").get("/admin/pipeline")).text
    assert "Trên đĩa" in text
    assert "tuyến inbound" in text
    assert "On disk" not in text
    assert "On disk" in (await site.known(OWNER).get("/admin/pipeline")).text


async def test_each_link_leads_to_what_passes_it(site):
    text = (await site.known(OWNER).get("/admin/pipeline")).text
    for link in ("inbound/queue", "inbound/route", "local/enqueue"):
        assert text.count(f'href="/admin/pipeline/link?name={link.replace("/", "%2F")}"') == 2, link


async def test_figures_stand_in_the_tables_too(site):
    watched = watch.Watch(site.context)
    before = [("postroad_link_messages_total", (("link", "inbound/route"),), 0.0)]
    after = [("postroad_link_messages_total", (("link", "inbound/route"),), 1e9)]
    watched.take(Collected(["mail-0"], {"mail-0": before}, {}))
    watched.take(Collected(["mail-0"], {"mail-0": after}, {}))
    assert watched.reading is not None
    assert not math.isinf(watched.reading.arriving)
    assert ",000/s" in pipeline._tables(watched, (), "en") or "/s</td>" in pipeline._tables(watched, (), "en")
    assert "Độ trễ" in pipeline._tables(watched, (), "vi")


async def test_where_mail_goes_is_asked_of_all_and_what_strangers_said_is_text(site):
    site.answers.known["measures", "sites"] = standing
    browser = site.known(OWNER)
    text = (await browser.get("/admin/pipeline")).text
    assert "mx.mail-0.test" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    asked = len([one for one in site.answers.asked if one[2] == "sites"])
    await browser.get("/admin/pipeline")
    assert len([one for one in site.answers.asked if one[2] == "sites"]) == asked  # a moment ago is soon enough


async def test_a_site_tells_what_is_in_the_queue_for_it(site):
    fill(site.role.data, 60, shards=1)
    name = "mx.d0001.test"
    site.answers.known["measures", "sites"] = lambda worker: (
        [{"site": name, "source": "", "connections": 0, "limit": 0, "waiting": 0, "paused_until": 0.0}]
        if worker == "mail-0" else []
    )  # fmt: skip
    ((found, queued),) = await Standing(site.context).now()
    assert (found.site, found.last_reply) == (name, "")
    assert 0 < queued < 60


async def test_it_is_for_owners(site):
    assert (await site.known(ADMIN).get("/admin/pipeline")).status_code == 403
    assert (await site.known(ADMIN).get("/admin/pipeline/live")).status_code == 403


def test_numbers_are_as_each_language_writes_them():
    assert wordings.figures("1,204.5/s, 2.0 s", "vi") == "1.204,5/s, 2,0 s"
    assert wordings.figures("1,204.5/s, 2.0 s", "en") == "1,204.5/s, 2.0 s"
    assert wordings.figures("từ chối, 3", "vi") == "từ chối, 3"


def test_a_text_that_is_a_name_stays_what_it_is():
    say = wordings.saying(texts("vi").gettext)
    assert say("tag_external") == "tag_external"
    assert say("mailboxes") == "hộp thư"
