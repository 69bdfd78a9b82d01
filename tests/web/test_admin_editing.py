"""The configuration in the pages: who may, what is said of an edit, and that no code comes in by it."""

import base64
import json
import re

import pytest

from engine.operations import editing
from engine.operations.editing import Edit
from engine.operations.impossible import Impossible, Missing
from engine.revisions import IN_FORCE, Archive
from tests.support.site import ADMIN, BASIC, OWNER, csrf, posted, site_of

TEXT = (
    BASIC.replace('web = "127.0.0.1:0"', 'web = "127.0.0.1:0"\nmetrics = "127.0.0.1:0"').replace(
        '"queue", "route"]', '"mark", "queue", "route"]'
    )
    + """
[stage.mark]
use = "filters/mark.py"

[shaping]
file = "shaping.toml"

[metrics]
token_file = "secret.token"
"""
)
MARK = '''
"""Marks, and leaves a trace where it was loaded."""
from pathlib import Path
from engine import Message

Path(__file__).with_name("LOADED").touch()

async def mark(message: Message) -> Message:
    return message
'''
PATHS = (
    "/admin/configuration", "/admin/configuration/file?name=pipeline.toml", "/admin/configuration/revision?number=1",
)  # fmt: skip
POSTS = tuple(f"/admin/configuration/{name}" for name in ("check", "review", "edit", "try", "apply", "back", "trial"))


def write(folder, text: str = TEXT) -> None:
    (folder / "pipeline.toml").write_text(text)
    (folder / "filters").mkdir(exist_ok=True)
    (folder / "filters" / "mark.py").write_text(MARK)
    (folder / "shaping.toml").write_text("[default]\nconnections = 3\n")
    (folder / "secret.token").write_text("the secret\n")


@pytest.fixture
async def site(tmp_path):
    write(tmp_path)
    async with site_of(tmp_path, TEXT) as found:
        found.staff()
        yield found


@pytest.fixture
async def with_code(tmp_path):
    text = TEXT + "\n[web]\nedit_code = true\n"
    write(tmp_path, text)
    async with site_of(tmp_path, text) as found:
        found.account(OWNER, "owner", password=None)
        yield found


@pytest.fixture
async def with_code_elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with-code")
    text = TEXT + "\n[web]\nedit_code = true\n"
    write(folder, text)
    async with site_of(folder, text) as found:
        found.account(OWNER, "owner", password=None)
        yield found


async def checked(site, text: str, name: str = "pipeline.toml", who: str = OWNER):
    """What is said of a text as one types it."""
    browser = site.known(who)
    token = csrf(await browser.get("/account"))
    return await browser.post(
        "/admin/configuration/check", content=json.dumps({"name": name, "text": text}),
        headers={"x-csrf-token": token, "accept": "application/json"},
    )  # fmt: skip


async def sent(site, path: str, who: str = OWNER, **values):
    return await posted(site.known(who), f"/admin/configuration/{path}", **values)


def line(text: str, what: str) -> int:
    return text[: text.index(what)].count("\n") + 1


async def test_it_is_for_owners_alone(site):
    for path in PATHS:
        assert (await site.known(ADMIN).get(path)).status_code == 403, path
    browser = site.known(ADMIN)
    token = csrf(await browser.get("/account"))
    for path in POSTS:
        answer = await browser.post(path, data={"csrf": token, "name": "pipeline.toml", "text": "x", "number": "1"})
        assert answer.status_code == 403, path
        assert (await site.known(OWNER).post(path, data={"name": "pipeline.toml"})).status_code == 403, path


async def test_what_can_be_read_and_what_can_be_edited(site):
    text = (await site.known(OWNER).get("/admin/configuration")).text
    for name, words in (
        ("pipeline.toml", "can be edited"), ("shaping.toml", "can be edited"), ("filters/mark.py", "can be read"),
    ):  # fmt: skip
        row = re.search(rf"<tr><th[^>]*><a[^>]*>{re.escape(name)}</a></th>\s*<td[^>]*>([^<]*)", text)
        assert row, name
        assert words in row[1], name
    assert "secret" not in text
    for name in ("secret.token", "../pipeline.toml", "/etc/passwd", ""):
        assert (await site.known(OWNER).get("/admin/configuration/file", params={"name": name})).status_code == 404
    code = (await site.known(OWNER).get("/admin/configuration/file", params={"name": "filters/mark.py"})).text
    assert "async def mark" in code
    assert " readonly" in code


async def test_a_mistake_has_its_line_and_what_was_meant(site):
    wrong = TEXT.replace('lane = "local"', 'lane = "lokal"') + "\n[queue]\nin_flihgt = 3\n"
    told = (await checked(site, wrong)).json()
    assert told["bad"] == sorted([line(wrong, 'lane = "lokal"'), line(wrong, "in_flihgt")])
    assert "did you mean local?" in told["html"]
    assert "did you mean in_flight?" in told["html"]
    good = (await checked(site, TEXT)).json()
    assert good["bad"] == []
    assert "It is the same." in good["html"]
    assert (await checked(site, "[lane\n")).json()["bad"] == [1]


async def test_what_is_hardly_meant_is_a_warning(site):
    text = TEXT + '\n[lane.lonely]\nstages = ["enqueue"]\n'
    told = (await checked(site, text)).json()
    assert told["bad"] == []
    assert line(text, "[lane.lonely]") in told["warn"]
    assert "nothing leads here" in told["html"]


async def test_another_file_is_checked_together_with_the_whole(site):
    told = (await checked(site, "[default]\nconections = 3\n", "shaping.toml")).json()
    assert told["bad"] == [2]
    assert "did you mean connections?" in told["html"]


async def test_a_mistake_elsewhere_marks_no_line_here(site, tmp_path):
    (tmp_path / "shaping.toml").write_text("[default]\nconections = 3\n")
    told = (await checked(site, TEXT)).json()
    assert told["bad"] == []
    assert "shaping.toml:2" in told["html"]


NEW_CODE = (
    '\n[stage.other]\nuse = "filters/other.py"\n',
    '\n[stage.other]\nuse = "os:system"\n',
    '\n[stage.other]\ncommand = ["/bin/sh"]\n',
    '\n[web]\nedit_code = true\n',
    '\n[log]\nfile = "/home/somebody/.profile"\n',
)  # fmt: skip


@pytest.mark.parametrize("change", NEW_CODE, ids=["file", "module", "command", "setting", "log"])
async def test_no_code_comes_in_and_none_is_run(site, tmp_path, change):
    (tmp_path / "filters" / "other.py").write_text(MARK.replace("LOADED", "OTHER").replace("def mark", "def other"))
    text = TEXT.replace('"mark", "queue"', '"mark", "other", "queue"') + change
    told = (await checked(site, text)).json()
    assert "only who may write the file" in told["html"]
    assert told["bad"] == [line(text, change.strip().splitlines()[1])]
    assert (await sent(site, "review", name="pipeline.toml", text=text, digest="x")).status_code == 422
    with pytest.raises(Impossible, match="mistakes"):
        editing.put_in_force(site.context.config, Edit("pipeline.toml", text), "x", OWNER)
    assert not (tmp_path / "filters" / "OTHER").exists()
    assert (tmp_path / "pipeline.toml").read_text() == TEXT


async def test_code_that_was_edited_on_the_machine_is_not_run_before_it_is_in_force(site, tmp_path):
    (tmp_path / "filters" / "mark.py").write_text(MARK.replace("LOADED", "EDITED"))
    assert (await checked(site, TEXT + '\n[queue]\nexpire = "3d"\n')).json()["bad"] == []
    assert not (tmp_path / "filters" / "EDITED").exists()
    text = (await site.known(OWNER).get("/admin/configuration")).text
    assert "say something else than what is in force" in text
    assert "filters/mark.py" in text


async def test_code_cannot_be_edited_unless_a_setting_allows_it(site):
    with pytest.raises(Impossible, match="cannot be edited"):
        editing.put_in_force(site.context.config, Edit("filters/mark.py", MARK), "x", OWNER)
    response = await sent(site, "apply", name="filters/mark.py", text=MARK, digest="x")
    assert response.status_code == 409


async def tried(site, name: str, text: str):
    """What trying an edit on a letter says; something is in force, so it could be tried."""
    archive = Archive(site.role.data)
    archive.settle(archive.take(site.context.config.text, {}), IN_FORCE)
    browser = site.known(OWNER)
    token = csrf(await browser.get("/account"))
    letters = base64.b64encode(b"From: a@example.net\r\nTo: b@example.org\r\n\r\nx\r\n").decode()
    return await browser.post(
        "/admin/configuration/try",
        content=json.dumps({"name": name, "text": text, "source": "file", "offline": True, "letters": letters}),
        headers={"x-csrf-token": token, "accept": "application/json"},
    )  # fmt: skip


async def test_to_try_edited_code_is_to_run_it_and_so_it_is_refused_too(site, with_code_elsewhere, tmp_path):
    answer = await tried(site, "filters/mark.py", MARK.replace("LOADED", "TRIED"))
    assert answer.status_code == 409
    assert "edit_code" in answer.text
    assert not (tmp_path / "filters" / "TRIED").exists()
    folder = with_code_elsewhere.context.config.path.parent
    answer = await tried(with_code_elsewhere, "filters/mark.py", MARK.replace("LOADED", "TRIED"))
    assert answer.status_code == 200
    assert (folder / "filters" / "TRIED").exists()


async def test_where_code_may_be_edited_it_is_read_and_not_run(with_code, tmp_path):
    told = (await checked(with_code, "import os\nasync def mark(message:\n", "filters/mark.py")).json()
    assert told["bad"] == [2]
    (tmp_path / "filters" / "LOADED").unlink()
    told = (await checked(with_code, MARK.replace("LOADED", "NEW"), "filters/mark.py")).json()
    assert told["bad"] == []
    assert not (tmp_path / "filters" / "NEW").exists()
    assert "runs with each message" in (
        await with_code.known(OWNER).get("/admin/configuration/file", params={"name": "filters/mark.py"})
    ).text  # fmt: skip


async def test_where_it_is_allowed_that_is_a_warning_and_can_be_taken_away(with_code):
    allowed = (await checked(with_code, with_code.context.config.text)).json()
    assert "gets hold of an owner&#39;s session" in allowed["html"]
    assert (await checked(with_code, TEXT)).json()["bad"] == []


async def test_a_review_says_what_changes(site):
    text = TEXT.replace('"mark", "queue"', '"queue"').replace('[stage.mark]\nuse = "filters/mark.py"\n', "")
    response = await sent(site, "review", name="pipeline.toml", text=text.replace("\n", "\r\n"), digest="x")
    assert response.status_code == 200
    assert "Stages, gone" in response.text
    assert 'class="del">-use = &#34;filters/mark.py&#34;' in response.text
    assert "\r" not in response.text
    assert "Try it on mail" in response.text
    further = await sent(site, "edit", name="pipeline.toml", text=text, digest="abc")
    assert 'value="abc"' in further.text
    assert "filters/mark.py" not in re.search(r"<textarea.*?</textarea>", further.text, re.DOTALL)[0]


async def test_with_mistakes_one_is_back_in_the_editor(site):
    response = await sent(site, "review", name="pipeline.toml", text=TEXT + "\n[nonsense]\n", digest="x")
    assert response.status_code == 422
    assert "unknown table" in response.text
    assert "[nonsense]" in re.search(r"<textarea.*?</textarea>", response.text, re.DOTALL)[0]


async def test_what_was_changed_meanwhile_is_not_overwritten(site, tmp_path):
    digest = editing.read(editing.file_of(site.context.config, "pipeline.toml")).digest
    (tmp_path / "pipeline.toml").write_text(TEXT + "# somebody was here\n")
    response = await sent(site, "apply", name="pipeline.toml", text=TEXT, digest=digest)
    assert response.status_code == 409
    assert "was changed meanwhile" in response.text
    assert "somebody was here" in (tmp_path / "pipeline.toml").read_text()


async def test_without_a_server_nothing_is_put_in_force_and_nothing_written(site, tmp_path):
    digest = editing.read(editing.file_of(site.context.config, "pipeline.toml")).digest
    response = await sent(site, "apply", name="pipeline.toml", text=TEXT + "# new\n", digest=digest)
    assert response.status_code == 404  # there is no revision, so no server ever ran
    assert (tmp_path / "pipeline.toml").read_text() == TEXT


async def test_a_link_that_leads_out_is_not_followed_to_be_written(tmp_path):
    write(tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.toml"
    elsewhere.write_text("[default]\nconnections = 3\n")
    (tmp_path / "shaping.toml").unlink()
    (tmp_path / "shaping.toml").symlink_to(elsewhere)
    async with site_of(tmp_path, TEXT) as found:
        assert editing.file_of(found.context.config, "shaping.toml").hindrance == "outside"
        with pytest.raises(Missing):
            editing.file_of(found.context.config, str(elsewhere))


async def test_what_is_typed_stays_text(site):
    evil = '# <script>alert(1)</script>\n[stage."<img src=x onerror=alert(1)>"]\n' + TEXT
    told = (await checked(site, evil)).json()
    assert "<script>alert" not in told["html"]
    assert "<img src=x" not in told["html"]
    response = await sent(site, "review", name="pipeline.toml", text=evil, digest="x")
    assert "<script>alert" not in response.text


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no", b'{"name": 3, "text": ""}', b'{"name": "x"}'])
async def test_nonsense_is_refused(site, body):
    browser = site.known(OWNER)
    token = csrf(await browser.get("/account"))
    headers = {"x-csrf-token": token, "accept": "application/json"}
    for path in ("check", "try"):
        answer = await browser.post(f"/admin/configuration/{path}", content=body, headers=headers)
        assert answer.status_code == 400


async def test_a_text_that_is_too_large_is_refused(site):
    assert (await checked(site, "#" * (editing.LARGEST + 1))).status_code == 400
    whole = TEXT + "#" * 200_000
    assert (await sent(site, "review", name="pipeline.toml", text=whole, digest="x")).status_code == 200


async def test_no_revision_is_there_yet(site):
    assert "No revision is kept yet." in (await site.known(OWNER).get("/admin/configuration")).text
    for number in ("1", "x", "", "9" * 40):
        answer = await site.known(OWNER).get("/admin/configuration/revision", params={"number": number})
        assert answer.status_code == 404
    assert (await sent(site, "back", number="1")).status_code == 404
    assert (await sent(site, "trial", what="nothing")).status_code == 400


async def test_in_vietnamese(site):
    text = (await site.known(OWNER, language="vi").get("/admin/configuration/file?name=pipeline.toml")).text
    assert "Xem lại" in text
    assert "Khác biệt so với cấu hình đang có hiệu lực" in text
