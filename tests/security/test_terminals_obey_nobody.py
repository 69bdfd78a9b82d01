"""What strangers write, an operator's terminal shows and does not obey: names, subjects, remote words."""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from engine.cli import main, tables
from engine.cli.errors import Refused
from engine.config import Login
from engine.login import Guard
from engine.observe import events, outputs
from engine.observe.visible import on_one_line, visible

HOSTILE = "\x1b]0;mine\x07\x9b31m\u202e\r\x7f\u2028"
OBEYED = {"Cc", "Cs", "Zl", "Zp"}


def obeyed(text: str) -> list[str]:
    """What is in it that a terminal, or a program that reads lines, might obey."""
    return [one for one in text if one != "\n" and (unicodedata.category(one) in OBEYED or one in "\u202e\u2066")]


@given(st.text())
@example(HOSTILE)
def test_what_is_shown_is_not_obeyed(text: str) -> None:
    assert obeyed(visible(text).replace("\t", "")) == []
    assert not {"\n", "\t"} & set(on_one_line(text))


@given(st.text(st.characters(codec="utf-8")))
@example(HOSTILE)
def test_json_stays_the_same_value(text: str) -> None:
    assert json.loads(visible(json.dumps([text], ensure_ascii=False))) == [text]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Somebody who is banned for having guessed has chosen his name."""
    path = tmp_path / "pipeline.toml"
    path.write_text(
        '[server]\nhostname = "mx.example.org"\n[domains]\nlocal = ["example.org"]\n'
        '[listen]\nsmtp = "127.0.0.1:0"\n[lane.inbound]\nstages = ["accept", "queue", "route"]\n'
        '[lane.local]\nstages = ["enqueue"]\n[[route]]\nto = "*"\nlane = "local"\n'
    )
    with Guard.open(tmp_path / "var" / "logins", Login(account_guesses=1)) as guard:
        guard.failed("192.0.2.1", f"{HOSTILE}@example.org", None)
    return path


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "json"])
def test_a_name_that_was_guessed_at(config: Path, options: list[str]) -> None:
    result = CliRunner().invoke(main, ["--config", str(config), "ban", "list", *options])
    assert result.exit_code == 0, result.output
    assert "mine" in result.output
    assert obeyed(result.output.replace("\t", "")) == []


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    tables.show([{"from": HOSTILE, "to": [HOSTILE]}], ("from", "to"), as_json=False)
    shown = capsys.readouterr().out
    assert "mine" in shown
    assert obeyed(re.sub(r"\x1b\[[0-9;]*m", "", shown)) == []  # without the table's own bold type


def test_why_a_command_was_refused() -> None:
    assert obeyed(Refused(HOSTILE).format_message()) == []


@pytest.mark.parametrize("pretty", [True, False], ids=["terminal", "json"])
@pytest.mark.parametrize("shape", [str, lambda text: f"two words {text}", lambda text: [text]])
def test_events(monkeypatch: pytest.MonkeyPatch, pretty: bool, shape: Callable[[str], object]) -> None:
    written = bytearray()
    monkeypatch.setattr(outputs.os, "write", lambda _, octets: written.extend(octets) or len(octets))
    event = events.Events()
    (output,) = event._outputs
    output._terminal = pretty
    event("login", address=shape("\x1b]0;mine\x07\x9b31m\r\nready\x7f"))
    line = written.decode().removesuffix("\n")
    assert "mine" in line
    assert [one for one in line if unicodedata.category(one) == "Cc" and one != "\x7f"] == []
    if not pretty:
        assert json.loads(line)["address"] == shape("\x1b]0;mine\x07\x9b31m\r\nready\x7f")
