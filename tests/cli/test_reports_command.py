"""`postroad reports show`: what people and programs see, and how it ends."""

import gzip
import json
from pathlib import Path

from click.testing import CliRunner, Result

from engine.cli import main
from tests.reports.samples import GOOGLE, MICROSOFT


def show(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["reports", "show", *map(str, arguments)])


def files(folder: Path) -> list[Path]:
    paths = [folder / "google.xml.gz", folder / "microsoft.xml"]
    for path, octets in zip(paths, (gzip.compress(GOOGLE), MICROSOFT), strict=True):
        path.write_bytes(octets)
    return paths


def test_for_people_what_failed_first(tmp_path: Path) -> None:
    result = show(*files(tmp_path))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "google.com about example.com (p=none), 2023-11-14T22:13:20Z to 2023-11-15T22:13:19Z: "
        "9 messages, 7 passed, 2 failed",
        "Enterprise Outlook about example.com (p=reject), 2023-11-14T22:13:20Z to 2023-11-15T22:13:20Z: "
        "1 message, 0 passed, 1 failed",
    ]
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["example.com", "2001:db8::9", "2", "0", "2", "0", "0", "none", "example.com", ""],
        ["example.com", "192.0.2.1", "8", "7", "1", "7", "0", "none", "example.com", "example.com"],
    ]


def test_for_programs(tmp_path: Path) -> None:
    result = show(*files(tmp_path), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert [(r["org_name"], r["messages"], r["passed"], r["failed"]) for r in told["reports"]] == [
        ("google.com", 9, 7, 2),
        ("Enterprise Outlook", 1, 0, 1),
    ]
    assert told["reports"][0]["records"][0]["signatures"] == [
        {"domain": "example.com", "selector": "s1", "result": "pass"}
    ]
    assert told["sources"][1]["source"] == "192.0.2.1"
    assert told["sources"][1]["reasons"] == ["local_policy: arc=pass as[1].d=example.org"]


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_bytes(b"<feedback>")
    result = show(bad, *files(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"postroad: {bad}: its XML is broken: no element found: line 1, column 10\n")
    assert len(result.stdout.splitlines()) == 2


def test_a_report_that_came_twice_counts_once(tmp_path: Path) -> None:
    packed, _ = files(tmp_path)
    again = tmp_path / "again.xml"
    again.write_bytes(GOOGLE)
    assert show(packed, again).stdout == show(packed).stdout


def test_nothing_to_show() -> None:
    result = show()
    assert result.exit_code == 2
    assert "name FILES, or an account by --account" in result.stderr
