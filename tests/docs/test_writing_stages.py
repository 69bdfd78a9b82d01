"""docs/writing-stages.md: every filter on the page loads and runs, and every configuration on it is good."""

import ast
import inspect
import re
import shutil
import textwrap
import tomllib
import typing
from pathlib import Path

import pytest
from doc_pages import ROOT, Block, blocks, code, rows, sections

import engine
from engine import Envelope, Message, MessageId, Recipient, Session
from engine.config import Stage, convert, parse
from engine.message import Octets
from engine.net.names import Hostname
from engine.runtime.roles.mailboxes import MailboxesRole
from engine.runtime.roles.role import Role
from engine.runtime.stages import RunningStage
from engine.stage import HOOKS, load_stage

PAGE = ROOT / "docs" / "writing-stages.md"
FILTERS = [block for block in blocks(PAGE, "python") if block.note != "test"]
TESTS = [block for block in blocks(PAGE, "python") if block.note == "test"]

REST = """
[server]
hostname = "mx.example.org"
[listen]
smtp = "127.0.0.1:0"
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
"""

REQUIRED: dict[str, dict[str, object]] = {
    "members_only": {"list_address": "list@example.org", "members": ["ann@example.net"]},
    "renamed": {"old": "Acme", "new": "Ajax"},
}


def stage_name(block: Block) -> str:
    """The file's name: that of the last function or class, as a file would have it."""
    last = [node for node in ast.parse(block.text).body if hasattr(node, "name")][-1]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last.name).lower()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filters of the page, each in a file of its own, beside those that come along."""
    made = tmp_path_factory.mktemp("operator")
    shutil.copytree(ROOT / "filters", made / "filters")
    for block in FILTERS:
        (made / "filters" / f"{stage_name(block)}.py").write_text(block.text)
    return made


def letter() -> Message:
    envelope = Envelope(
        "bob@example.net",
        (Recipient("list@example.org"), Recipient("cat@example.org")),
        Session(peer="192.0.2.1", helo="client.example.net"),
    )
    return Message(MessageId.new(), envelope, Octets(b"Subject: Hello\r\n\r\nhttps://example.org/\r\n"))


@pytest.mark.parametrize("block", FILTERS, ids=str)
async def test_every_filter_runs(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch, nursery) -> None:
    monkeypatch.chdir(folder)
    name = stage_name(block)
    spec = load_stage(name, f"filters/{name}.py", folder)
    given = REQUIRED.get(name, {})
    assert spec.required == given.keys()
    settings = {key: convert(value, spec.settings[key]) for key, value in given.items()}
    stage = RunningStage(Stage(spec, settings), {Hostname: Hostname("mx.example.org")})
    await nursery.start(stage.run)
    for hook, arguments in zip(HOOKS, ([], ["bob"], ["bob", "cat@example.org"]), strict=True):
        if hook in spec.hooks:
            said = await stage.hook(hook, letter().session, *arguments)
            assert (said is not None) == (hook == "at_sender")
    message = letter()
    verdict = await stage.call(message)
    await stage.close()
    assert not getattr(verdict, "log", "").startswith("the stage "), verdict  # it broke: see RunningStage.failed
    assert isinstance(verdict, typing.get_args(engine.Verdict))


def test_what_the_filters_show_is_what_they_do(folder: Path) -> None:
    """The page speaks of each of these."""
    specs = [load_stage(stage_name(b), f"filters/{stage_name(b)}.py", folder) for b in FILTERS]
    assert any(spec.synchronous for spec in specs)
    assert any(spec.services for spec in specs)
    assert any(spec.hooks == HOOKS for spec in specs)
    assert any(spec.required for spec in specs)


@pytest.mark.parametrize("block", blocks(PAGE, "toml"), ids=str)
def test_every_configuration_is_good(block: Block, folder: Path) -> None:
    shown = tomllib.loads(block.text)
    text = block.text + REST
    if "lane" not in shown:
        text += f'[lane.inbound]\nstages = ["accept", {", ".join(map(repr, shown["stage"]))}, "queue", "route"]\n'
    config = parse(text, folder / "pipeline.toml")
    for name, settings in shown["stage"].items():
        assert config.stages[name].spec.use == settings["use"]


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_the_test_of_a_filter_passes(block: Block) -> None:
    space: dict[str, typing.Any] = {}
    exec(compile(block.text, str(block), "exec"), space)  # the page's own code
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_every_verdict_is_in_the_table() -> None:
    told = " ".join(cells[0] for cells in rows(sections(PAGE)["Verdicts"]))
    for kind in typing.get_args(engine.Verdict):
        if kind is not Message:
            assert re.search(rf"`{kind.__name__}\(", told), kind.__name__


def test_every_fact_of_a_session_is_named() -> None:
    told = next(cells[1] for cells in rows(PAGE.read_text()) if cells[0] == "`message.session`")
    assert set(re.findall(r"`(\w+)`", told)) == set(Session.__struct_fields__)


def test_every_member_of_a_message_is_named_that_a_filter_may_use() -> None:
    text = PAGE.read_text()
    for name in (name for name in vars(Message) if not name.startswith("_") and name != "content"):
        assert f"message.{name}" in text or name == "with_facts", name


def test_every_service_is_named() -> None:
    """Each annotation that the engine answers, as the code that gives them out has it."""
    told = {code(cells[0]).rpartition(".")[2] for cells in rows(sections(PAGE)["Services"])} - {""}
    given = {"Door"}  # by engine/runtime/revision.py
    for role in (Role, MailboxesRole):
        services = ast.parse(textwrap.dedent(inspect.getsource(role.services)))
        returned = next(n for n in ast.walk(services) if isinstance(n, ast.Dict))
        given |= {ast.unparse(key) for key in returned.keys if key is not None}
    assert told == given
