"""Mail read in a browser: lists, letters, files, and what others may not see."""

import re
from collections import Counter
from contextlib import AsyncExitStack
from threading import Event

import pytest
import trio
from mail_site import ANN, BOB, PICTURE, RICH, browser, letter, lines, mail_of, subjects

from engine.finding.search import Finding
from engine.mailbox.commands import DeleteAcl, SetAcl
from engine.mailbox.flags import FLAGGED, SEEN
from engine.web.mail.desk import Desk


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


async def test_who_has_not_signed_in_sees_nothing(mail):
    await mail.put(letter("secret"))
    stranger = mail.site.browser()
    for address in (
        "/mail/",
        f"/mail/list/{mail.box()}",
        f"/mail/message/{mail.box()}/1",
        f"/mail/source/{mail.box()}/1",
    ):
        response = await stranger.get(address)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/sign-in?next=%2Fmail")
        assert (await stranger.get(address, headers={"accept": "*/*"})).status_code == 401
    assert (await stranger.get("/mail/seen/x")).status_code == 404


async def test_the_newest_stand_first_and_a_list_goes_on(mail):
    await mail.put(*(letter(f"letter {number}") for number in range(120)))
    ann = await browser(mail)
    first = (await ann.get(f"/mail/list/{mail.box()}?view=plain")).text
    assert subjects(first) == [f"letter {number}" for number in range(119, 69, -1)]
    before = re.search(r'data-before="(\d+)"', first)
    second = (await ann.get(f"/mail/list/{mail.box()}?view=plain&before={before[1]}")).text
    assert subjects(second) == [f"letter {number}" for number in range(69, 19, -1)]
    last = (await ann.get(f"/mail/list/{mail.box()}?view=plain&before=21")).text
    assert subjects(last) == [f"letter {number}" for number in range(19, -1, -1)]
    assert "data-before" not in last
    again = (await ann.get(f"/mail/list/{mail.box()}?view=plain&down=41")).text
    assert subjects(again)[-1] == "letter 20"
    assert len(subjects(again)) == 100


async def test_messages_of_one_thread_are_one_line(mail):
    await mail.put(letter("first"), letter("other"))
    await mail.put(letter("Re first", more="References: <first@elsewhere.test>\n", sender="Dora <dora@elsewhere.test>"))
    ann = await browser(mail)
    html = (await ann.get(f"/mail/list/{mail.box()}")).text
    assert lines(html) == [(mail.box(), "3,1", "Re first"), (mail.box(), "2", "other")]
    assert "Carl, Dora" in html
    assert len(lines((await ann.get(f"/mail/list/{mail.box()}?view=plain")).text)) == 3


async def test_what_a_line_shows(mail):
    await mail.put(RICH, flags=SEEN | FLAGGED)
    await mail.put(letter("<b>bold</b>", "x & <script>y</script>", sender="<i>Carl</i> <carl@elsewhere.test>"))
    html = (await (await browser(mail)).get(f"/mail/list/{mail.box()}")).text
    assert "<b>bold" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert "<script>y" not in html
    unseen, seen = re.findall(r'<div class="(line[^"]*)"', html)
    assert (unseen, seen) == ("line unseen", "line flagged")
    assert html.count('class="clip"') == 1
    assert "Chào" in html


async def test_sent_mail_shows_whom_it_is_to(mail):
    await mail.put(letter("x"), name="Sent")
    html = (await (await browser(mail)).get(f"/mail/list/{mail.box('Sent')}")).text
    assert re.search(r'class="people" role="gridcell">Ann', html)


async def test_a_letter_with_its_parts(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    at = f"{mail.box()}/1"
    html = (await ann.get(f"/mail/message/{at}")).text
    assert "Chào" in html
    assert "dora@elsewhere.test" in html
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in html
    assert "1 picture from elsewhere is not shown" in html
    assert re.findall(r'download="([^"]+)"', html) == ["page.html", "báo cáo.pdf"]
    body = await ann.get(f"/mail/body/{at}")
    assert "<b>rich</b>" in body.text
    assert "alert" not in body.text
    assert "elsewhere.test" not in body.text
    policy = body.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; img-src http://localhost:8080 data:;")
    assert "sandbox allow-popups" in policy
    assert body.headers["x-frame-options"] == "SAMEORIGIN"
    assert "The plain text" in (await ann.get(f"/mail/body/{at}?plain=1")).text
    printed = (await ann.get(f"/mail/body/{at}?print=1")).text
    assert "<th>From</th><td>Carl &lt;carl@elsewhere.test&gt;</td>" in printed
    assert "báo cáo.pdf" in printed


async def test_a_picture_of_a_letter_is_seen_without_a_session_and_nothing_else_is(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    body = (await ann.get(f"/mail/body/{mail.box()}/1")).text
    (address,) = re.findall(r'src="(/mail/seen/[^"]+)"', body)
    picture = await mail.site.browser().get(address)
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cross-origin-resource-policy"] == "cross-origin"
    assert picture.content[:4] == b"\x89PNG"
    for changed in (
        address[:-1] + ("A" if address[-1] != "A" else "B"),
        address + "AAAA",
        "/mail/seen/",
        "/mail/seen/" + "A" * 9000,
    ):
        assert (await mail.site.browser().get(changed)).status_code == 404


async def test_what_is_shown_from_elsewhere_goes_by_way_of_us(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    body = (await ann.get(f"/mail/body/{mail.box()}/1?remote=1")).text
    assert "elsewhere.test" not in body
    assert len(re.findall(r'src="/mail/seen/', body)) == 2
    assert "from elsewhere" not in (await ann.get(f"/mail/message/{mail.box()}/1?remote=1")).text


async def test_files_are_kept_and_never_opened_as_pages(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    at = f"{mail.box()}/1"
    html = (await ann.get(f"/mail/message/{at}")).text
    page, pdf = re.findall(r'href="(/mail/part/[^"]+)"', html)
    for query in ("", "?show=1"):
        response = await ann.get(page + query)
        assert response.text.strip() == "<script>alert(document.cookie)</script>"
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
    kept = await ann.get(pdf)
    assert kept.content == b"%PDF-1.4"
    assert kept.headers["content-disposition"] == "attachment; filename*=UTF-8''b%C3%A1o%20c%C3%A1o.pdf"
    shown = await ann.get(f"/mail/part/{at}/1.2.2?show=1")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["content-disposition"].startswith("inline")
    source = await ann.get(f"/mail/source/{at}")
    assert source.headers["content-type"] == "text/plain; charset=utf-8"
    assert PICTURE in source.text


@pytest.mark.parametrize("address", ["9", "1/9.9", "1/x", "0/1", "99999999999/1"])
async def test_what_is_not_there(mail, address):
    await mail.put(RICH)
    ann = await browser(mail)
    uid, _, section = address.partition("/")
    at = f"/mail/part/{mail.box()}/{uid}/{section}" if section else f"/mail/message/{mail.box()}/{uid}"
    assert (await ann.get(at)).status_code == 404


async def test_nobody_reads_what_is_others(mail):
    await mail.put(letter("for Ann alone"))
    bob = await browser(mail, BOB)
    box = mail.box(address=ANN)
    for address in (
        f"/mail/list/{box}",
        f"/mail/message/{box}/1",
        f"/mail/body/{box}/1",
        f"/mail/part/{box}/1/1",
        f"/mail/source/{box}/1",
    ):
        assert (await bob.get(address)).status_code == 404
    assert "for Ann" not in (await bob.get(f"/mail/?box={box}")).text
    assert (await bob.post("/mail/act", [{"act": "flag", "items": {box: [1]}}])).status_code == 404


async def test_a_mailbox_that_is_shared_is_read_as_its_owner_lets(mail):
    await mail.put(letter("for both"))
    share = SetAcl(
        account=mail.id(), mailbox=mail.number(), identifier=BOB, rights="lr", grantee=mail.id(BOB), owner=ANN
    )
    await mail.owner.change(share)
    bob = await browser(mail, BOB)
    box = mail.box(address=ANN)
    assert f"Other Users/{ANN}/INBOX" not in (await bob.get("/mail/")).text  # the last part is shown
    assert box in (await bob.get("/mail/")).text
    assert subjects((await bob.get(f"/mail/list/{box}")).text) == ["for both"]
    assert (await bob.post("/mail/act", [{"act": "flag", "items": {box: [1]}}])).status_code == 403
    assert (await bob.post("/mail/act", [{"act": "trash", "items": {box: [1]}}])).status_code == 403


def picture_in(html: str) -> str:
    found = re.search(r'src="[^"]*(/mail/seen/[^"]+)"', html)
    assert found, html
    return found[1]


async def test_a_picture_is_shown_as_long_as_its_reader_may_see_it(mail):
    await mail.put(RICH)
    grant = SetAcl(
        account=mail.id(), mailbox=mail.number(), identifier=BOB, rights="lr", grantee=mail.id(BOB), owner=ANN
    )
    await mail.owner.change(grant)
    ann, bob = await browser(mail), await browser(mail, BOB)
    stranger = mail.site.browser()
    own, shared = [picture_in((await one.get(f"/mail/body/{mail.box()}/1")).text) for one in (ann, bob)]
    for address in (own, shared):
        assert (await stranger.get(address)).headers["content-type"] == "image/png"
    await mail.owner.change(DeleteAcl(account=mail.id(), mailbox=mail.number(), identifier=BOB))
    assert [(await stranger.get(address)).status_code for address in (own, shared)] == [200, 404]
    await ann.client.post("/sign-out", data={"csrf": ann.token})
    assert (await stranger.get(own)).status_code == 404


async def test_a_picture_is_shown_by_whichever_process_is_asked(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    given = picture_in((await ann.get(f"/mail/body/{mail.box()}/1")).text).rpartition("/")[2]
    context = mail.site.context
    assert Desk(context).passes.read(given) == context.one(Desk).passes.read(given) is not None


async def test_searches(mail):
    await mail.put(
        letter("Report", "numbers of October"), RICH, letter("Lunch", "at noon", sender="Bob <bob@example.org>")
    )
    await mail.put(letter("Old report"), name="Archive")
    ann = await browser(mail)

    async def found(text: str) -> list[str]:
        return subjects((await ann.client.get(f"/mail/list/{mail.box()}", params={"q": text})).text)

    assert await found("october") == ["Report"]
    assert await found("from:bob") == ["Lunch"]
    assert await found("from:carl -subject:report") == ["Chào"]
    assert await found("has:attachment") == ["Chào"]
    assert await found("-has:attachment is:unread") == ["Lunch", "Report"]
    assert await found("in:archive report") == ["Old report"]
    assert set(await found("in:anywhere report")) == {"Report", "Old report"}
    assert await found("lunch OR october") == ["Lunch", "Report"]
    assert await found("larger:100k") == []
    assert await found("before:2020-01-01") == []
    assert len(await found("newer:1d")) == 3
    assert (
        "Not understood: before:never"
        in (await ann.client.get(f"/mail/list/{mail.box()}", params={"q": "before:never"})).text
    )


async def test_the_page_is_in_vietnamese_for_who_wants_that(mail):
    ann = await browser(mail, language="vi")
    html = (await ann.get("/mail/")).text
    assert '<html lang="vi"' in html
    assert "Hộp thư đến" in html


async def test_an_account_makes_one_search_at_a_time_and_keeps_nobody_from_theirs(mail, monkeypatch):
    await mail.put(letter("needle"))
    ann, bob = await browser(mail), await browser(mail, BOB)
    running, most, whole, found = Counter[str](), Counter[str](), Finding.find, Event()

    def find(self, views, *args):
        (box, _), *_ = views
        running[box.id] += 1
        most[box.id] = max(most[box.id], running[box.id])
        if box.id == mail.box():  # Ann's takes as long as Bob's does
            found.wait(60)
        try:
            return whole(self, views, *args)
        finally:
            running[box.id] -= 1
            found.set()

    monkeypatch.setattr(Finding, "find", find)
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(ann.get, f"/mail/list/{mail.box()}?q=needle")
        while not running:
            await trio.sleep(0.01)
        answer = await bob.get(f"/mail/list/{mail.box(address=BOB)}?q=needle")
        assert answer.status_code == 200
        assert found.is_set()
    assert most == {mail.box(): 1, mail.box(address=BOB): 1}
    assert len(mail.site.context.one(Desk).turns) == 0
