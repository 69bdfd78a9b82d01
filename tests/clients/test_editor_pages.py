"""The pipeline and its configuration in the pages, as people use them: a real server, real Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.pages import Look, enter, faults, in_each_look, shot, sign_in, site, unfold, visit
from tests.support.programs import needs
from tests.support.server import Postroad, letter, until

pytestmark = pytest.mark.client

ANN = "ann@example.org"
BOSS, CARL = "boss@firm.example", "carl@firm.example"
MARK = '''
"""Leaves the subject as a fact."""
from engine import Message

async def mark(message: Message) -> Message:
    return message.with_fact("mark.subject", message.header("Subject"))
'''


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings = {
        "listen": {"web": "127.0.0.1:0"},
        "domains": {"local": ["example.org", "firm.example"]},
        "lane": {"inbound": {"stages": ["accept", "mark", "queue", "route"]}},
        "stage": {"mark": {"use": "filters/mark.py"}, "resolve": {"smart_host": "127.0.0.1:9"}},
        "shaping": {"file": "shaping.toml"},
    }
    (tmp_path / "shaping.toml").write_text("[default]\nconnections = 3\n")
    server = Postroad(tmp_path, settings, mark=MARK).account(ANN, BOSS, CARL)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    assert server.command("account", "role", "add", BOSS, "administrator@firm.example").returncode == 0
    with server:
        yield server


def passing(page: Page) -> None:
    """Until the tap is there."""
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#messages")).to_have_attribute("aria-busy", "false")


def test_one_chooses_a_link_sees_mail_pass_and_asks_for_its_whole_way(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page, visit(browser) as other:
        sign_in(page, server, ANN, path="/admin/pipeline")
        expect(page.locator("#live")).to_have_text("live")
        link = page.locator('#picture a[href$="inbound%2Fmark"]')
        link.focus()
        server.send(letter("to be drawn"), ANN)
        expect(page.locator("#picture")).to_contain_text(re.compile(r"changed \d+ %"))
        assert (
            page.evaluate("document.activeElement.getAttribute('href')") == "/admin/pipeline/link?name=inbound%2Fmark"
        )
        shot(page, "pipeline-links")
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/pipeline/link?*")
        passing(page)

        sign_in(other, server, BOSS, path="/admin/pipeline/link?name=inbound%2Fmark")
        passing(other)
        server.send(letter("for Ann"), ANN)
        server.send(letter("for Carl"), CARL)
        expect(page.locator("#messages tbody tr")).to_have_count(2)
        expect(page.locator("#messages")).to_contain_text("mark.subject = for Ann")
        expect(other.locator("#messages tbody tr")).to_have_count(1)
        expect(other.locator("#messages")).to_contain_text("mark.subject = for Carl")
        assert other.get_by_text(ANN).count() == 0
        expect(page.locator("#count")).to_have_text("2 shown of 2 that passed, 0 too many at a time")
        shot(page, "passing")

        page.get_by_label("Only messages for which this holds").fill('recipient == "nobody@example.org"')
        page.get_by_role("button", name="Look on").click()
        passing(page)
        page.get_by_role("button", name="Pause").click()
        server.wait_for("web-tap-ended", by=ANN)
        page.go_back()
        passing(page)
        server.send(letter("to be explained"), ANN)
        page.locator("#messages tbody").get_by_role("link").first.click()

        def is_told() -> bool:
            page.reload()
            return page.get_by_text("accepted in the lane inbound").count() > 0

        until(is_told, "the history to have it")
    opened = server.all("web-tap-opened", link="inbound/mark")
    assert {event["by"] for event in opened} == {ANN, BOSS}
    until(lambda: len(server.all("tap-ended")) == len(server.all("tap-opened")), "the end of all taps")


def text_of(page: Page) -> str:
    return page.locator("#text").input_value()


def test_the_configuration_is_edited_reviewed_tried_put_in_force_and_taken_back(
    server: Postroad,
    browser: Browser,
) -> None:
    server.send(letter("waits"), "far@far.test", sender=ANN)
    server.send(letter("is there"), ANN)
    server.mail_for(ANN)
    server.send(letter("is there again"), ANN)
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/configuration")
        shot(page, "configuration")
        page.get_by_role("link", name="pipeline.toml").click()
        expect(page.locator("#state")).to_have_text("no mistakes")
        before = text_of(page)
        editor = page.get_by_label("Text of pipeline.toml")
        editor.fill(before.replace("[stage.mark]", '[stage.mark]\nwehn = "size > 5"'))
        expect(page.locator("#state")).to_have_text("mistakes")
        expect(page.get_by_text("did you mean when?")).to_be_visible()
        marked = page.locator("#gutter .bad")
        expect(marked).to_have_count(1)
        line = int(marked.inner_text().strip("✕ \n"))
        page.get_by_role("button", name=f"line {line}").click()
        assert page.evaluate("[text.selectionStart, text.selectionEnd]") != [0, 0]
        shot(page, "editor-mistake")

        editor.fill(before.replace("[stage.mark]", '[stage.mark]\nwhen = "size > 50000"'))
        expect(page.locator("#state")).to_have_text("no mistakes")
        expect(marked).to_have_count(0)
        page.get_by_role("button", name="Review").click()
        expect(page.get_by_text('+when = "size > 50000"')).to_be_visible()
        expect(page.get_by_text("Stages, changed")).to_be_visible()
        page.get_by_label("Which messages").select_option("mailbox")
        page.get_by_label("Ask nobody else, such as the DNS").check()
        page.get_by_role("button", name="Try", exact=True).click()
        expect(page.get_by_text(re.compile("messages? w(as|ere) tried"))).to_be_visible()
        expect(page.locator("#tried")).to_contain_text("mark.subject")
        page.get_by_label("Which messages").select_option("file")
        kept = letter("from a file").replace(b"somebody", ANN.encode())
        page.locator("input[type=file]").set_input_files(
            {"name": "a.eml", "mimeType": "message/rfc822", "buffer": kept}
        )
        page.get_by_role("button", name="Try", exact=True).click()
        expect(page.get_by_text("1 message was tried")).to_be_visible()
        expect(page.locator("#tried")).to_contain_text("from a file")
        shot(page, "editor-review")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("Revision 2 is in force.").first).to_be_visible()
        assert 'when = "size > 50000"' in server.config.read_text()

        page.get_by_role("link", name="1", exact=True).click()
        expect(page.get_by_text('-when = "size > 50000"')).to_be_visible()
        shot(page, "revision")
        page.get_by_role("button", name="Go back to it").click()
        expect(page.get_by_text("Revision 1 is in force.").first).to_be_visible()
        assert server.config.read_text() == before
    until(lambda: len(server.all("web-configuration-changed", by=ANN)) >= 4, "each to be told")
    done = [event["what"] for event in server.all("web-configuration-changed", by=ANN)]
    assert done == ["tried", "tried", "applied", "back"]


def test_somebody_else_edits_meanwhile_and_a_trial_is_begun_and_ended(server: Postroad, browser: Browser) -> None:
    with visit(browser, expected="status of 409") as page:
        sign_in(page, server, ANN, path="/admin/configuration/file?name=shaping.toml")
        page.get_by_label("Text of shaping.toml").fill("[default]\nconnections = 7\n")
        page.get_by_role("button", name="Review").click()
        (server.folder / "shaping.toml").write_text("[default]\nconnections = 5\n")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_text("was changed meanwhile")).to_be_visible()
        assert "connections = 5" in (server.folder / "shaping.toml").read_text()

        page.goto(site(server, "/admin/configuration/file?name=pipeline.toml"))
        text = text_of(page)
        page.locator("#text").fill(text + '\n[queue]\nexpire = "3d"\n')
        page.get_by_role("button", name="Review").click()
        page.get_by_label(re.compile("Try it first")).fill("20")
        page.get_by_role("button", name="Put in force").click()
        expect(page.get_by_role("heading", name=re.compile("is on trial"))).to_be_visible()
        shot(page, "trial")
        page.get_by_role("button", name="End the trial").click()
        expect(page.get_by_text("The trial is over")).to_be_visible()
        assert server.config.read_text() == text


PAGES = (
    "/admin/pipeline", "/admin/pipeline/link?name=inbound/mark", "/admin/configuration",
    "/admin/configuration/file?name=pipeline.toml", "/admin/configuration/file?name=filters/mark.py",
    "/admin/configuration/revision?number=1",
)  # fmt: skip


@in_each_look
@needs("node", "npm")
def test_axe_finds_nothing(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    with visit(browser, **look.options) as page:
        enter(page, server, ANN)
        found = {}
        for path in (*PAGES, "review"):
            if path == "review":
                page.goto(site(server, "/admin/configuration/file?name=pipeline.toml"))
                page.locator("#text").fill(text_of(page) + '\n[lane.lonely]\nstages = ["enqueue"]\n')
                page.locator("#editor button").click()
            else:
                page.goto(site(server, path))
            unfold(page)
            if problems := faults(page, axe):
                found[path] = problems
            place = re.sub(r"\W+", "-", path)
            shot(page, f"editor-{look}-{place}")
    assert found == {}
