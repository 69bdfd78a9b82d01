"""`postroad revision` where no server runs: what it prints, and what it does not do as root."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.config import load
from engine.revisions import IN_FORCE, REFUSED, Archive

CONFIG = """
[server]
hostname = "mx.example.org"
[domains]
local = ["example.org"]
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = ["accept", "mark", "queue", "route"]
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
[stage.mark]
use = "filters/mark.py"
"""
MARK = "from engine import Message\n\ndef mark(message: Message) -> Message:\n    return message\n"
NEW = CONFIG.replace("mx.example.org", "mx2.example.org")

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def postroad(folder: Path, *arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), *arguments], input=answer)


def test_a_list_of_lines(folder: Path) -> None:
    lines = [line.split("\t") for line in postroad(folder, "revision", "list").output.splitlines()]
    assert [(number, by, became, changed) for number, _, by, became, changed in lines] == [
        ("1", "ann", "was in force", ""),
        ("2", "ann", "refused: hostname:\\nis required", lines[1][4]),
        ("3", "ann", "in force", "table server: hostname; file filters/mark.py: changed"),
    ]
    assert lines[1][4].startswith("lane inbound removed; lane local removed; stage accept removed; ")


def test_differences_in_colour_on_a_terminal(folder: Path) -> None:
    result = CliRunner().invoke(
        main, ["--config", str(folder / "pipeline.toml"), "revision", "diff", "1", "3"], color=True
    )
    assert result.exit_code == 1
    assert '\x1b[31m-hostname = "mx.example.org"\x1b[0m\n' in result.output
    assert '\x1b[32m+hostname = "mx2.example.org"\x1b[0m\n' in result.output
    assert "\x1b" not in postroad(folder, "revision", "diff", "1").output


def test_back_where_no_server_runs(folder: Path) -> None:
    result = postroad(folder, "revision", "back")
    assert result.exit_code == 0, result.output
    assert "revision 1 will be in force at the next start" in result.output
    assert (folder / "pipeline.toml").read_text() == CONFIG
    assert (folder / "filters" / "mark.py").read_text() == MARK


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("revision", "show", "7"), 1, "there is no revision 7; kept are 1 to 3"),
        (("revision", "trial"), 1, "no revision is on trial"),
        (("revision", "back", "2"), 1, "revision 2 cannot be used any more; nothing was changed"),
        (("reload", "--canary", "101"), 2, "101"),
        (("reload", "--canary", "5", "--abort"), 2, "--canary begins a trial, --abort ends one"),
        (("reload", "--promote"), 1, "no server runs"),
    ],
)
def test_what_cannot_be_done(folder: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    result = postroad(folder, *arguments)
    assert result.exit_code == code
    assert text in result.output
    assert (folder / "pipeline.toml").read_text() == NEW


def test_a_folder_without_revisions(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    result = postroad(tmp_path, "revision", "list")
    assert result.exit_code == 1
    assert "is that the data folder, and did a server run there?" in result.output


@pytest.mark.parametrize("text", ["[server\n", "[server]\ndata = 3\n", "server = 1\n"])
def test_a_pipeline_that_is_no_good_is_no_hindrance(folder: Path, text: str) -> None:
    (folder / "pipeline.toml").write_text(text)
    if "data" in text:
        (folder / "var").rename(folder / "3")
    assert postroad(folder, "revision", "back", "1").exit_code == 0
    assert (folder / "pipeline.toml").read_text() == CONFIG


WHO = """
import os
from engine import Message

with open({path!r}, "w") as file:
    file.write(str(os.geteuid()))

def mark(message: Message) -> Message:
    return message
"""


def fill(folder: Path) -> None:
    """Three revisions, of which the second was refused and the third is in force."""
    archive = Archive(folder / "var")
    for text, code, became, before in (
        (CONFIG, MARK, IN_FORCE, 0),
        ("[server]\n", "", REFUSED, 1),
        (NEW, MARK + "# new\n", IN_FORCE, 1),
    ):
        kept = archive.take(text, {"filters/mark.py": code} if code else {}, by="ann", before=before)
        archive.settle(kept, became, "hostname:\nis required" if became == REFUSED else "")
    (folder / "filters").mkdir()
    (folder / "filters" / "mark.py").write_text(MARK + "# new\n")
    (folder / "pipeline.toml").write_text(NEW)


def test_root_lets_no_other_user_say_what_runs_or_what_its_files_say() -> None:
    """Kept by another user, code is looked at with that user's rights; root is asked, and writes nothing elsewhere."""
    with tempfile.TemporaryDirectory() as name:  # in which others may look
        folder = Path(name)
        folder.chmod(0o755)
        fill(folder)
        if os.geteuid() != 0:
            assert postroad(folder, "revision", "back", "1").exit_code == 0  # with what rights one has
            return
        _try_as_root(folder)


def _try_as_root(folder: Path) -> None:
    load(folder / "pipeline.toml")  # so that our stages are there, whoever may read the folder that they are in
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    told, outside = folder / "open" / "told", folder.parent / f"{folder.name}.py"
    archive = Archive(folder / "var")
    archive.open()
    code, text = WHO.format(path=str(told)), NEW.replace("mx2", "mx3")
    kept = archive.settle(archive.take(text, {"filters/mark.py": code}, by="eve", before=3), IN_FORCE)
    text = text.replace("filters/mark.py", str(outside))
    elsewhere = archive.settle(archive.take(text, {str(outside): MARK}, by="eve", before=3), IN_FORCE)
    for path in (folder / "var", *(folder / "var").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    refused = postroad(folder, "revision", "back", str(kept.number), answer="n\n")
    assert refused.exit_code == 1
    assert "nobody's to change" in refused.output
    assert told.read_text() == str(NOBODY)
    assert (folder / "pipeline.toml").read_text() == NEW
    refused = postroad(folder, "revision", "back", str(elsewhere.number), "--yes")
    assert refused.exit_code == 1
    assert "outside the folder of pipeline.toml; put it back by hand" in refused.output
    assert not outside.exists()
    assert postroad(folder, "revision", "back", "1", "--yes").exit_code == 0
    assert (folder / "pipeline.toml").read_text() == CONFIG


def test_everything_for_programs(folder: Path) -> None:
    rows = json.loads(postroad(folder, "revision", "list", "--json").output)
    assert [row["revision"] for row in rows] == [1, 2, 3]
    assert rows[2].keys() == {"revision", "when", "by", "became", "changed", "before"}
