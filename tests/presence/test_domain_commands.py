"""`postroad domain records` and `check`: what the one prints makes the other content."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.net.zone import Zone
from tests.support.background import dns
from tests.support.keys import put_keys
from tests.support.programs import Certificates
from tests.support.server import BASE, merged, toml

Run = Callable[..., Result]
ADDRESSES = ("--address", "192.0.2.25", "--address", "2001:db8::25")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    put_keys(tmp_path / "var", "example.org")
    put_keys(tmp_path / "var", "example.org", standing="waiting")
    certificates = Certificates(tmp_path / "tls")
    changes = {
        "listen": {"smtp": "*:25", "submissions": "*:465", "pop3s": "*:995"},
        "lane": {"outbound": {"listen": ["submissions"], "stages": ["submit", "queue", "route"]}},
        "stage": {"submit": {"use": "stages.accept", "login": "required"}},
        "tls": certificates.settings,
    }
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(merged(BASE, changes)))
    return lambda *arguments: CliRunner().invoke(main, ["-c", str(config), "domain", *arguments])


def zone(records: str, *, without: str = "") -> Zone:
    """What the records make, with those that stand in comments: the root is ours."""
    lines = [line.removeprefix("; ") for line in records.splitlines()]
    kept = [line for line in lines if ". IN " in line and "_mta-sts" not in line and not (without and without in line)]
    return Zone.parse("$ORIGIN .\n$TTL 60\n" + "\n".join(kept) + "\n")


def test_what_is_printed_is_right(run: Run) -> None:
    printed = run("records", "example.org", *ADDRESSES)
    assert printed.exit_code == 0, printed.output
    with dns(zone(printed.stdout)) as address:
        done = run("check", "example.org", *ADDRESSES, "--dns", address, "--json")
    findings = {row["what"]: row["verdict"] for row in json.loads(done.stdout)}
    optional = {"MTA-STS": "missing", "DNSSEC": "missing", "autoconfig": "missing"}
    assert {what: verdict for what, verdict in findings.items() if verdict != "good"} == optional
    assert findings.keys() >= {
        "MX", "A, AAAA of mx.example.org", "PTR of 192.0.2.25", "PTR of 2001:db8::25", "SPF for 192.0.2.25",
        "SPF for 2001:db8::25", "DKIM rsa", "DKIM ed", "DMARC", "TLS-RPT", "DANE", "SRV submissions", "SRV pop3s",
    }  # fmt: skip
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("without", "line"),
    [
        (
            " MX ",
            "missing: MX: nothing\n    should be: mx.example.org\n    publish: example.org. IN MX 10 mx.example.org.",
        ),
        (" A 192.0.2.25", "wrong: A, AAAA of mx.example.org: 2001:db8::25\n    should be: 192.0.2.25, 2001:db8::25\n"),
        (" PTR ", "missing: PTR of 192.0.2.25: it has no name"),
        ("v=spf1 mx", "missing: SPF for 192.0.2.25: none"),
        ("rsa._domainkey", "missing: DKIM rsa: there is no key rsa._domainkey.example.org"),
        ("v=DMARC1", "missing: DMARC: "),
    ],
)
def test_what_is_lacking_is_told_with_its_record(run: Run, without: str, line: str) -> None:
    printed = run("records", "example.org", *ADDRESSES).stdout
    with dns(zone(printed, without=without)) as address:
        done = run("check", "example.org", *ADDRESSES, "--dns", address)
    assert line in done.stdout
    assert done.exit_code == 1


def test_what_is_optional_may_be_lacking(run: Run) -> None:
    printed = run("records", "example.org", *ADDRESSES).stdout
    for without in (" SRV ", " TLSA ", "v=TLSRPTv1"):
        with dns(zone(printed, without=without)) as address:
            assert run("check", "example.org", *ADDRESSES, "--dns", address).exit_code == 0


def test_a_domain_whose_server_has_another_name(run: Run) -> None:
    printed = run("records", "example.net", *ADDRESSES).stdout
    plain = [line for line in printed.splitlines() if not line.startswith(";")]
    assert "example.net. IN MX 10 mx.example.org." in plain
    assert not any(line.startswith("mx.example.org.") for line in plain)
    assert "; mx.example.org. IN A 192.0.2.25" in printed
    assert "; no DKIM keys yet: postroad dkim new example.net" in printed


def test_mistakes(run: Run) -> None:
    assert run("records", "no domain").exit_code == 2
    assert run("check", "example.org", "--address", "mx").exit_code == 2
