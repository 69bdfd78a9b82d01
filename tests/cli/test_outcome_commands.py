"""`postroad bounces`, `suppression` and `shaping`: what they do, say, and exit with."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.bounces.journal import FOLDER, Entry, Log
from engine.cli import main
from engine.shaping.actions import ActionStore
from engine.suppression import Suppressions

BOB = "bob@example.net"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(
        '[server]\nhostname = "mx.example.org"\n[listen]\nsmtp = "127.0.0.1:0"\n'
        '[lane.inbound]\nstages = ["accept", "suppress", "queue", "resolve", "relay"]\n'
    )
    (tmp_path / "var").mkdir()
    return tmp_path


def run(folder: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), *arguments], input=stdin)


# -- bounces


def test_a_reply_has_its_class(folder: Path) -> None:
    done = run(folder, "bounces", "classify", "550 5.1.1", "User unknown")
    assert done.exit_code == 0
    assert done.output.startswith("invalid-recipient\tyes\trecipient\tnever\t")
    done = run(folder, "bounces", "classify", "--json", stdin="450 4.2.2 Mailbox full\n\n421 Too many connections\n")
    found = json.loads(done.output)
    assert [(one["class"], one["permanent"], one["retry"]) for one in found] == [
        ("mailbox-full", "no", "patient"),
        ("rate", "no", "usual"),
    ]


def test_a_file_of_patterns_is_tried_out(folder: Path) -> None:
    patterns = folder / "bounce-patterns.toml"
    patterns.write_text('[[pattern]]\nclass = "rate"\ntexts = ["user unknown"]\n')
    done = run(folder, "bounces", "classify", "--patterns", str(patterns), "550 User unknown")
    assert done.output.startswith("rate\t")
    patterns.write_text('[[pattern]]\nclass = "rte"\ntexts = ["user unknown"]\n')
    done = run(folder, "bounces", "classify", "--patterns", str(patterns), "550 User unknown")
    assert done.exit_code == 2
    assert "there is no class rte" in done.output


def test_the_log_is_looked_through(folder: Path) -> None:
    now = time.time()
    log = Log(folder / "var" / FOLDER, keep=1e6, size=10**9)
    common = {"site": "mx.example.net", "which": "policy", "reply": "550 No"}
    log.write(
        [
            Entry(time=now - 90_000, event="failed", id="AAA", to=BOB, **common),  # type: ignore[arg-type]
            Entry(time=now - 60, event="deferred", id="BBB", to=BOB, tenant="acme", **common),  # type: ignore[arg-type]
            Entry(time=now - 30, event="failed", id="CCC", to="Cat@example.net", site="mx", which="rate"),
        ]
    )

    def listed(*options: str) -> list[str]:
        return [one["id"] for one in json.loads(run(folder, "bounces", "list", "--json", *options).output)]

    assert listed() == ["BBB", "CCC"]
    assert listed("--last", "2d") == ["AAA", "BBB", "CCC"]
    assert listed("--class", "rate") == ["CCC"]
    assert listed("--to", "CAT@*") == ["CCC"]
    assert listed("--event", "deferred") == ["BBB"]
    assert listed("--site", "*.example.net") == ["BBB"]
    assert listed("--tenant", "acme") == ["BBB"]
    assert "policy\tbob@example.net\t\t550 No" in run(folder, "bounces", "list").output
    assert [one["id"] for one in json.loads(run(folder, "bounces", "show", BOB).output)] == ["AAA", "BBB"]
    assert [one["tenant"] for one in json.loads(run(folder, "bounces", "show", "BBB").output)] == ["acme"]
    done = run(folder, "bounces", "show", "DDD")
    assert done.exit_code == 1
    assert "nothing is noted of DDD within 30d" in done.output
    assert run(folder, "bounces", "list", "--last", "soon").exit_code == 2


# -- suppression


def test_entries_of_the_suppression_list_come_and_go(folder: Path) -> None:
    done = run(
        folder, "suppression", "add", "Bob@Example.net", "example.com", "--class", "complaint", "--note", "by phone"
    )
    assert (done.exit_code, done.output) == (0, f"Suppressed {BOB}.\nSuppressed example.com.\n")
    done = run(folder, "suppression", "add", "cat@example.net", "--tenant", "acme", "--for", "1h")
    assert done.output == "Suppressed cat@example.net for acme.\n"
    with Suppressions.open(folder / "var") as store:
        rows = {row.entry: row for row in store.rows()}
    assert 3500 < rows["cat@example.net"].until - time.time() <= 3600
    assert (rows[BOB].until, rows[BOB].note) == (0.0, "by phone")

    done = run(folder, "suppression", "check", "BOB@example.net")
    assert done.exit_code == 1
    assert done.output.startswith(f"{BOB}\tcomplaint\t")
    done = run(folder, "suppression", "check", "cat@example.net")
    assert (done.exit_code, done.output) == (0, "cat@example.net is not on the list.\n")
    assert run(folder, "suppression", "check", "cat@example.net", "--tenant", "acme").exit_code == 1
    assert json.loads(run(folder, "suppression", "check", "dan@example.net", "--json").output) is None

    entries = [one["entry"] for one in json.loads(run(folder, "suppression", "list", "--json").output)]
    assert entries == [BOB, "example.com"]
    assert run(folder, "suppression", "list", "--all").output.count("\n") == 3
    assert run(folder, "suppression", "list", "--class", "unknown", "--tenant", "acme").output.count("\n") == 1
    done = run(folder, "suppression", "remove", BOB, "eve@example.net")
    assert (done.exit_code, done.output) == (1, f"Removed {BOB}.\neve@example.net is not there.\n")
    assert run(folder, "suppression", "check", BOB).exit_code == 0


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_list_moves_to_another_server(folder: Path, form: str, tmp_path: Path) -> None:
    run(folder, "suppression", "add", BOB, "--class", "complaint", "--note", 'said, "no"')
    run(folder, "suppression", "add", "example.com", "--tenant", "acme")
    exported = run(folder, "suppression", "export", "--format", form).output
    assert exported.count("\n") == (3 if form == "csv" else 2)
    for entry, tenant in ((BOB, ""), ("example.com", "acme")):
        assert run(folder, "suppression", "remove", entry, "--tenant", tenant).exit_code == 0
    file = tmp_path / "list"
    file.write_text(exported)
    done = run(folder, "suppression", "import", str(file))
    assert (done.exit_code, done.output) == (0, "Added 2 entries.\n")
    assert run(folder, "suppression", "export", "--format", form).output == exported


def test_a_plain_list_of_another_service(folder: Path) -> None:
    done = run(folder, "suppression", "import", "-", "--class", "unsubscribe", "--tenant", "acme", stdin=f"{BOB}\n")
    assert (done.exit_code, done.output) == (0, "Added 1 entry.\n")
    (row,) = json.loads(run(folder, "suppression", "list", "--tenant", "acme", "--json").output)
    assert (row["entry"], row["class"], row["tenant"]) == (BOB, "unsubscribe", "acme")


@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["add", "no address"], "", "no address"),
        (["add", BOB, "--class", "spamm"], "", "there is no class 'spamm'"),
        (["add", BOB, "--for", "long"], "", "--for"),
        (["import", "-"], "bob@example.net\nevil@@example.net\n", "line 2: "),
    ],
)
def test_what_the_suppression_list_does_not_take(folder: Path, arguments: list[str], stdin: str, why: str) -> None:
    done = run(folder, "suppression", *arguments, stdin=stdin)
    assert done.exit_code == 2
    assert why in done.output


# -- shaping


def test_a_site_is_suspended_and_let_go_on_by_hand(folder: Path) -> None:
    done = run(folder, "shaping", "suspend", "*.Example.net", "--for", "2h", "--source", "one")
    assert done.exit_code == 0
    identity = done.output.split()[-1]
    assert done.output.startswith("Suspended *.Example.net until ")
    (row,) = json.loads(run(folder, "shaping", "actions", "--json").output)
    assert (row["id"], row["action"], row["site"], row["source"], row["name"]) == (
        identity, "suspend", "*.example.net", "one", "by hand",
    )  # fmt: skip
    assert f"{identity}\tsuspend\t*.example.net\tone\t\t" in run(folder, "shaping", "actions").output
    with ActionStore.open(folder / "var") as store:
        assert 7100 < store.all()[0].until - time.time() <= 7200
    done = run(folder, "shaping", "lift", identity, "nonsense")
    assert done.exit_code == 1
    assert f"Lifted {identity}: suspend *.example.net." in done.output
    assert "no action nonsense is in force" in done.output
    assert json.loads(run(folder, "shaping", "actions", "--json").output) == []


@pytest.mark.parametrize("arguments", [["mx", "--for", "long"], [" "], ["*a*b*c*"]])
def test_what_is_no_suspension(folder: Path, arguments: list[str]) -> None:
    assert run(folder, "shaping", "suspend", *arguments).exit_code == 2
