"""README.md: each of its commands does what it says."""

import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from doc_pages import ROOT, blocks, rows, sections, tables
from doc_server import Trial

from engine.cli import main
from tests.support.programs import needs

README = ROOT / "README.md"
SHELL = blocks(README, "sh")


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    with Trial(tmp_path_factory.mktemp("trial")) as running:
        yield running


def commands(start: str) -> list[str]:
    """The shell blocks in which some line begins so."""
    return [block.text for block in SHELL if re.search(rf"^\s*{re.escape(start)}", block.text, re.MULTILINE)]


def test_every_make_is_a_target() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z]+)", README.read_text(), re.MULTILINE)
    assert {"run", "test", "demo", "bench"} <= set(named) <= set(targets)


def test_make_run_is_what_these_tests_start() -> None:
    assert re.search(r"^run: .*\n\t\$\(BIN\)/postroad run --demo$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_no_shell_block_is_left_out() -> None:
    told = {*commands("make run"), *commands("curl"), *commands(".venv/bin/postroad"), *commands("printf")}
    assert told == {block.text for block in SHELL}


@pytest.mark.system
@pytest.mark.client
@needs("curl")
def test_a_message_is_sent_and_read(trial: Trial) -> None:
    send, read = commands("curl")
    assert trial.ready.startswith("ready ")
    sent = trial.shell(send)
    assert (sent.returncode, sent.stderr) == (0, "")
    trial.wait_for("accepted")
    trial.wait_for("delivered")
    received = trial.shell(read)
    assert (received.returncode, received.stderr) == (0, "")
    assert "Subject: Hello\n\nIt works." in received.stdout.replace("\r\n", "\n")
    trial.wait_for("login")


@pytest.mark.system
def test_what_run_prints_is_what_the_page_shows(trial: Trial) -> None:
    shown = next(block.text for block in blocks(README) if block.text.startswith("ready "))
    lines = [line for line in shown.splitlines() if line and line != "…"]
    printed = trial.ready + trial.introduction
    for line in lines:
        pattern = re.escape(line).replace("…", r"\S+")
        pattern = re.sub(r"(127\\\.0\\\.0\\\.1):\d+", r"\1:\\d+", pattern)
        assert re.search(f"^{pattern}$", printed, re.MULTILINE), line


@pytest.mark.system
def test_the_accounts_example(trial: Trial) -> None:
    (example,) = commands(".venv/bin/postroad account list")
    done = trial.shell(example)
    assert done.returncode == 0, done.stderr
    assert "ann@example.org" in done.stdout
    host, port = trial.address("smtp")
    with smtplib.SMTP(host, port) as client:
        client.sendmail("you@example.net", ["info@example.org"], "Subject: to the alias\r\n\r\nHello.\r\n")


@pytest.mark.system
def test_adding_the_filter(trial: Trial) -> None:
    """The two places are uncommented in pipeline.toml as it is shipped, and the page's commands put them in force."""
    (toml,) = blocks(README, "toml")
    path = trial.folder / "pipeline.toml"
    text = re.sub(r'^( *)# ("needs_subject",)', r"\1\2", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^# (\[stage.needs_subject\])\n# (use = .*)$", r"\1\n\2", text, flags=re.MULTILINE)
    path.write_text(text)
    plain = re.sub(r"#.*", "", text)
    shown = re.search(r"stages = (\[.*?\])", toml.text)
    edited = re.search(r"\[lane.inbound\]\s*stages = (\[.*?\])", plain, re.DOTALL)
    assert shown is not None
    assert edited is not None
    assert re.findall(r'"(\w+)"', edited[1]) == re.findall(r'"(\w+)"', shown[1])
    assert toml.text.partition("[stage")[2] in text

    (apply,) = commands(".venv/bin/postroad reload")
    done = trial.shell(apply)
    assert done.returncode == 0, done.stderr
    promised = re.search(r"`550 (5\.\d\.\d) ([^`]+)`", README.read_text())
    assert promised is not None
    host, port = trial.address("smtp")
    with smtplib.SMTP(host, port) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("you@example.net", ["demo@example.org"], "From: you@example.net\r\n\r\nNo subject.\r\n")
    assert refused.value.smtp_code == 550
    assert refused.value.smtp_error == f"{promised[1]} {promised[2]}".encode()


@pytest.mark.system
def test_the_filter_is_the_file(trial: Trial) -> None:
    (shown,) = blocks(README, "python")
    shipped = (ROOT / "filters" / "needs_subject.py").read_text()
    assert shown.text.strip() == shipped.partition("\n\n")[2].strip()


def test_every_command_of_the_table_is_there() -> None:
    def shown(*words: str) -> str:
        done = CliRunner().invoke(main, [*words, "--help"])
        assert done.exit_code == 0, words
        return done.output

    for cell, text, *_ in rows(sections(README)["Commands"]):
        if not cell.startswith("`postroad "):
            continue
        name = cell.strip("`").split()[1]
        page = shown(name)
        for option in re.findall(r"`(--[a-z-]+)`", text):
            assert option in page
        for sub in re.findall(r"`([a-z]+)`", text.partition(":")[0]):
            shown(name, sub)


def test_the_figures_are_those_of_the_last_results() -> None:
    """A row of the README begins with the name that a row of the results has; of all of its kind, with its versions."""
    measured = sections(ROOT / "bench" / "RESULTS.md")
    results = {}
    for column in ("accept", "relay", "deliver"):
        table, *_ = tables(measured[column.capitalize()].partition("\n4 KiB, 100 sessions, connections reused, on ")[2])
        results[column] = {cells[0]: cells[1].split()[0] for cells in table if cells[0]}
    (header, *told), (_, *reading), _, _ = tables(sections(README)["Beside others"])
    assert header[1:4] == list(results)
    named = {re.sub(r" [\d.]+", "", cells[0]): cells[1:4] for cells in told[:-1]}
    assert named.keys() == results["accept"].keys() - {"ceiling: smtp-source → smtp-sink"}
    for name, figures in named.items():
        assert figures == [results[column].get(name, "—") for column in header[1:4]], name
    (_, *read), *_ = tables(measured["Read"].partition("\n4 KiB, 8 sessions, connections reused, on ")[2])
    found = {cells[0]: [cells[number].split()[0] for number in (1, 8, 10, 5)] for cells in read}
    assert {re.sub(r" [\d.]+", "", cells[0]): cells[1:] for cells in reading} == found


def test_the_layout_is_there() -> None:
    layout = next(block.text for block in blocks(README) if block.text.startswith("pipeline.toml"))
    folder = Path()
    for line in layout.splitlines():
        name = line.split()[0]
        path = folder / name if line.startswith("  ") else Path(name)
        folder = folder if line.startswith("  ") else path
        assert (ROOT / path).exists(), path
    parts = [line.split()[0].strip("/") for line in layout.splitlines() if line.startswith("  ")]
    assert sorted(parts) == sorted(path.parent.name for path in (ROOT / "engine").glob("*/__init__.py"))
