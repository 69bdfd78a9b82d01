"""Labels: keywords with names and colours."""

from contextlib import AsyncExitStack

import pytest
from mail_site import BOB, browser, letter, mail_of, subjects

from engine.web.mail.labels import COLOURS, MOST, keyword_of


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


async def keep(client, *some):
    form = {"csrf": client.token}
    for number, (name, colour, *keyword) in enumerate(some):
        form |= {f"name-{number}": name, f"colour-{number}": colour, f"keyword-{number}": keyword[0] if keyword else ""}
    return await client.client.post("/mail/labels", data=form)


async def act(client, **one):
    response = await client.post("/mail/act", [one])
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_label_is_made_given_found_and_taken(mail):
    await mail.put(letter("a"), letter("b"))
    await mail.put(letter("c"), name="Archive")
    ann = await browser(mail)
    assert (await keep(ann, ("Dự án lớn", "teal"))).status_code == 303
    html = (await ann.get("/mail/")).text
    assert 'data-label="du-an-lon"' in html
    assert "label%3Adu-an-lon%20in%3Aanywhere" in html
    told = await act(ann, act="label", items={mail.box(): [1, 2], mail.box("Archive"): [1]}, label="du-an-lon")
    assert told["done"] == 3
    html = (await ann.get(f"/mail/list/{mail.box()}")).text
    assert html.count('<span class="label colour-teal">Dự án lớn</span>') == 2
    assert 'data-labels="du-an-lon"' in html
    for query in ("label:du-an-lon", 'label:"Dự án lớn"', 'label:"du an lon"'):
        found = (await ann.client.get(f"/mail/list/{mail.box()}", params={"q": f"{query} in:anywhere"})).text
        assert sorted(subjects(found)) == ["a", "b", "c"]
    assert '<span class="label colour-teal">' in (await ann.get(f"/mail/message/{mail.box()}/1")).text
    told = await act(ann, act="unlabel", items={mail.box(): [1]}, label="du-an-lon")
    await ann.post("/mail/act", told["undo"])
    assert (await ann.get(f"/mail/list/{mail.box()}")).text.count("colour-teal") == 2


async def test_a_label_is_renamed_and_keeps_its_keyword(mail):
    ann = await browser(mail)
    await keep(ann, ("Work", "red"), ("Work", "blue"))
    html = (await ann.get("/mail/labels")).text
    assert 'value="work"' in html
    assert 'value="work-2"' in html
    await keep(ann, ("Job", "green", "work"), ("", "blue", "work-2"))
    html = (await ann.get("/mail/")).text
    assert 'data-label="work"' in html
    assert "Job" in html
    assert "work-2" not in html
    bob = await browser(mail, BOB)
    assert "Job" not in (await bob.get("/mail/")).text


@pytest.mark.parametrize(
    "row", [("x" * 41, "red"), ("a", 'red" onload="x'), ("a", ""), ("a", "red", "unknown"), ("a", "red", "bad keyword")]
)
async def test_what_no_form_of_ours_says_is_refused(mail, row):
    assert (await keep(await browser(mail), row)).status_code == 400


async def test_there_are_not_too_many(mail):
    ann = await browser(mail)
    assert (await keep(ann, *[(f"l{n}", "red") for n in range(MOST)])).status_code == 303
    assert f'name="name-{MOST}"' not in (await ann.get("/mail/labels")).text
    assert (await keep(ann, *[(f"l{n}", "red", f"l{n}") for n in range(MOST)], ("more", "red"))).status_code == 400
    longest = [("ữ" * 40, COLOURS[0])] * MOST  # which fit into an entry
    assert (await keep(await browser(mail, BOB), *longest)).status_code == 303


@pytest.mark.parametrize(
    ("name", "taken", "keyword"),
    [
        ("Dự án", (), "du-an"),
        ("a (b) \\ \"c\" %*{", (), "a-b-c"),
        ("日本", (), "label"),
        ("日本", ("label",), "label-2"),
        ("Junk", (), "label-junk"),
        ("NotJunk", (), "label-notjunk"),
        ("!!!", (), "label"),
        ("x" * 40, (), "x" * 30),
    ],
)  # fmt: skip
def test_keywords(name, taken, keyword):
    assert keyword_of(name, taken) == keyword


async def test_what_can_be_undone_is_told_though_the_rest_was_not_done(mail):
    await mail.put(letter("a"))
    ann = await browser(mail)
    response = await ann.post("/mail/act", [{"act": "flag", "items": {mail.box(): [1], "Fff-1": [1]}}])
    told = response.json()
    assert (told["done"], told["trouble"]) == (1, "there is no such mailbox")
    assert told["undo"] == [{"act": "unflag", "items": {mail.box(): [1]}, "to": "", "label": ""}]
