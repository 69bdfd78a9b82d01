"""What is written, as messages; drafts, files and sending."""

import email
import email.policy
import json
import re
from contextlib import AsyncExitStack
from html import unescape

import pytest
import trio
from mail_site import ANN, BOB, PICTURE, RICH, browser, letter, mail_of

from engine.runtime.services import SUBMIT_SERVICE
from engine.web.mail import drafts, sending, settings, writing
from engine.web.mail.desk import Desk
from engine.web.mail.opened import Opened, Person
from engine.web.mail.writing import Mistake, Piece, Written
from tests.support.site import BASIC

SUBMISSION = BASIC.replace('web = "127.0.0.1:0"', 'web = "127.0.0.1:0"\nsubmission = "127.0.0.1:0"').replace(
    "[lane.local]",
    '[lane.outbound]\nlisten = ["submission"]\nstages = ["submit", "queue", "route"]\n\n'
    '[stage.submit]\nuse = "stages.accept"\nlogin = "required"\n\n[lane.local]',
)


def read(octets: bytes):
    return email.message_from_bytes(octets, policy=email.policy.default)


def lf(text: str) -> str:
    return text.replace("\r\n", "\n")


def made(**options):
    written = Written(Person("Ánn", ANN), to=writing.people(BOB), **options)
    return writing.message(written, message_id="<1@mx.example.org>", now=0, bcc=True)


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path, SUBMISSION))


def test_plain_text():
    octets = made(subject="Xin chào", text="Chào Bob,\n\nhẹn gặp lại.\n.\nFrom here\n")
    found = read(octets)
    assert lf(found.get_content()) == "Chào Bob,\n\nhẹn gặp lại.\n.\nFrom here\n"
    assert (found["From"], found["To"], found["Subject"]) == (f"Ánn <{ANN}>", BOB, "Xin chào")
    assert octets.isascii()
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 78


def test_html_with_a_picture_and_files():
    pieces = (
        Piece("logo.png", "image/png", b"\x89PNG\r\n", "logo@x"),
        Piece("báo cáo.pdf", "application/pdf", b"%PDF"),
        Piece("letter.eml", "message/rfc822", b"Subject: inner\r\n\r\nHello\r\n"),
        Piece("../../x\u202egpj.exe", "multipart/evil; x", b"MZ"),
    )
    found = read(made(html='<p>Look: <b>this</b> <img src="cid:logo@x"></p>', pieces=pieces))
    assert [part.get_content_type() for part in found.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf", "message/rfc822", "text/plain", "application/octet-stream",
    ]  # fmt: skip
    assert lf(found.get_body(("plain",)).get_content()) == "Look: this\n"
    names = [part.get_filename() for part in found.walk() if part.get_filename()]
    assert names == ["logo.png", "báo cáo.pdf", "letter.eml", "xgpj.exe"]


def test_nothing_that_is_written_makes_a_field():
    octets = made(
        subject="x\r\nBcc: eve@elsewhere.test\n\nbody", in_reply_to="<a@b>\r\nX: y", references="<a@b> <c\n@d>"
    )
    head, _, _ = octets.partition(b"\r\n\r\n")
    assert b"\r\nBcc:" not in head
    assert b"\r\nX:" not in head
    assert read(octets)["References"] == "<a@b>"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("bob@example.org", ["bob@example.org"]),
        ('Bob <bob@example.org>; carl@b.test,\n"D, E" <d@e.test>', ["bob@example.org", "carl@b.test", "d@e.test"]),
        ("ann@bücher.example", ["ann@xn--bcher-kva.example"]),
        ("", []),
        (" , ;", []),
    ],
)
def test_addresses(written, found):
    assert [one.address for one in writing.people(written)] == found


@pytest.mark.parametrize("written", ["bob", "bob@example.org, carl", "ánn@example.org", "a@b..c", "<>@x y"])
def test_what_is_no_address(written):
    with pytest.raises(Mistake):
        writing.people(written)


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\nthree\n"),
        ("<div>a</div><div>b</div>", "a\nb\n"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b\n"),
        ("<blockquote>q<br>r<blockquote>s</blockquote></blockquote>t", "> q\n> r\n> > s\n\nt\n"),
        ('<a href="https://a.test/">here</a>', "here <https://a.test/>\n"),
        ("&lt;b&gt; &amp; c", "<b> & c\n"),
    ],
)
def test_the_plain_text_of_html(html, plain):
    assert writing.plain_of(html) == plain


def opened(**options):
    people = {"senders": (Person("Carl", "carl@b.test"),), "to": (Person("", ANN), Person("", "d@b.test"))}
    empty = {"cc": (Person("", "e@b.test"),), "bcc": (), "reply_to": (), "references": "<1@x> <2@x>"}
    rest = {"uid": 1, "subject": "x", "sent": 0, "received": 0, "message_id": "<3@x>", "size": 1}
    return Opened(**{**people, **empty, **rest, "texts": (), "files": (), "inline": (), **options})


def test_to_whom_a_reply_goes():
    own = frozenset({ANN})

    def to(one, *, everybody):
        return tuple([person.address for person in some] for some in writing.reply_to(one, own, everybody=everybody))

    assert to(opened(), everybody=False) == (["carl@b.test"], [])
    assert to(opened(), everybody=True) == (["carl@b.test"], ["d@b.test", "e@b.test"])
    assert to(opened(reply_to=(Person("", "list@b.test"),)), everybody=False) == (["list@b.test"], [])
    mine = opened(senders=(Person("", ANN),), to=(Person("", "d@b.test"),))
    assert to(mine, everybody=True) == (["d@b.test"], ["e@b.test"])


def test_a_reply_goes_on_with_its_thread():
    assert writing.thread_of(opened()) == ("<3@x>", "<1@x> <2@x> <3@x>")
    assert writing.thread_of(opened(message_id="", references="")) == ("", "")
    assert [writing.reply_subject(one) for one in ("a", "Re: a", "RE: Aw: a", "Report")] == ["Re: a"] * 3 + [
        "Re: Report"
    ]
    assert writing.forward_subject("Fwd: FW: a") == "Fwd: a"


def test_who_may_not_see_it_does_not_get_bcc():
    assert (
        sending.without_bcc(b"A: b\r\nBcc: x@y,\r\n z@y\r\nC: d\r\n\r\nBcc: stays\r\n")
        == b"A: b\r\nC: d\r\n\r\nBcc: stays\r\n"
    )


async def test_a_draft_is_kept_in_the_place_of_the_one_before(mail):
    ann = await browser(mail)
    said = {"to": BOB, "subject": "Plan", "text": "First"}
    first = (await ann.post("/mail/draft", said)).json()["draft"]
    assert first == f"{mail.box('Drafts')}/1"
    second = (await ann.post("/mail/draft", {**said, "text": "Second", "draft": first})).json()["draft"]
    assert mail.uids("Drafts") == [2]
    assert lf(read(mail.content(2, "Drafts")).get_content()) == "Second\n"
    html = (await ann.get(f"/mail/write?draft={second}")).text
    assert "Second" in html
    assert (await ann.post(f"/mail/draft?draft={second}", {}, "DELETE")).status_code == 200
    assert mail.uids("Drafts") == []


async def test_a_draft_that_does_not_lie_in_the_database(mail):
    ann = await browser(mail)
    text = "A line of some length, again and again.\n" * 5000
    assert (await ann.post("/mail/draft", {"to": BOB, "text": text})).json()["draft"] == f"{mail.box('Drafts')}/1"
    assert lf(read(mail.content(1, "Drafts")).get_content()) == text


async def test_only_drafts_are_thrown_away_as_drafts(mail):
    await mail.put(letter("keep me"))
    ann = await browser(mail)
    assert (await ann.post(f"/mail/draft?draft={mail.box()}/1", {}, "DELETE")).status_code == 200
    await ann.post("/mail/draft", {"to": BOB, "draft": f"{mail.box()}/1"})
    assert mail.uids() == [1]


async def test_the_files_of_a_letter_have_a_bound_however_often_one_is_named(mail, monkeypatch):
    monkeypatch.setattr(drafts, "LARGEST", 1000)
    ann = await browser(mail)
    file = {"name": "a.txt", "upload": (await ann.post("/mail/upload", b"x" * 400)).json()["upload"]}
    for count, status in ((1, 200), (2, 200), (3, 400), (100, 400)):
        kept = await ann.post("/mail/draft", {"to": BOB, "text": "x", "attached": [file] * count})
        assert kept.status_code == status, count
    assert "too large" in kept.text


async def test_letters_of_an_account_are_made_one_after_the_other(mail, monkeypatch):
    ann, keep, running, most = await browser(mail), drafts.keep, 0, 0

    async def slowly(*args):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        try:
            return await keep(*args)
        finally:
            running -= 1

    monkeypatch.setattr(drafts, "keep", slowly)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(ann.post, "/mail/draft", {"to": BOB, "text": str(number)})
    assert most == 1
    assert len(mail.uids("Drafts")) == 5


async def test_files_that_were_uploaded_and_pictures_in_the_text(mail):
    import base64

    ann = await browser(mail)
    png = base64.b64decode(PICTURE)
    picture = (await ann.post("/mail/upload", png)).json()["upload"]
    text = (await ann.post("/mail/upload", b"hello")).json()
    assert text["size"] == 5
    assert (await ann.get(f"/mail/uploaded/{picture}")).headers["content-type"] == "image/png"
    assert (await ann.get(f"/mail/uploaded/{text['upload']}")).status_code == 404
    bob = await browser(mail, BOB)
    assert (await bob.get(f"/mail/uploaded/{picture}")).status_code == 404
    said = {
        "to": BOB, "subject": "x", "html": f'<p onclick=x><img src="/mail/uploaded/{picture}"><script>y</script></p>',
        "attached": [
            {"name": "p.png", "media": "image/png", "upload": picture},
            {"name": "a.txt", "media": "text/plain", "upload": text["upload"]},
        ],
    }  # fmt: skip
    place = (await ann.post("/mail/draft", said)).json()["draft"]
    octets = mail.content(int(place.rpartition("/")[2]), "Drafts")
    html = read(octets).get_body(("html",)).get_content()
    assert "script" not in html
    assert "onclick" not in html
    picture_part = next(part for part in read(octets).walk() if part.get_content_type() == "image/png")
    assert f'src="cid:{picture_part["Content-ID"].strip("<>")}"' in html
    assert picture_part.get_content() == png
    assert b'filename="a.txt"' in octets
    again = (await ann.get(f"/mail/write?draft={place}")).text
    assert f"/mail/part/{place}/" in again
    assert (await bob.post("/mail/draft", {**said, "html": ""})).status_code == 400


async def test_what_a_letter_begins_with(mail):
    await mail.put(RICH)
    ann = await browser(mail)
    at = f"{mail.box()}/1"
    reply = (await ann.get(f"/mail/write?all={at}")).text
    assert 'name="to" value="Carl &lt;carl@elsewhere.test&gt;"' in reply
    assert "dora@elsewhere.test" in reply
    assert 'data-references="&lt;first@elsewhere.test&gt; &lt;rich@elsewhere.test&gt;"' in reply
    assert "The plain text" in reply
    forward = (await ann.get(f"/mail/write?forward={at}")).text
    assert "Fwd: Chào" in forward
    assert "page.html" in forward
    whole = (await ann.get(f"/mail/write?attach={at}")).text
    assert "Ch\\u00e0o.eml" in whole
    assert (await ann.get(f"/mail/write?reply={mail.box()}/9")).status_code == 404


async def test_a_forwarded_file_goes_along_and_one_of_others_does_not(mail):
    await mail.put(RICH)
    said = {"to": BOB, "text": "x", "attached": [{"name": "b.pdf", "message": f"{mail.box()}/1", "section": "3"}]}
    ann = await browser(mail)
    place = (await ann.post("/mail/draft", said)).json()["draft"]
    assert b"JVBERi0xLjQ=" in mail.content(int(place.rpartition("/")[2]), "Drafts")
    bob = await browser(mail, BOB)
    assert (await bob.post("/mail/draft", said)).status_code == 404


async def test_a_letter_is_sent_by_submission_and_a_copy_is_kept(mail, autojump_clock):
    await mail.put(letter("question"))
    sent = []

    def submit(worker, who, to, at):
        sent.append((worker, who, to, at))
        return [[250, "2.0.0", "queued"] for _ in to[1:]]

    mail.site.answers.known[SUBMIT_SERVICE, "submit"] = submit
    ann = await browser(mail)
    said = {"to": BOB, "cc": "carl@elsewhere.test", "bcc": "dora@elsewhere.test", "subject": "answer", "text": "x"}
    draft = (await ann.post("/mail/draft", said)).json()["draft"]
    order = {"draft": draft, "token": "t", "answers": f"{mail.box()}/1"}
    assert (await ann.post("/mail/send", order)).json() == {"sent": True, "refused": []}
    ((worker, who, to, at),) = sent
    assert worker.startswith("mail-")
    assert who == ("submission", ANN, "192.0.2.1")
    assert to == [ANN, BOB, "carl@elsewhere.test", "dora@elsewhere.test"]
    assert at == 0.0
    assert (mail.uids("Drafts"), len(mail.uids("Sent"))) == ([], 1)
    assert b"Bcc: dora@elsewhere.test" in mail.content(1, "Sent")
    assert mail.flags() == [2]


async def test_a_letter_on_behalf_of_somebody_says_who_has_sent_it(mail, autojump_clock):
    directory, sent = mail.site.directory, []
    directory.grant(ANN, [BOB], on_behalf=True)

    def submit(worker, who, to, at):
        sent.append(to)
        return [[250, "2.0.0", "queued"] for _ in to[1:]]

    mail.site.answers.known[SUBMIT_SERVICE, "submit"] = submit
    await mail.owner.change(settings.command(mail.id(BOB), settings.Settings("Bob the Chief")))
    ann = await browser(mail)
    assert f'<option value="{BOB}">{ANN} on behalf of {BOB}</option>' in (await ann.get("/mail/write")).text
    said = {"sender": BOB, "to": "carl@elsewhere.test", "text": "x"}
    draft = (await ann.post("/mail/draft", said)).json()["draft"]
    kept = read(mail.content(mail.uids("Drafts")[0], "Drafts"))
    assert (kept["From"], kept["Sender"]) == (f"Bob the Chief <{BOB}>", ANN)
    assert '<dt>Sent by</dt><dd><span title="ann@example.org">' in (await ann.get(f"/mail/message/{draft}")).text
    assert (await ann.post("/mail/send", {"draft": draft, "token": "t"})).json() == {"sent": True, "refused": []}
    assert sent == [[ANN, "carl@elsewhere.test"]]  # who has sent it hears of failures
    directory.grant(ANN, [BOB])  # in whose name one may send, for that nothing is written
    assert f'<option value="{BOB}">' not in (await ann.get("/mail/write")).text
    draft = (await ann.post("/mail/draft", said)).json()["draft"]
    assert read(mail.content(mail.uids("Drafts")[0], "Drafts"))["Sender"] is None


async def test_a_letter_that_is_refused_stays_in_drafts(mail, autojump_clock):
    mail.site.answers.known[SUBMIT_SERVICE, "submit"] = lambda *_: [[553, "5.7.1", "you may not"]]
    ann = await browser(mail)
    draft = (await ann.post("/mail/draft", {"to": BOB, "text": "x", "sender": "boss@example.org"})).json()["draft"]
    response = await ann.post("/mail/send", {"draft": draft, "token": "t"})
    assert (response.status_code, response.json()["detail"]) == (409, "you may not")
    assert (mail.uids("Drafts"), mail.uids("Sent")) == ([1], [])
    mail.site.answers.known.clear()
    assert (await ann.post("/mail/send", {"draft": draft, "token": "t"})).status_code == 503
    assert mail.uids("Drafts") == [1]


async def test_sending_is_undone_by_whichever_process_is_asked(mail, monkeypatch):
    monkeypatch.setattr(sending, "DELAY", 600.0)
    ann = await browser(mail)
    draft = (await ann.post("/mail/draft", {"to": BOB, "text": "x"})).json()["draft"]
    told = []

    async def send():
        told.append((await ann.post("/mail/send", {"draft": draft, "token": "t"})).json())

    waiting = mail.site.context.one(Desk).waiting
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while not waiting:
            await trio.sleep(0.01)
        ((_, event),) = waiting.items()
        waiting.clear()  # as in another process, which knows nothing of it
        assert (await ann.post("/mail/unsend", {"token": "t"})).json() == {"undone": True}
        assert (await ann.post("/mail/unsend", {"token": "t"})).json() == {"undone": False}
        event.set()  # its time is over
    assert told == [{"sent": False, "draft": draft}]
    assert (mail.uids("Drafts"), mail.uids("Sent")) == ([1], [])


async def test_what_somebody_wants_is_kept(mail):
    ann = await browser(mail)
    form = {"csrf": ann.token, "name": "Ann Tran", "signature": "Ann\nHanoi", "plain": "on"}
    assert (await ann.client.post("/mail/settings", data=form)).status_code == 303
    html = (await ann.get("/mail/settings")).text
    assert 'value="Ann Tran"' in html
    draft = (await ann.post("/mail/draft", {"to": BOB, "text": "x"})).json()["draft"]
    assert read(mail.content(int(draft.rpartition("/")[2]), "Drafts"))["From"] == f"Ann Tran <{ANN}>"


async def test_who_writes_in_other_names_may_sign_in_each_of_them(mail):
    for sender in ("sales@example.org", "@other.test"):
        mail.site.directory.grant(ANN, [sender])
    ann = await browser(mail)
    form = {"csrf": ann.token, "signature": "Ann", "signature-sales@example.org": "The <b>office</b>\r\n\r\n",
            "signature-boss@example.org": "The boss"}  # fmt: skip
    assert (await ann.client.post("/mail/settings", data=form)).status_code == 303
    html = (await ann.get("/mail/settings")).text
    assert "The &lt;b&gt;office&lt;/b&gt;</textarea>" in html
    assert "other.test" not in html
    shown = re.search('data-signatures="([^"]+)"', (await ann.get("/mail/write")).text)
    assert shown is not None
    assert json.loads(unescape(shown[1])) == {"sales@example.org": "The <b>office</b>"}


async def test_addresses_are_completed_by_whom_one_has_written_to(mail):
    to = 'To: "Đỗ Hùng" <hung@b.test>, bob@example.org\n'
    await mail.put(f"From: {ANN}\n{to}\nx\n", f"From: {ANN}\nTo: bob@example.org\n\nx\n", name="Sent")
    await mail.put(letter("from others", sender="Bert <bert@elsewhere.test>"))
    ann = await browser(mail)

    async def told(typed: str) -> list[str]:
        return [one["text"] for one in (await ann.client.get("/mail/people", params={"q": typed})).json()]

    assert await told("bo") == ["bob@example.org"]
    assert await told("hùng") == await told("đỗ h") == await told("HUNG") == ["Đỗ Hùng <hung@b.test>"]
    assert await told("bert") == await told("") == []


@pytest.mark.parametrize("path", ["draft", "send", "unsend", "answer"])
@pytest.mark.parametrize("octets", [b"", b"[]", b"{", b'{"token": 7}', b"\xff"])
async def test_what_no_page_of_ours_says_is_told_so(mail, path, octets):
    ann = await browser(mail)
    assert (await ann.post(f"/mail/{path}", octets)).status_code == 400
