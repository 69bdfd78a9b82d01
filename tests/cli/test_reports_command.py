"""`postroad reports show`: what people and programs see, and how it ends."""

import contextlib
import gzip
import json
from pathlib import Path

from click.testing import CliRunner, Result

from engine.cli import main
from engine.reports import received
from engine.reports.dmarc_inbox import DmarcInbox
from engine.reports.inbox import Kept, ReportStore
from engine.reports.tls_received import parse
from tests.reports.dmarc_samples import aggregate
from tests.reports.samples import GOOGLE, MICROSOFT
from tests.reports.tls_samples import GOOGLE as GOOGLE_TLS
from tests.reports.tls_samples import MICROSOFT as MICROSOFT_TLS
from tests.reports.tls_samples import mailed
from tests.support.server import BASE, toml


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


def test_without_files_what_the_server_has_kept(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(BASE))
    nothing = CliRunner().invoke(main, ["--config", str(config), "reports", "show"])
    assert (nothing.exit_code, nothing.output) == (0, "")
    with contextlib.closing(DmarcInbox(tmp_path / "var")) as inbox:
        inbox.take(received.parse(aggregate()), "example.org", 1e8, signed=("google.com",))
        inbox.take(received.parse(aggregate("example.net")), "example.net", 1e8, signed=("google.com",))
    result = CliRunner().invoke(main, ["--config", str(config), "reports", "show", "--domain", "example.org"])
    assert result.exit_code == 0
    assert [line.split("\t")[:5] for line in result.stdout.splitlines()] == [
        ["example.org", "2001:db8::9", "2", "0", "2"],
        ["example.org", "192.0.2.1", "7", "7", "0"],
    ]


# -- on TLS


def tls(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["reports", "tls", *map(str, arguments)])


def tls_files(folder: Path) -> list[Path]:
    paths = [folder / "a.json.gz", folder / "b.eml", folder / "c.json"]
    whole = json.dumps(MICROSOFT_TLS).encode()
    for path, octets in zip(paths, (gzip.compress(json.dumps(GOOGLE_TLS).encode()), mailed(whole), whole), strict=True):
        path.write_bytes(octets)
    return paths


def test_on_tls_what_failed_first(tmp_path: Path) -> None:
    result = tls(*tls_files(tmp_path))
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Google Inc. about example.org, 2026-11-27T00:00:00Z to 2026-11-27T23:59:59Z: 12 sessions, 0 failed",
        "Microsoft Corporation about example.org, 2026-11-27T00:00:00Z to 2026-11-27T23:59:59Z: 9 sessions, 2 failed",
    ]
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        [
            "example.org",
            "no-policy-found",
            "starttls-not-supported",
            "mx.example.org",
            "2",
            "Microsoft Corporation",
            "",
        ],
        ["example.org", "sts", "success", "", "12", "Google Inc.", ""],
        ["example.org", "no-policy-found", "success", "", "7", "Microsoft Corporation", ""],
    ]


def test_on_tls_for_programs_and_about_one_domain(tmp_path: Path) -> None:
    told = json.loads(tls(*tls_files(tmp_path), "--json", "--domain", "Example.ORG").stdout)
    assert [(one["org_name"], one["succeeded"], one["failed"], one["signed_by"]) for one in told["reports"]] == [
        ("Google Inc.", 12, 0, []),
        ("Microsoft Corporation", 7, 2, []),
    ]
    assert told["reports"][0]["policies"][0]["mx"] == ["mx.example.org"]
    assert json.loads(tls(*tls_files(tmp_path), "--json", "--domain", "a.example").stdout) == {
        "reports": [],
        "results": [],
    }


def test_failures_that_a_report_does_not_explain(tmp_path: Path) -> None:
    policy = {
        "policy": {"policy-domain": "example.org", "policy-type": "sts"},
        "summary": {"total-failure-session-count": 3},
    }
    (tmp_path / "a.json").write_text(json.dumps(GOOGLE_TLS | {"policies": [policy]}))
    assert tls(tmp_path / "a.json").stdout == "example.org\tsts\tunexplained\t\t3\tGoogle Inc.\t\n"


def test_on_tls_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.xml").write_bytes(GOOGLE)
    result = tls(tmp_path / "a.json", tmp_path / "b.xml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "its JSON is broken" in result.stderr
    assert "it holds no JSON" in result.stderr


def test_on_tls_what_was_kept(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(BASE))
    nothing = CliRunner().invoke(main, ["-c", str(config), "reports", "tls"])
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "")
    with ReportStore.open(tmp_path / "var") as store:
        report = parse(json.dumps(GOOGLE_TLS).encode())
        store.put(Kept(report, report.end + 9.0, ("google.com",)), 1e6)
    shown = CliRunner().invoke(main, ["-c", str(config), "reports", "tls", "--last", "5000d"])
    assert shown.stderr.startswith("Google Inc. (signed by google.com) about example.org, ")
    wrong = CliRunner().invoke(main, ["-c", str(config), "reports", "tls", "--last", "soon"])
    assert wrong.exit_code == 2
