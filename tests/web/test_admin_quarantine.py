"""Quarantine in the pages: found, looked at harmlessly, decided about once it was counted; and by whom."""

import base64
import re

import pytest

from engine.spam import SERVER
from tests.support.parked import parked
from tests.support.site import ADMIN, BASIC, HELPER, OWNER, PEER, posted, site_of

ANN, EVE = "ann@example.org", "eve@example.net"

HTML = (
    b"From: x@example.com\r\nSubject: =?utf-8?q?<script>alert(1)</script>=E2=80=AE?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode(
        b"<p onclick=x()>Win <b>now</b></p><script>evil()</script><img src=https://tracker.example/x.png>"
        b"<img src=cid:1><form action=https://evil.example><input></form><a href=javascript:x()>go</a>"
    )
    + b'\r\n--b\r\nContent-Type: application/x-msdownload; name="../win.exe"\r\n'
    b'Content-Disposition: attachment; filename="../win.exe"\r\n\r\nMZ\r\n--b--\r\n'
)


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC.replace('["example.org"]', '["example.org", "example.net"]')) as found:
        found.staff()
        found.answers.known["queue", "release"] = found.answers.known["queue", "delete"] = lambda *_: ""
        yield found


def put(site, *recipients: str, number: int = 1, **content: bytes) -> str:
    return str(parked(site.role.data, number, *recipients, **content))


async def ordered(browser, **values):
    return await posted(browser, "/admin/quarantine/order", **values)


def counted(response) -> int:
    found = re.search(r"(\d+) messages?", response.text)
    assert found, response.text
    return int(found[1])


async def test_what_is_parked_is_found_by_what_is_known_of_it(site):
    ids = [put(site, ANN, number=1), put(site, EVE, number=2), put(site, ANN, EVE, number=3)]
    browser = site.known(OWNER)
    for query, wanted in (
        ({}, ids), ({"to": "example.net"}, ids[1:]), ({"to": ANN}, [ids[0], ids[2]]), ({"reason": "SPAM"}, ids),
        ({"reason": "virus"}, []), ({"sender": "example.com"}, ids), ({"stage": "scan"}, []), ({"score": "5"}, []),
        ({"days": "7"}, []), ({"days": "nonsense"}, ids),
    ):  # fmt: skip
        page = await browser.get("/admin/quarantine", params=query)
        assert counted(page) == len(wanted), query
        assert re.findall(r'name="id" value="(\w{26})"', page.text) == wanted[::-1], query


@pytest.mark.parametrize("score", ["much", "nan", "1e999"])
async def test_a_score_that_is_no_number(site, score):
    page = await site.known(OWNER).get("/admin/quarantine", params={"score": score})
    assert page.status_code == 422
    assert 'role="alert"' in page.text


async def test_the_newest_are_shown_and_all_are_counted(site, monkeypatch):
    monkeypatch.setattr("engine.web.admin.quarantine.MOST", 2)
    ids = [put(site, ANN, number=number) for number in range(1, 6)]
    page = await site.known(OWNER).get("/admin/quarantine")
    assert counted(page) == 5
    assert re.findall(r'name="id" value="(\w{26})"', page.text) == [ids[4], ids[3]]
    assert "The newest 2 messages are shown." in page.text


async def test_a_letter_is_shown_without_anything_that_acts(site, told):
    identity = put(site, ANN, content=HTML)
    browser = site.known(OWNER)
    page = await browser.get("/admin/quarantine/message", params={"id": identity})
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    assert "win.exe" in page.text
    assert ".." not in re.findall(r"<li[^>]*>([^<]*)", page.text.partition("Attachments")[2])[0]
    assert "<iframe" not in page.text
    shown = await browser.get("/admin/quarantine/message", params={"id": identity, "text": "1"})
    assert f'sandbox="" referrerpolicy="no-referrer" src="/admin/quarantine/body?id={identity}"' in shown.text
    assert told == []  # a browser asks for the frame
    body = await browser.get("/admin/quarantine/body", params={"id": identity})
    for gone in ("<script", "onclick", "tracker.example", "evil", "javascript:", "<form", "<input", "cid:"):
        assert gone not in body.text, gone
    assert "<b>now</b>" in body.text
    policy = body.headers["content-security-policy"]
    assert policy.endswith("; sandbox")
    assert "default-src 'none'" in policy
    assert told == [("parked-read", {"peer": PEER, "by": OWNER, "id": identity})]


async def test_first_it_says_how_many_then_it_is_done(site, told):
    ids = [put(site, ANN, number=number) for number in range(1, 4)]
    other = put(site, EVE, number=5)
    browser = site.known(OWNER)
    asked = await ordered(browser, order="release", to=ANN)
    assert counted(asked) == 3
    assert site.answers.asked == []
    until = re.search(r'name="until" value="([\d.]+)"', asked.text)
    assert until
    done = await ordered(browser, order="release", to=ANN, until=until[1], sure="1")
    assert done.headers["location"] == "/admin/quarantine?done=3"
    assert "It was done to 3 messages." in (await browser.get(done.headers["location"])).text
    assert [(worker, order) for worker, _, order, *_ in site.answers.asked] == [
        ("mail-0", "release"), ("mail-1", "release"), ("mail-1", "release"),
    ]  # fmt: skip
    decided = [values for name, values in told if name == "parked-decided"]
    assert sorted(one["id"] for one in decided) == sorted(ids)
    assert {one["by"] for one in decided} == {OWNER}
    assert other not in str(told)


async def test_what_came_since_it_was_counted_is_not_meant(site):
    put(site, ANN, number=10)
    assert counted(await ordered(site.known(OWNER), order="delete", until="9")) == 0
    assert counted(await ordered(site.known(OWNER), order="delete", until="11")) == 1


async def test_what_could_not_be_done_is_told(site):
    identity, gone = put(site, ANN), "01JAAAAAAAAAAAAAAAAAAAAAAA"
    site.answers.known["queue", "delete"] = lambda *_: "the disk is full <b>"
    page = await ordered(site.known(OWNER), order="delete", id=[identity, gone], sure="1")
    assert page.status_code == 200
    assert "It was done to 0 messages." in page.text
    assert "the disk is full &lt;b&gt;" in page.text


async def test_the_spam_filter_learns_with_a_decision_or_without(site, told):
    identity = put(site, ANN)
    browser = site.known(OWNER)
    await ordered(browser, order="spam", id=identity, sure="1")
    assert site.answers.asked == []
    await ordered(browser, order="delete", id=identity, train="1", sure="1")
    assert [order for _, _, order, *_ in site.answers.asked] == ["delete"]
    assert site.role.spam.words().messages(SERVER).spam == 1  # the same message, learnt once
    assert [name for name, _ in told] == ["parked-decided"]


async def test_an_administrator_sees_and_decides_for_the_recipients_there_alone(site, told):
    both, theirs = put(site, ANN, EVE, number=1), put(site, EVE, number=2)
    browser = site.known(ADMIN)
    page = await browser.get("/admin/quarantine")
    assert counted(page) == 1
    assert EVE not in page.text
    assert "Teach" not in page.text
    shown = await browser.get("/admin/quarantine/message", params={"id": both})
    assert ANN in shown.text
    assert EVE not in shown.text
    for path in ("message", "body"):
        assert (await browser.get(f"/admin/quarantine/{path}", params={"id": theirs})).status_code == 404
    assert counted(await ordered(browser, order="delete", id=[both, theirs])) == 1
    await ordered(browser, order="delete", id=[both, theirs], sure="1", train="1")
    assert [question[2:] for question in site.answers.asked] == [("delete", site.answers.asked[0][3], ANN)]
    for order in ("ham", "spam"):
        assert (await ordered(browser, order=order, id=both, sure="1")).status_code == 400
    assert [values["by"] for name, values in told if name == "parked-decided"] == [ADMIN]


@pytest.mark.parametrize("values", [{}, {"order": "bounce"}, {"order": "delete", "id": "x"}, {"order": "delete",
                         "score": "x"}])  # fmt: skip
async def test_what_is_no_order(site, values):
    assert (await ordered(site.known(OWNER), **values)).status_code == 400


async def test_it_is_not_for_the_helpdesk(site):
    identity, browser = put(site, ANN), site.known(HELPER)
    for path in ("", "/message?id=" + identity, "/body?id=" + identity):
        assert (await browser.get("/admin/quarantine" + path)).status_code == 403
    assert (await ordered(browser, order="delete", sure="1")).status_code == 403
    assert site.answers.asked == []


@pytest.mark.parametrize("identity", ["", "x", "01JAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_what_is_not_there(site, identity):
    for path in ("message", "body"):
        page = await site.known(OWNER).get(f"/admin/quarantine/{path}", params={"id": identity})
        assert page.status_code == 404
