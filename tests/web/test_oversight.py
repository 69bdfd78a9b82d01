"""Oversight in the pages: who asks, who consents, what may be seen then, and that each look is noted first."""

import json
import re

import pytest

from engine.mailbox.commands import Expunge, Hold
from engine.mailbox.layout import INBOX
from engine.operations.auditing import verified
from engine.operations.operator import Operator
from tests.support.site import ADMIN, AUDITOR, BASIC, HELPER, OWNER, posted
from tests.web.mail.mail_site import ANN, BOB, RICH, letter, mail_of

SECOND = "second@example.org"


@pytest.fixture
async def mail(tmp_path):
    async with mail_of(tmp_path, BASIC) as found:
        found.site.staff()
        found.site.account(SECOND, "auditor", password=None)
        await found.put(letter("A secret offer", "The price is 7"), letter("Lunch"), RICH)
        await found.put(letter("Offer for Bob"), address=BOB)
        yield found


def log(mail):
    return list(mail.site.role.oversight.entries())


def kinds(mail):
    return [one.what for one in log(mail)]


async def asked(mail, browser, addresses=ANN, reason="a leak"):
    """The number of a new grant."""
    response = await posted(browser, "/admin/oversight", addresses=addresses, reason=reason, lasts="1d")
    assert response.status_code == 303, response.text
    return int(re.search(r"number=(\d+)", response.headers["location"])[1])


@pytest.fixture
async def opened(mail):
    """The auditor's browser, and the number of an open grant to look at Ann's mail."""
    auditor, second = mail.site.known(AUDITOR), mail.site.known(SECOND)
    number = await asked(mail, auditor)
    assert (await posted(second, "/admin/oversight/decide", number=number, what="consent")).status_code == 303
    return auditor, number


async def hits(browser, number, query):
    """Address and subject of each message that is found."""
    found = await browser.get("/admin/oversight/grant", params={"number": number, "q": query})
    assert found.status_code == 200
    return re.findall(r'<a class="break" href="(/admin/oversight/message/[^"]+)">([^<]*)</a>', found.text)


# Who may what


@pytest.mark.parametrize("path", ["/admin/oversight", "/admin/holds", "/admin/audit", "/admin/audit/export"])
@pytest.mark.parametrize(("who", "status"), [(ANN, 403), (ADMIN, 403), (HELPER, 403), (AUDITOR, 200), (OWNER, 200)])
async def test_auditors_and_owners_alone_see_what_is_overseen(mail, who, status, path) -> None:
    assert (await mail.site.known(who).get(path)).status_code == status


async def test_administration_begins_where_somebody_may_look(mail) -> None:
    for who, where in ((AUDITOR, "/admin/oversight"), (OWNER, "/admin/overview"), (HELPER, "/admin/accounts")):
        response = await mail.site.known(who).get("/admin")
        assert (response.status_code, response.headers["location"]) == (303, where)
    assert (await mail.site.known(ANN).get("/admin")).status_code == 403
    page = (await mail.site.known(AUDITOR).get("/admin/oversight")).text
    assert "/admin/accounts" not in page
    assert "/admin/oversight" in (await mail.site.known(OWNER).get("/admin/accounts")).text
    assert "/admin/oversight" not in (await mail.site.known(ADMIN).get("/admin/accounts")).text


async def test_only_auditors_ask(mail) -> None:
    for who in (OWNER, ADMIN, ANN):
        response = await posted(mail.site.known(who), "/admin/oversight", addresses=ANN, reason="x", lasts="1d")
        assert response.status_code == 403, who
    assert kinds(mail) == []


@pytest.mark.parametrize(
    ("addresses", "reason", "lasts", "why"),
    [
        ("nobody@example.org", "x", "1d", "There is no account nobody@example.org."),
        (ANN, "  ", "1d", "the reason"),
        ("", "x", "1d", "whose mail"),
        (ANN, "x", "9d", "cannot be asked for"),
        (ANN, "x", "soon", "cannot be asked for"),
    ],
)
async def test_what_is_no_request_is_said(mail, addresses, reason, lasts, why) -> None:
    browser = mail.site.known(AUDITOR)
    response = await posted(browser, "/admin/oversight", addresses=addresses, reason=reason, lasts=lasts)
    assert response.status_code == 422
    assert why in response.text
    assert kinds(mail) == []


async def test_nothing_is_done_without_the_token_of_the_page(mail, opened) -> None:
    auditor, number = opened
    before = kinds(mail)
    for path in ("/admin/oversight", "/admin/oversight/decide", "/admin/oversight/export", "/admin/audit/verify"):
        response = await auditor.post(path, data={"number": number, "addresses": ANN, "reason": "x", "what": "end"})
        assert response.status_code == 403, path
    assert kinds(mail) == before


# From asking to reading


async def test_a_grant_from_asking_to_its_end(mail) -> None:
    auditor, second = mail.site.known(AUDITOR, peer="192.0.2.9"), mail.site.known(SECOND)
    number = await asked(mail, auditor, f"{ANN.upper()}, {BOB}", "a <leak>")
    page = (await auditor.get(f"/admin/oversight/grant?number={number}")).text
    assert "a &lt;leak&gt;" in page
    assert "has to consent" in page
    assert "Search this mail" not in page
    assert await hits(auditor, number, "offer") == []
    assert (await posted(auditor, "/admin/oversight/decide", number=number, what="consent")).status_code == 403
    assert (await posted(second, "/admin/oversight/decide", number=number, what="consent")).status_code == 303
    found = await hits(auditor, number, "offer")
    assert sorted(subject for _, subject in found) == ["A secret offer", "Offer for Bob"]
    assert await hits(second, number, "offer") == []
    assert (await posted(auditor, "/admin/oversight/decide", number=number, what="end")).status_code == 303
    assert await hits(auditor, number, "offer") == []
    assert (await auditor.get(found[0][0])).status_code == 403
    assert kinds(mail) == ["grant-asked", "grant-consented", "searched", "grant-ended"]
    first, _, search, _ = log(mail)
    assert (first.by, first.peer, first.about) == (AUDITOR, "192.0.2.9", (ANN, BOB))
    assert (search.by, search.details["query"]) == (AUDITOR, "offer")


async def test_an_owner_may_consent_but_sees_no_mail(mail) -> None:
    owner, auditor = mail.site.known(OWNER), mail.site.known(AUDITOR)
    number = await asked(mail, auditor)
    assert (await posted(owner, "/admin/oversight/decide", number=number, what="consent")).status_code == 303
    ((address, _),) = await hits(auditor, number, "subject:offer")
    before = kinds(mail)
    assert "Search this mail" not in (await owner.get(f"/admin/oversight/grant?number={number}&q=offer")).text
    assert (await owner.get(address)).status_code == 403
    assert (await posted(owner, "/admin/oversight/export", number=number, q="")).status_code == 403
    assert kinds(mail) == before


async def test_a_message_is_read_in_a_frame_and_each_look_is_noted_first(mail, opened) -> None:
    auditor, number = opened
    ((address, _),) = await hits(auditor, number, "from:carl in:inbox subject:Chào")
    page = await auditor.get(address)
    assert "Carl &lt;carl@elsewhere.test&gt;" in page.text
    text = re.search(r'src="(/admin/oversight/text/[^"]+)"', page.text)[1]
    body = await auditor.get(text)
    assert "<b>rich</b>" in body.text
    assert "<script" not in body.text
    assert "elsewhere.test/p.png" not in body.text  # nobody learns that it is read
    assert body.headers["content-security-policy"].endswith("sandbox allow-popups allow-popups-to-escape-sandbox")
    picture = re.search(r'src="(/admin/oversight/seen/[^"]+)"', body.text)[1]
    assert (await auditor.get(picture)).headers["content-type"] == "image/png"
    file = re.search(r'href="(/admin/oversight/part/[^"]+)"', page.text)[1]
    part = await auditor.get(file)
    assert part.headers["content-disposition"].startswith("attachment")
    source = await auditor.get(re.search(r'href="(/admin/oversight/source/[^"]+)"', page.text)[1])
    assert source.content.startswith(b"From: Carl")
    assert source.headers["content-type"].startswith("text/plain")
    opening = [one for one in log(mail) if one.what == "message-opened"]
    assert [one.details["part"] for one in opening] == ["text", "2", "source"]
    assert {(one.by, one.about, one.details["message_id"]) for one in opening} == {
        (AUDITOR, (ANN,), "<rich@elsewhere.test>")
    }
    assert mail.flags() == [0, 0, 0]  # it stays unread for Ann


async def test_nothing_beyond_a_grant_can_be_seen(mail, opened) -> None:
    auditor, number = opened
    assert [subject for _, subject in await hits(auditor, number, "offer in:anywhere")] == ["A secret offer"]
    ((address, _),) = await hits(auditor, number, "subject:offer")
    before = kinds(mail)
    bob = address.rpartition("/")[0].rpartition("/")[0] + f"/{mail.box(address=BOB)}/1"
    assert (await auditor.get(bob)).status_code == 404
    assert (await auditor.get(address.replace(f"/{number}/", "/999/"))).status_code == 403
    assert (await auditor.get(address.rpartition("/")[0] + "/99")).status_code == 404
    for bad in ("x/F1-1/1", f"{number}/F1-99/1", f"{number}/zz/1", f"{number}/F1-1/x", f"{10**30}/F1-1/1"):
        assert (await auditor.get(f"/admin/oversight/message/{bad}")).status_code in (403, 404), bad
    second = mail.site.known(SECOND)
    assert (await second.get(address)).status_code == 403
    assert kinds(mail) == before


async def test_the_text_of_an_opened_message_is_for_the_one_who_opened_it(mail, opened) -> None:
    auditor, number = opened
    ((address, _),) = await hits(auditor, number, "subject:offer")
    text = re.search(r'src="(/admin/oversight/text/[^"]+)"', (await auditor.get(address)).text)[1]
    assert "The price is 7" in (await auditor.get(text)).text
    assert (await mail.site.known(SECOND).get(text)).status_code == 404
    assert (await mail.site.known(ANN).get(text)).status_code == 403
    assert (await auditor.get(text[:-3] + ("AAA" if text[-3:] != "AAA" else "BBB"))).status_code == 404
    await posted(auditor, "/admin/oversight/decide", number=number, what="end")
    assert (await auditor.get(text)).status_code == 403


async def test_the_mail_of_a_removed_account_that_is_held_can_be_searched(mail) -> None:
    owner, auditor, second = (mail.site.known(one) for one in (OWNER, AUDITOR, SECOND))
    assert (await posted(owner, "/admin/holds", addresses=ANN, reason="a case")).status_code == 303
    number = mail.id()
    mail.site.directory.remove_account(ANN)
    await mail.owner.erase(number)
    grant = await asked(mail, auditor, ANN)
    await posted(second, "/admin/oversight/decide", number=grant, what="consent")
    assert [subject for _, subject in await hits(auditor, grant, "offer")] == ["A secret offer"]


async def test_no_page_of_others_writes_into_the_log(mail, opened) -> None:
    auditor, number = opened
    ((address, _),) = await hits(auditor, number, "subject:offer")
    source = address.replace("/message/", "/source/")
    before = kinds(mail)
    for path in (f"/admin/oversight/grant?number={number}&q=bomb", address, source):
        assert (await auditor.get(path, headers={"sec-fetch-site": "cross-site"})).status_code == 403, path
    assert kinds(mail) == before
    for site in ("same-origin", "none"):
        assert (await auditor.get(address, headers={"sec-fetch-site": site})).status_code == 200


# Exports


async def test_what_was_found_is_exported_with_a_manifest(mail, opened) -> None:
    auditor, number = opened
    assert (await posted(auditor, "/admin/oversight/export", number=number, q="subject:offer")).status_code == 303
    page = (await auditor.get(f"/admin/oversight/grant?number={number}")).text
    mbox, manifest = re.findall(r'href="(/admin/oversight/export/[^"]+)"', page)
    told = json.loads((await auditor.get(manifest)).content)
    assert [one["message_id"] for one in told["messages"]] == ["<A-secret-offer@elsewhere.test>"]
    assert (told["query"], told["reason"], told["consented_by"]) == ("subject:offer", "a leak", SECOND)
    octets = (await auditor.get(mbox)).content
    assert octets.startswith(b"From MAILER-DAEMON ")
    assert b"The price is 7" in octets
    assert kinds(mail)[-4:] == ["export-begun", "export-done", "export-fetched", "export-fetched"]
    for who in (SECOND, OWNER, ANN):
        assert (await mail.site.known(who).get(mbox)).status_code == 403
    assert (await auditor.get(mbox.replace("mail.mbox", "data.mdb"))).status_code == 404
    assert (await auditor.get(f"/admin/oversight/export/{number}/..%2F..%2F/data.mdb")).status_code == 404
    name = mbox.split("/")[-2]
    assert (await posted(auditor, "/admin/oversight/export/remove", number=number, name=name)).status_code == 303
    assert (await auditor.get(mbox)).status_code == 404


async def test_all_mail_is_exported_with_what_was_removed_and_is_held(mail, opened) -> None:
    auditor, number = opened
    await mail.owner.change(Hold(account=mail.id(), on=True))
    await mail.owner.change(Expunge(account=mail.id(), mailbox=INBOX, uids=(2,), deleted_only=False))
    await posted(auditor, "/admin/oversight/export", number=number, q="")
    page = (await auditor.get(f"/admin/oversight/grant?number={number}")).text
    told = json.loads((await auditor.get(re.findall(r'href="(/admin/oversight/export/[^"]+json)"', page)[0])).content)
    assert [(one["uid"], one["removed"] > 0) for one in told["messages"]] == [(1, False), (3, False), (2, True)]


# Holds


async def test_owners_hold_and_lift_and_auditors_look(mail) -> None:
    owner, auditor = mail.site.known(OWNER), mail.site.known(AUDITOR)
    assert (await posted(auditor, "/admin/holds", addresses=ANN, reason="a case")).status_code == 403
    assert (await posted(owner, "/admin/holds", addresses=ANN, reason="")).status_code == 422
    assert (await posted(owner, "/admin/holds", addresses="x@example.org", reason="a case")).status_code == 422
    assert (await posted(owner, "/admin/holds", addresses=ANN, reason="a case")).status_code == 303
    assert mail.owner.reader.holds() == {mail.id()}
    page = (await auditor.get("/admin/holds")).text
    assert ANN in page
    assert "a case" in page
    assert "/admin/holds/lift" not in page
    lift = {"account": mail.id(), "reason": "settled"}
    assert (await posted(auditor, "/admin/holds/lift", **lift)).status_code == 403
    assert (await posted(owner, "/admin/holds/lift", account=mail.id(), reason=" ")).status_code == 422
    assert (await posted(owner, "/admin/holds/lift", **lift)).status_code == 303
    assert (await posted(owner, "/admin/holds/lift", **lift)).status_code == 404
    assert mail.owner.reader.holds() == set()
    assert [(one.what, one.by, one.details["reason"]) for one in log(mail)] == [
        ("hold-begun", OWNER, "a case"),
        ("hold-lifted", OWNER, "settled"),
    ]


async def test_owners_hold_domains_and_groups(mail) -> None:
    owner, auditor = mail.site.known(OWNER), mail.site.known(AUDITOR)
    mail.site.directory.add_group("team@example.org", [ANN])
    for addresses in ("elsewhere.test", "x@example.org", f"{ANN} x@example.org"):
        answer = await posted(owner, "/admin/holds", addresses=addresses, reason="a case")
        assert (answer.status_code, mail.owner.reader.holds()) == (422, set())
    asked = {"addresses": "example.org, Team@example.org", "reason": "a case"}
    assert (await posted(owner, "/admin/holds", **asked)).status_code == 303
    everybody = {one.id for one in mail.site.directory.accounts_of("example.org")}
    assert mail.owner.reader.holds() == everybody
    page = (await auditor.get("/admin/holds")).text
    assert '<h2 id="hold-example.org"' in page
    assert "1 account, as members of the group" in page
    assert (await posted(auditor, "/admin/holds/lift", name="example.org", reason="settled")).status_code == 403
    assert (await posted(owner, "/admin/holds/lift", name="example.org", reason="settled")).status_code == 303
    assert mail.owner.reader.holds() == {mail.id()}
    assert (await posted(owner, "/admin/holds/lift", name="team@example.org", reason="settled")).status_code == 303
    assert (await posted(owner, "/admin/holds/lift", name="team@example.org", reason="settled")).status_code == 404
    assert mail.owner.reader.holds() == set()


# The log


async def test_the_log_is_shown_verified_and_exported(mail, opened) -> None:
    auditor, number = opened
    for word in ("<b>one</b>", "two", "three"):
        await hits(auditor, number, word)
    page = (await mail.site.known(OWNER).get("/admin/audit")).text
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "<b>one" not in page
    assert page.index("three") < page.index("two")
    assert (await auditor.get("/admin/audit?what=grant-asked")).text.count("<tr><th scope") == 1
    assert (await auditor.get(f"/admin/audit?about={BOB}")).text.count("<tr><th scope") == 0
    assert (await auditor.get("/admin/audit?before=2")).text.count("<tr><th scope") == 1
    told = await posted(auditor, "/admin/audit/verify")
    number, digest = mail.site.role.oversight.tip()
    assert f"{number}:{digest}" in told.text
    assert "5 entries, each as it was written." in told.text
    lines = (await auditor.get("/admin/audit/export")).content.splitlines()
    assert verified(lines, Operator("me")).hash == digest


async def test_the_log_goes_on_on_further_pages(mail) -> None:
    for entry in range(60):
        mail.site.role.oversight.write("searched", AUDITOR, query=f"word-{entry}")
    browser = mail.site.known(AUDITOR)
    first = (await browser.get("/admin/audit")).text
    assert "word-10<" in first
    assert "word-9<" not in first
    following = re.search(r"before=(\d+)", first)[1]
    assert "word-9<" in (await browser.get(f"/admin/audit?before={following}")).text


@pytest.mark.parametrize("language", ["en", "vi"])
async def test_each_page_is_there_in_each_language(mail, opened, language) -> None:
    _, number = opened
    mail.site.role.oversight.write("searched", AUDITOR, query="x")
    browser = mail.site.known(AUDITOR, language=language)
    ((address, _), *_) = await hits(browser, number, "offer")
    for path in (
        "/admin/oversight",
        f"/admin/oversight/grant?number={number}",
        address,
        "/admin/holds",
        "/admin/audit",
    ):
        page = await browser.get(path)
        assert page.status_code == 200
        assert f'<html lang="{language}"' in page.text
    assert ("Giám sát" in page.text) is (language == "vi")
