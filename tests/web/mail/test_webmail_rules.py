"""Rules and answers of the form as Sieve scripts, which are in force beside those that people write by hand."""

from contextlib import AsyncExitStack

import pytest
from mail_site import browser, mail_of

from engine.mailbox.commands import ActivateScript, PutScript
from engine.sieve import FileInto, Reply, compile_script
from engine.web.mail import rules
from engine.web.mail.rules import Away, Rule, Rules
from tests.sieve.cases import letter
from tests.sieve.trying import outcome

WHOLE = Rules(
    (
        Rule("from", 'boss"; discard; "\\', "Dự án/Sếp", read=True),
        Rule("subject", 'urgent\r\nredirect "eve@elsewhere.test";', flag=True),
        Rule("list", "news", "Archive"),
        Rule("to", "${env.x}"),
    ),
    Away(True, "Đi vắng", 'Back on "Monday".\n.\nAnn', "2026-12-01", "2026-12-24"),
)


@pytest.fixture
async def mail(tmp_path):
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(mail_of(tmp_path))


@pytest.mark.parametrize("said", [Rules(), WHOLE, Rules(away=Away(True, text="x")), Rules(WHOLE.rules[:1])])
def test_the_script_holds_what_the_form_said_and_nothing_more(said):
    octets = rules.written(said)
    compile_script(octets)
    assert rules.read(octets) == said
    outside = [line for line in octets.decode().split("\r\n")[1:] if line.strip().startswith(("discard", "redirect"))]
    assert [line for line in outside if not line.strip().startswith('redirect \\"')] == []


def test_what_a_rule_moves_is_answered_as_well():
    said = Rules((Rule("subject", "Lunch", "Archive"),), Away(True, text="I am at sea."))
    fields = ("From: you@example.net", "To: me@example.org", "Subject: Lunch?")
    found = outcome(rules.written(said).decode(), letter(*fields), sender="you@example.net", recipient="me@example.org")
    assert not found.error
    replies = [action for action in found.actions if isinstance(action, Reply)]
    assert [reply.recipient for reply in replies] == ["you@example.net"]
    assert [action.folder for action in found.actions if isinstance(action, FileInto)] == ["Archive"]


@pytest.mark.parametrize(
    "wrong",
    [
        Rules(tuple([Rule("from", "x")] * 51)),
        Rules((Rule("from", ""),)),
        Rules((Rule("from", "x" * 301),)),
        Rules(away=Away(True)),
        Rules(away=Away(True, text="x", since="2026-02-30")),
        Rules(away=Away(True, text="x", since="2026-03-02", until="2026-03-01")),
        Rules(away=Away(True, text="x" * 10_001)),
    ],
)
def test_what_makes_no_sense(wrong):
    with pytest.raises(ValueError):
        rules.checked(wrong)


def test_a_script_of_others_is_none_of_ours():
    assert rules.read(b"keep;\r\n") is None
    assert rules.read(b"# postroad webmail {}x\r\n") is None


async def test_the_form_is_kept_and_in_force(mail):
    ann = await browser(mail)
    form = {"csrf": ann.token, "field-0": "from", "text-0": "carl", "into-0": "Archive", "away": "on", "answer": "Bye"}
    assert (await ann.client.post("/mail/rules", data=form)).status_code == 303
    (script,) = mail.owner.reader.scripts(mail.id())
    assert (script.name, script.active) == ("webmail", True)
    html = (await ann.get("/mail/rules")).text
    assert 'value="carl"' in html
    assert ">Bye</textarea>" in html
    assert (await ann.client.post("/mail/rules", data=form | {"field-0": "x"})).status_code == 400


async def test_a_script_that_somebody_wrote_stays_in_force_until_it_is_said_otherwise(mail):
    await mail.owner.change(PutScript(account=mail.id(), name="mine", content=b"keep;\r\n", most=9, room=9999))
    await mail.owner.change(ActivateScript(account=mail.id(), name="mine"))
    ann = await browser(mail)
    form = {"csrf": ann.token, "field-0": "from", "text-0": "carl"}
    await ann.client.post("/mail/rules", data=form)
    assert {one.name: one.active for one in mail.owner.reader.scripts(mail.id())} == {"mine": True, "webmail": False}
    assert "Your own script mine is in force" in (await ann.get("/mail/rules")).text
    await ann.client.post("/mail/rules", data=form | {"instead": "on"})
    assert {one.name: one.active for one in mail.owner.reader.scripts(mail.id())} == {"mine": False, "webmail": True}
    assert mail.owner.reader.script(mail.id(), "mine") == b"keep;\r\n"
