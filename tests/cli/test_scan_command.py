"""`postroad scan`: what it learns from each kind of path, what it says of a message, and how it ends."""

import json
import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.directory import Embedded

CONFIG = """
[server]
hostname = "mx.example.org"
data = "data"
[domains]
local = ["example.org"]
[listen]
smtp = "127.0.0.1:2525"
[lane.inbound]
stages = ["accept", "queue", "route"]
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
"""


@pytest.fixture
def scan(tmp_path: Path):
    (tmp_path / "pipeline.toml").write_text(CONFIG)

    def scan(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        said = ["--config", str(tmp_path / "pipeline.toml"), "scan", *map(str, arguments)]
        return CliRunner().invoke(main, said, input=stdin)

    return scan


def letters(text: str, many: int) -> list[EmailMessage]:
    found = []
    for number in range(many):
        letter = EmailMessage()
        letter["From"], letter["Subject"], letter["Message-ID"] = "a@sender.test", text, f"<{text}{number}@sender.test>"
        letter.set_content(f"{text} number {number}\n")
        found.append(letter)
    return found


def status(scan) -> list[tuple[str, int, int]]:
    rows = json.loads(scan("status", "--json").stdout)
    return [(row["for"], row["spam"], row["ham"]) for row in rows]


def write(kind: str, path: Path, found: list[EmailMessage]) -> Path:
    if kind in ("eml", "files"):
        path.mkdir()
        for number, letter in enumerate(found):
            (path / f"{number}{'.eml' if kind == 'eml' else ''}").write_bytes(letter.as_bytes())
        return path
    box = mailbox.mbox(path) if kind == "mbox" else mailbox.Maildir(path)
    for letter in found:
        box.add(letter)
    box.close()
    return path


@pytest.mark.parametrize("kind", ["mbox", "maildir", "eml", "files"])
def test_it_learns_from_whatever_holds_mail(scan, tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path / "mail", letters("offer", 3))
    for said in (
        "Learnt as spam: 3 messages; 0 had been taken for the other kind, 0 were known.\n",
        "Learnt as spam: 0 messages; 0 had been taken for the other kind, 3 were known.\n",
    ):
        done = scan("train", "--spam", path)
        assert (done.exit_code, done.stdout) == (0, said)
    assert status(scan) == [("the server", 3, 0)]
    assert scan("train", "--ham", path).stdout.startswith("Learnt as ham: 3 messages; 3 had been taken for the other")
    assert status(scan) == [("the server", 0, 3)]
    assert scan("forget", path).stdout == "Forgotten: 3 messages; 0 had not been learnt.\n"
    assert status(scan) == []


def test_one_message_from_standard_input(scan) -> None:
    octets = letters("offer", 1)[0].as_bytes()
    assert scan("train", "--ham", "-", stdin=octets).exit_code == 0
    assert status(scan) == [("the server", 0, 1)]


def test_an_account_of_its_own(scan, tmp_path: Path) -> None:
    with Embedded.open(tmp_path / "data" / "directory", ("example.org",)) as directory:
        directory.add_account("bob@example.org", "secret-password")
    path = write("mbox", tmp_path / "mail", letters("offer", 2))
    assert scan("train", "--spam", "--account", "bob@example.org", path).exit_code == 0
    assert status(scan) == [("bob@example.org", 2, 0)]
    done = scan("train", "--spam", "--account", "eve@example.org", path)
    assert done.exit_code == 1
    assert "there is no account eve@example.org" in done.stderr
    assert scan("forget", "--everything", "--account", "bob@example.org").exit_code == 0
    assert status(scan) == []


def test_it_says_how_a_message_is_judged(scan, tmp_path: Path) -> None:
    for kind, text in (("--spam", "cheap pills order"), ("--ham", "minutes meeting agenda")):
        path = write("mbox", tmp_path / text, letters(text, 60))
        assert scan("train", kind, path).exit_code == 0
    letter = letters("cheap pills order", 1)[0].as_bytes()
    (tmp_path / "letter").write_bytes(letter)
    said = scan("test", tmp_path / "letter").stdout
    assert "Bayes: spam" in said
    assert all(part in said for part in ("BAYES_SPAM", "NO_DATE", "pills"))
    told = json.loads(scan("test", "--json", "-", stdin=letter).stdout)
    assert told["bayes"] == "spam"
    assert told["score"] == pytest.approx(sum(told["symbols"].values()), abs=0.01)
    assert {"token", "probability"} == set(told["clues"][0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--spam"), "say where the messages are"),
        (("train", "mail"), "--spam or --ham"),
        (("train", "--spam", "--ham", "mail"), "--spam or --ham"),
        (("forget",), "say what is to be forgotten"),
        (("forget", "--everything", "mail"), "say what is to be forgotten"),
        (("train", "--spam", "missing"), "does not exist"),
    ],
)
def test_wrong_usage(scan, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    path = write("mbox", tmp_path / "mail", letters("offer", 1))
    done = scan(*(str(path) if each == "mail" else each for each in arguments))
    assert done.exit_code == 2
    assert said in done.stderr
