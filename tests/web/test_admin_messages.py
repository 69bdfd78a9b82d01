"""The way of a message in the pages: by an id, a Message-ID or an address; what strangers wrote is text."""

import time
from contextlib import closing

import pytest

from engine.history.entries import Arrived, Attempted, Outcome
from engine.history.shelf import FOLDER, Shelf, Terms
from engine.message import MessageId
from engine.operations.queue import listed
from engine.queue.search import Selection
from tests.support.queued import fill
from tests.support.site import ADMIN, BASIC, OWNER, site_of

BOB = "bob@example.org"
EVIL = "<script>alert(1)</script>\u202e\x1b[31m"


def noted(data, sender: str, *, number: int = 1, reply: str = "") -> MessageId:
    """A message that came and was given up, with all that is told of it."""
    now = time.time() - 60 + number
    identity = MessageId.new(now)
    header = f"<{number}@example.net>"
    came = Arrived(identity, now, now - 1, "accepted", "inbound", 1, sender, (BOB,), 100, header)
    outcome = Outcome(BOB, "failed", code="5.0.0", text="No", reply=reply)
    ended = Attempted(identity, now + 2, now + 1, 1, 1, sender, (), (outcome,), "", 0.0)
    with closing(Shelf(data / FOLDER, f"mail-{number}", Terms(3600, 10**8, 0))) as shelf:
        shelf.put([came, ended])
    return identity


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        found.staff()
        yield found


async def asked(site, which: str, who: str = OWNER) -> str:
    response = await site.known(who).get("/admin/message", params={"q": which})
    assert response.status_code == 200
    return response.text


async def test_by_its_id_its_message_id_and_an_address(site):
    identity = noted(site.role.data, "ann@example.net")
    for which in (str(identity), "<1@example.net>", "1@example.net", BOB, "ann@example.net"):
        text = await asked(site, which)
        assert "accepted in the lane inbound" in text, which
        assert f"{BOB}: failed 5.0.0 No" in text
        assert "Next: nothing, it is done with." in text
    assert "Neither the history nor the queue" in await asked(site, "nobody@example.net")
    assert "Neither the history nor the queue" in await asked(site, str(MessageId.new(time.time())))
    assert "Neither the history nor the queue" not in await asked(site, "")


async def test_of_several_there_is_a_list(site):
    ids = [noted(site.role.data, "ann@example.net", number=number) for number in (1, 2)]
    text = await asked(site, BOB)
    assert all(f"q={identity}" in text for identity in ids)
    assert text.index(str(ids[1])) < text.index(str(ids[0]))


async def test_what_strangers_wrote_is_text(site):
    identity = noted(site.role.data, EVIL, reply=EVIL)
    text = await asked(site, str(identity)) + await asked(site, BOB) + await asked(site, EVIL)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\u202e" not in (await asked(site, str(identity)))
    assert "\x1b" not in (await asked(site, str(identity)))


async def test_one_that_waits_can_be_acted_on(site):
    fill(site.role.data, 20, shards=1)
    (row,) = listed(site.context.config, Selection.told(['state == "waiting"'], time.time()), limit=1)
    text = await asked(site, str(row.id))
    assert 'name="order" value="retry"' in text
    assert "how it came is not known" in text


async def test_an_administrator_knows_of_the_mail_of_a_domain_alone(site):
    site.directory.add_domain("two.example")
    site.account("boss@two.example", "administrator@two.example", password=None)
    identity = noted(site.role.data, "ann@two.example")
    fill(site.role.data, 20, shards=1)
    row = next(iter(listed(site.context.config, Selection.told([], time.time()))))
    for which in (str(identity), "<1@example.net>", BOB, "ann@two.example", str(row.id)):
        assert "Neither the history nor the queue" in await asked(site, which, "boss@two.example"), which
    assert "accepted in the lane inbound" in await asked(site, str(identity), ADMIN)
    assert "accepted in the lane inbound" in await asked(site, BOB, ADMIN)
    assert "Neither the history nor the queue" in await asked(site, str(row.id), ADMIN)


async def test_it_is_not_for_the_helpdesk(site):
    site.directory.set_roles(ADMIN, ["helpdesk@example.org"], ["administrator@example.org"])
    assert (await site.known(ADMIN).get("/admin/message")).status_code == 403
