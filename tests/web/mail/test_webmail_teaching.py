"""Moving into Junk and out of it teaches the spam filter, as it does by IMAP."""

from contextlib import AsyncExitStack

import pytest
import trio
from mail_site import ANN, BOB, browser, letter, mail_of

from engine.mailbox.commands import SetAcl
from engine.spam import SERVER
from engine.spam.classify import Count
from engine.web.mail.desk import Desk
from tests.support.site import BASIC


async def learnt(mail, owner, wanted):
    """Whether the filter comes to know so many messages of an owner, and no others."""
    words = mail.site.role.spam.words()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mail.site.context.one(Desk).teaching.run)
        with trio.move_on_after(30):
            while words.messages(owner) != wanted:
                await trio.sleep(0.01)
        with trio.move_on_after(0.1):  # nothing follows
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    return words.messages(owner) == wanted


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


async def act(client, **one):
    response = await client.post("/mail/act", [one])
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("name", "what", "to", "count"),
    [
        ("INBOX", "junk", "", Count(2, 0)),
        ("INBOX", "move", "Junk", Count(2, 0)),
        ("Archive", "junk", "", Count(2, 0)),
        ("Junk", "inbox", "", Count(0, 2)),
        ("Junk", "archive", "", Count(0, 2)),
        ("Junk", "move", "INBOX", Count(0, 2)),
        ("Junk", "trash", "", Count()),
        ("INBOX", "archive", "", Count()),
    ],
)
async def test_what_is_moved_is_learnt(mail, name, what, to, count):
    await mail.put(letter("a", "buy now"), letter("b", "buy later"), name=name)
    ann = await browser(mail)
    items = {mail.box(name): [1, 2]}
    told = await act(ann, act=what, items=items, to=mail.box(to) if to else "")
    assert told["done"] == 2
    assert await learnt(mail, mail.id(), count)


async def test_what_is_undone_is_learnt_anew(mail):
    await mail.put(letter("a", "no spam at all"))
    ann = await browser(mail)
    told = await act(ann, act="junk", items={mail.box(): [1]})
    assert await learnt(mail, mail.id(), Count(1, 0))
    await ann.post("/mail/act", told["undo"])
    assert await learnt(mail, mail.id(), Count(0, 1))


async def test_keywords_that_say_it_are_learnt(mail):
    await mail.put(letter("a"), letter("b"))
    ann = await browser(mail)
    await act(ann, act="label", items={mail.box(): [1]}, label="$Junk")
    await act(ann, act="label", items={mail.box(): [2]}, label="$NotJunk")
    await act(ann, act="unlabel", items={mail.box(): [1]}, label="$Junk")
    assert await learnt(mail, mail.id(), Count(1, 1))


async def test_others_mail_is_not_ones_own_to_judge(mail):
    await mail.put(letter("a"), address=BOB)
    command = SetAcl(
        account=mail.id(BOB), mailbox=mail.number(address=BOB), identifier=ANN, rights="lrswite", grantee=mail.id(),
        owner=BOB,
    )  # fmt: skip
    await mail.owner.change(command)
    ann = await browser(mail)
    assert (await act(ann, act="junk", items={mail.box(address=BOB): [1]}))["done"] == 1
    assert await learnt(mail, mail.id(), Count())
    assert await learnt(mail, mail.id(BOB), Count())


async def test_for_whom_it_is_learnt_is_set(tmp_path):
    async with mail_of(tmp_path, BASIC + '[mailboxes]\nlearn_junk = "server"\n') as mail:
        await mail.put(letter("a"))
        ann = await browser(mail)
        await act(ann, act="junk", items={mail.box(): [1]})
        assert await learnt(mail, SERVER, Count(1, 0))
        assert await learnt(mail, mail.id(), Count(1, 0))
