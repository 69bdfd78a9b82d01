"""Contacts: kept, found, proposed, learnt, carried about, and erased."""

from contextlib import AsyncExitStack

import pytest
from mail_site import ANN, BOB, browser, letter, mail_of

from engine.finding.words import plain
from engine.web.mail import contacts, people
from engine.web.mail.contacts import Contact, Contacts, Learnt, Owner, TooMany
from engine.web.mail.opened import Person
from engine.web.mail.people import Proposal, proposals
from tests.support.site import BASIC

NOW = 1_800_000_000.0
ANYBODY = Owner(ANN)


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


@pytest.fixture
def store(tmp_path):
    with Contacts.open(tmp_path / "contacts", clock=lambda: NOW) as opened:
        yield opened


def form(client, **fields):
    return {"csrf": client.token, "name": "", "addresses": "", **fields}


async def kept(client, identity="new", **fields):
    return await client.client.post(f"/mail/contacts/{identity}", data=form(client, **fields))


async def proposed(client, typed):
    return [one["text"] for one in (await client.client.get("/mail/people", params={"q": typed})).json()]


def ids(html: str) -> list[str]:
    return [part[:32] for part in html.split('name="id" value="')[1:]]


async def test_somebody_is_noted_changed_and_removed(mail):
    ann = await browser(mail)
    told = await kept(
        ann, name="Carl  <b>Müller</b>", addresses="Carl@Elsewhere.test\ncarl@home.test", groups="Chess, Work",
        note="a\r\nb",
    )  # fmt: skip
    assert (told.status_code, told.headers["location"]) == (303, "/mail/contacts?told=kept")
    html = (await ann.get("/mail/contacts")).text
    (identity,) = ids(html)
    assert "Carl &lt;b&gt;Müller&lt;/b&gt;" in html
    assert "carl@elsewhere.test, carl@home.test" in html
    assert (await kept(ann, identity, name="Carl", addresses="carl@new.test")).status_code == 303
    html = (await ann.get(f"/mail/contacts/{identity}")).text
    assert 'value="Carl"' in html
    assert "carl@new.test</textarea>" in html
    await ann.client.post("/mail/contacts/remove", data={"csrf": ann.token, "id": [identity]})
    assert ids((await ann.get("/mail/contacts")).text) == []
    assert (await ann.get(f"/mail/contacts/{identity}")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "Say the name."),
        ({"name": "x", "addresses": "no address"}, "One of these is no address."),
        ({"name": "x", "addresses": "a@b\nc@d@e"}, "One of these is no address."),
    ],
)
async def test_what_is_wrong_is_said_and_stays_in_the_form(mail, fields, why):
    ann = await browser(mail)
    told = await kept(ann, **fields)
    assert told.status_code == 422
    assert why in told.text
    assert fields.get("addresses", "") in told.text


async def test_nobody_sees_the_contacts_of_others(mail):
    ann, bob = await browser(mail), await browser(mail, BOB)
    await kept(ann, name="Secret", addresses="secret@elsewhere.test")
    (identity,) = ids((await ann.get("/mail/contacts")).text)
    assert "Secret" not in (await bob.get("/mail/contacts")).text
    assert (await bob.get(f"/mail/contacts/{identity}")).status_code == 404
    assert (await kept(bob, identity, name="Mine")).status_code == 404
    await bob.client.post("/mail/contacts/remove", data={"csrf": bob.token, "id": identity})
    assert ids((await ann.get("/mail/contacts")).text) == [identity]
    assert await proposed(bob, "secret") == []
    stranger = mail.site.browser()
    for address in ("/mail/contacts", f"/mail/contacts/{identity}", "/mail/contacts.vcf", "/mail/people?q=se"):
        assert (await stranger.get(address)).status_code == 303


@pytest.mark.parametrize("identity", ["", "x", "00", "g" * 32, "0" * 32, "0" * 64])
async def test_there_is_none_of_such_an_id(mail, identity):
    ann = await browser(mail)
    assert (await ann.get(f"/mail/contacts/{identity}")).status_code == 404
    assert (await kept(ann, identity, name="x")).status_code == 404


async def test_a_search_finds_them_without_accents_too(mail):
    ann = await browser(mail)
    await kept(ann, name="Nguyễn Đức", addresses="duc@elsewhere.test", groups="Gia đình")
    await kept(ann, name="Carl", organization="Firm")
    for query, found in (("nguyen", 1), ("duc", 1), ("gia dinh", 1), ("firm", 1), ("nobody", 0), ("", 2)):
        html = (await ann.client.get("/mail/contacts", params={"q": query})).text
        assert len(ids(html)) == found, query
    assert len(ids((await ann.client.get("/mail/contacts", params={"group": "Gia đình"})).text)) == 1


async def test_addresses_are_completed_by_contacts_groups_and_colleagues(mail):
    ann = await browser(mail)
    await kept(ann, name="Carl Lee", addresses="carl@elsewhere.test, lee@home.test", groups="Chess")
    await kept(ann, name="Dora", addresses="dora@elsewhere.test", groups="Chess")
    assert await proposed(ann, "carl") == ["Carl Lee <carl@elsewhere.test>", "Carl Lee <lee@home.test>"]
    assert await proposed(ann, "che") == ["carl@elsewhere.test, dora@elsewhere.test"]
    assert await proposed(ann, "bob") == [BOB]
    assert await proposed(ann, "ann") == []  # oneself
    bob = await browser(mail, BOB)
    await bob.client.post("/mail/settings", data={"csrf": bob.token, "name": "Robert Tran", "signature": ""})
    ann = await browser(mail)
    people.FRESH, before = 0.0, people.FRESH  # type: ignore[misc]
    try:
        assert await proposed(ann, "tran") == [f"Robert Tran <{BOB}>"]
    finally:
        people.FRESH = before  # type: ignore[misc]


async def test_colleagues_are_not_proposed_where_that_is_not_wanted(tmp_path):
    async with mail_of(tmp_path, BASIC + "[web]\ncolleagues = false\n") as mail:
        mail.site.account("carl@example.org")
        ann = await browser(mail)
        assert await proposed(ann, "car") == []


async def test_colleagues_are_those_of_ones_own_domain(tmp_path):
    text = BASIC.replace('local = ["example.org"]', 'local = ["example.org", "example.net"]')
    async with mail_of(tmp_path, text) as mail:
        for address in ("carl@example.org", "carla@example.net"):
            mail.site.account(address)
        assert await proposed(await browser(mail), "car") == ["carl@example.org"]


async def test_whom_one_writes_to_is_learnt_once(mail):
    to = "To: Carl <carl@elsewhere.test>, Dora <DORA@elsewhere.test>\n"
    await mail.put(f"From: {ANN}\n{to}\nx\n", name="Sent")
    ann = await browser(mail)
    assert await proposed(ann, "car") == ["Carl <carl@elsewhere.test>"]
    await mail.put(
        f"From: {ANN}\nTo: carlos@elsewhere.test\nBcc: {ANN}\n\nx\n",
        *[f"To: carlos@elsewhere.test\n\n{n}\n" for n in range(3)],
        name="Sent",
    )
    assert await proposed(ann, "car") == ["carlos@elsewhere.test", "Carl <carl@elsewhere.test>"]
    html = (await ann.get("/mail/contacts")).text
    assert "Dora &lt;dora@elsewhere.test&gt;" in html
    assert f"{ANN}&gt;" not in html
    await ann.client.post("/mail/contacts/forget", data={"csrf": ann.token, "address": "carlos@elsewhere.test"})
    assert await proposed(ann, "car") == ["Carl <carl@elsewhere.test>"]
    await kept(ann, name="Charles", addresses="carl@elsewhere.test")
    assert await proposed(ann, "car") == ["Charles <carl@elsewhere.test>"]  # as one has noted it


async def test_what_others_write_teaches_nothing(mail):
    await mail.put(letter("win", sender="Winner <winner@spam.test>"))
    assert await proposed(await browser(mail), "win") == []


async def test_a_file_is_taken_and_given(mail):
    ann = await browser(mail)
    octets = (
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nN:Lee;Carl;;;\r\nFN:Carl Lee\r\nEMAIL:carl@elsewhere.test\r\nUID:c1\r\n"
        b"BDAY:1985-04-12\r\nEND:VCARD\r\nBEGIN:VCARD\r\nVERSION:2.1\r\nFN:Old\r\nEND:VCARD\r\n"
    )
    told = (await ann.post("/mail/contacts/import", octets)).json()
    assert (told["new"], told["changed"], told["told"]) == (1, 0, "1 contact is new.")
    assert told["troubles"] == ["Line 9: the version is neither 3.0 nor 4.0"]
    assert (await ann.post("/mail/contacts/import", octets)).json()["new"] == 0
    changed = octets.replace(b"carl@", b"lee@")
    assert (await ann.post("/mail/contacts/import", changed)).json()["told"] == "0 contacts are new. 1 has changed."
    for version in ("3.0", "4.0"):
        response = await ann.client.get("/mail/contacts.vcf", params={"version": version})
        assert response.headers["content-type"].startswith("text/vcard")
        assert "attachment" in response.headers["content-disposition"]
        assert f"VERSION:{version}\r\n" in response.text
        for line in ("UID:c1", "FN:Carl Lee", "N:Lee;Carl;;;", "BDAY:1985-04-12"):
            assert f"\r\n{line}\r\n" in response.text
    (identity,) = ids((await ann.get("/mail/contacts")).text)
    await kept(ann, identity, name="Carl Other", addresses="lee@elsewhere.test")
    text = (await ann.get("/mail/contacts.vcf")).text
    assert "N:Lee" not in text  # it was of the other name
    assert "BDAY" in text


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe", b"<html>", b"{}"])
async def test_what_is_no_file_of_contacts_is_said_so(mail, octets):
    ann = await browser(mail)
    response = await ann.post("/mail/contacts/import", octets)
    assert response.status_code in (200, 400)
    assert response.json().get("new", 0) == 0
    assert response.json().get("detail") or response.json()["troubles"]


async def test_why_something_is_wrong_is_said_in_the_readers_language(mail):
    ann = await browser(mail, language="vi")
    assert (await ann.post("/mail/contacts/import", b"")).json()["detail"] == "trong tệp không có vCard nào"
    response = await ann.post("/mail/draft", {"to": "nobody", "text": "x"})
    assert response.json()["detail"] == "nobody không phải là địa chỉ"
    response = await ann.post("/mail/act", [{"act": "label", "items": {mail.box(): [1]}, "label": "two words"}])
    assert response.json()["detail"].startswith("từ khóa của nhãn")


def test_a_store_has_bounds(store, monkeypatch):
    monkeypatch.setattr(contacts, "CONTACTS", 3)
    some = [Contact(f"c{n}") for n in range(5)]
    with pytest.raises(TooMany):
        store.take(1, some)
    assert store.all(1) == []
    assert store.take(1, some[:3]) == (3, 0)
    with pytest.raises(TooMany):
        store.put(1, some[4])
    assert store.take(2, some[:1]) == (1, 0)  # another account


def test_who_was_not_written_to_for_longest_is_forgotten(store, monkeypatch):
    monkeypatch.setattr(contacts, "LEARNT", 3)
    for n in range(6):
        store.learn(1, store.owner(1), ANYBODY, {f"p{n}@x.test": Learnt(f"p{n}@x.test", "", 1, NOW + n)})
    assert sorted(one.address for one in store.learnt(1)) == ["p3@x.test", "p4@x.test", "p5@x.test"]


def test_what_two_find_at_once_is_counted_once(store):
    found = {"p@x.test": Learnt("p@x.test", "P", 1, NOW)}
    store.learn(1, None, Owner(ANN, 5, 1), found)
    store.learn(1, None, Owner(ANN, 5, 1), found)
    assert [one.count for one in store.learnt(1)] == [1]
    store.learn(1, Owner(ANN, 5, 1), Owner(ANN, 5, 2), found)
    assert [one.count for one in store.learnt(1)] == [2]


def test_what_is_left_of_the_disk_is_for_the_mail(tmp_path):
    with Contacts.open(tmp_path / "contacts", lambda: 2**62) as store:
        with pytest.raises(contacts.Full):
            store.put(1, Contact("a"))
        with pytest.raises(contacts.Full):
            store.take(1, [Contact("a")])
        store.learn(1, None, ANYBODY, {"a@x.test": Learnt("a@x.test", "", 1, NOW)})
        assert store.learnt(1) == []


def test_what_accounts_had_that_are_gone_is_erased_in_time(tmp_path):
    now = [NOW]
    with Contacts.open(tmp_path / "contacts", clock=lambda: now[0]) as store:
        for account in (1, 2):
            store.learn(account, None, Owner(f"{account}@x.test"), {"a@x.test": Learnt("a@x.test", "", 1, NOW)})
            store.put(account, Contact("a"))
        gone = lambda address, _: address != "1@x.test"  # noqa: E731
        assert store.tend(gone) == 0
        now[0] += contacts.LEFT - 1
        assert store.tend(lambda *_: True) == 0  # it was back
        assert store.tend(gone) == 0
        now[0] += contacts.LEFT + 1
        assert store.tend(gone) == 1
        assert (store.all(1), store.learnt(1), store.owner(1)) == ([], [], None)
        assert len(store.all(2)) == len(store.learnt(2)) == 1


def test_who_is_written_to_most_comes_first():
    known = [Contact("Bea", ("bea@x.test",)), Contact("Ben", ("ben@x.test",))]
    learnt = [
        Learnt("ben@x.test", "", 3, NOW), Learnt("bert@x.test", "Bert", 9, NOW),
        Learnt("berta@x.test", "Berta", 9, NOW - 10 * people.FADES),
    ]  # fmt: skip
    found = proposals(known, learnt, [Person("", "beth@x.test"), Person("", "ben@x.test")], "be", NOW)
    assert [one.addresses[0] for one in found] == [
        "bert@x.test", "ben@x.test", "bea@x.test", "beth@x.test", "berta@x.test",
    ]  # fmt: skip
    assert found[1] == Proposal("Ben", ("ben@x.test",), "contact")
    assert len(proposals(known, [Learnt(f"be{n}@x.test", "", 1, NOW) for n in range(50)], [], "be", NOW)) == people.TOLD


@pytest.mark.parametrize(
    ("text", "found"),
    [("Nguyễn Đức", "nguyen duc"), ("ÉCOLE", "ecole"), ("Straße", "strasse"), ("abc", "abc"), ("", "")],
)
def test_texts_without_accents(text, found):
    assert plain(text) == found


@pytest.mark.parametrize("path", ["contacts/new", "contacts/remove", "contacts/forget", "contacts/import", "labels"])
async def test_what_does_not_come_from_a_page_of_ours_changes_nothing(mail, path):
    ann = await browser(mail)
    for fields in ({}, {"csrf": "0" * 32}):
        response = await ann.client.post(
            f"/mail/{path}", data={"name": "x", "name-0": "x", "colour-0": "red", **fields}
        )
        assert response.status_code == 403
    assert ids((await ann.get("/mail/contacts")).text) == []
