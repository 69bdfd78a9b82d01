"""What is done with messages, and undone."""

from contextlib import AsyncExitStack

import pytest
from mail_site import browser, letter, mail_of

from engine.mailbox.flags import FLAGGED, SEEN


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


async def done(client, *acts):
    response = await client.post("/mail/act", list(acts))
    assert response.status_code == 200, response.text
    return response.json()


async def test_only_what_has_changed_is_undone(mail):
    await mail.put(letter("a"), letter("b"))
    await mail.put(letter("c"), flags=SEEN)
    ann = await browser(mail)
    told = await done(ann, {"act": "seen", "items": {mail.box(): [1, 2, 3, 99]}})
    assert told["done"] == 2
    assert mail.flags() == [SEEN, SEEN, SEEN]
    await done(ann, *told["undo"])
    assert mail.flags() == [0, 0, SEEN]


async def test_a_star_comes_and_goes(mail):
    await mail.put(letter("a"))
    ann = await browser(mail)
    told = await done(ann, {"act": "flag", "items": {mail.box(): [1]}})
    assert mail.flags() == [FLAGGED]
    await done(ann, *told["undo"])
    assert mail.flags() == [0]


@pytest.mark.parametrize(("act", "name"), [("archive", "Archive"), ("junk", "Junk"), ("trash", "Trash")])
async def test_what_goes_away_comes_back(mail, act, name):
    await mail.put(letter("a"), letter("b"))
    ann = await browser(mail)
    told = await done(ann, {"act": act, "items": {mail.box(): [1, 2]}})
    assert told["done"] == 2
    assert (mail.uids(), len(mail.uids(name))) == ([], 2)
    await done(ann, *told["undo"])
    assert (len(mail.uids()), mail.uids(name)) == (2, [])


async def test_what_is_deleted_for_good_is_gone(mail):
    await mail.put(letter("a"), name="Trash")
    ann = await browser(mail)
    told = await done(ann, {"act": "expunge", "items": {mail.box("Trash"): [1]}})
    assert told == {"done": 1, "undo": [], "trouble": ""}
    assert mail.uids("Trash") == []


async def test_all_of_a_mailbox_is_acted_on_and_undone(mail):
    await mail.put(*[letter(f"n{number}") for number in range(120)])
    ann = await browser(mail)
    uids = (await ann.get(f"/mail/everything/{mail.box()}")).json()["uids"]
    assert uids == list(range(120, 0, -1))
    told = await done(ann, {"act": "archive", "items": {mail.box(): uids}})
    assert (told["done"], mail.uids(), len(mail.uids("Archive"))) == (120, [], 120)
    await done(ann, *told["undo"])
    assert (len(mail.uids()), mail.uids("Archive")) == (120, [])


async def test_mailboxes_are_made_renamed_and_deleted(mail):
    ann = await browser(mail)
    assert (await ann.post("/mail/boxes", {"name": "Dự án/2026"})).status_code == 200
    assert "Dự án" in (await ann.get("/mail/folders")).text
    assert (await ann.post("/mail/boxes", {"name": "Dự án/2026"})).status_code == 409
    assert (await ann.post("/mail/boxes", {"name": "Dự án/2026", "to": "Old"})).status_code == 200
    await mail.put(letter("a"))
    told = await done(ann, {"act": "move", "items": {mail.box(): [1]}, "to": mail.box("Old")})
    assert told["done"] == 1
    assert (await ann.post("/mail/boxes", {"name": "Old"}, "DELETE")).status_code == 200
    for name in ("", "a//b", "Other Users/x", "x" * 500, "a\nb"):
        assert (await ann.post("/mail/boxes", {"name": name})).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"act": "explode", "items": {}}]',
        b'[{"act": "seen", "items": {}, "more": 1}]',
        b'[{"act": "label", "items": {"%s": [1]}, "label": "two words"}]',
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(mail, body):
    await mail.put(letter("a"))
    ann = await browser(mail)
    assert (await ann.post("/mail/act", body.replace(b"%s", mail.box().encode()))).status_code == 400


async def test_nothing_is_done_without_the_token_of_the_page(mail):
    await mail.put(letter("a"))
    ann = await browser(mail)
    ann.token = "0" * 32
    acts = [{"act": "trash", "items": {mail.box(): [1]}}]
    names = ("boxes", "draft", "send", "upload", "unsend")
    for address, value in (("/mail/act", acts), *((f"/mail/{name}", {}) for name in names)):
        assert (await ann.post(address, value)).status_code == 403
    assert mail.uids() == [1]
