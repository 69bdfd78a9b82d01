"""`postroad tls`: what to publish, and what is told where there is little."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.net.zone import Zone
from engine.protocols.mta_sts import parse_policy, policy_id
from tests.support.authorities import der, tlsa
from tests.support.background import dns
from tests.support.programs import Certificates
from tests.support.server import BASE, merged, toml

Run = Callable[..., Result]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def run(tmp_path: Path, certificates: Certificates) -> Run:
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(merged(BASE, {"tls": certificates.settings, "dns": {"servers": ["127.0.0.1:1"]}})))
    return lambda *arguments: CliRunner().invoke(main, ["-c", str(config), "tls", *arguments])


def test_what_is_printed_can_be_published(run: Run, certificates: Certificates) -> None:
    done = run("records", "Example.ORG", "--mode", "enforce", "--max-age", "86400")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    policy = parse_policy("".join(f"{line[6:]}\n" for line in lines if line.startswith(";     ")).encode())
    assert (policy.mode, policy.max_age, policy.mx) == ("enforce", 86400, ("mx.example.org",))
    zone = Zone.parse("$ORIGIN org.\n$TTL 60\n" + "\n".join(line for line in lines if not line.startswith(";")))
    (record,) = [line for line in lines if line.startswith("_mta-sts.example.org. IN TXT ")]
    assert policy_id([record.split('"')[1].encode()])
    first = certificates.certificate.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    assert f"_25._tcp.mx.example.org. IN TLSA {tlsa(3, 1, 1, der(first[0] + first[1]))}" in lines
    assert zone is not None
    assert '_smtp._tls.example.org. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@example.org"' in lines


def test_reports_go_to_the_address_that_takes_them(tmp_path: Path) -> None:
    config = tmp_path / "pipeline.toml"
    stages = {"lane": {"inbound": {"stages": ["accept", "queue", "incoming_reports", "route"]}}}
    for addresses, wanted in (
        (["tls@example.com", "tls+rpt@example.org"], "tls+rpt@example.org"),
        (["tls@example.com"], "tls@example.com"),
    ):
        config.write_text(toml(merged(BASE, stages | {"stage": {"incoming_reports": {"tls": addresses}}})))
        done = CliRunner().invoke(main, ["-c", str(config), "tls", "records", "example.org"])
        assert f'_smtp._tls.example.org. IN TXT "v=TLSRPTv1; rua=mailto:{wanted}"' in done.stdout.splitlines()


def test_another_policy_has_another_id(run: Run) -> None:
    ids = {run("records", "example.org", "--mode", mode).stdout.split("id=")[1][:20] for mode in ("testing", "enforce")}
    assert len(ids) == 2
    assert all(len(one) == len(hashlib.sha256().hexdigest()[:20]) for one in ids)


def test_a_domain_that_publishes_nothing(run: Run) -> None:
    with dns(Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address:
        done = run("explain", "remote.test", "--dns", address)
        assert done.exit_code == 0
        assert "MTA-STS: none (no record)" in done.stdout
        assert "TLS where it is offered, with any certificate; else in the clear" in done.stdout
        told = json.loads(run("explain", "remote.test", "--dns", address, "--json").stdout)
        assert told["hosts"][0]["demand"] == "opportunistic"
        assert told["hosts"][0]["addresses"] == ["127.0.0.1"]


def test_a_domain_that_there_is_not(run: Run) -> None:
    with dns(Zone("remote.test")) as address:
        done = run("explain", "nowhere.remote.test", "--dns", address)
    assert done.exit_code == 1
    assert "no such domain" in done.stdout


def test_what_is_no_domain(run: Run) -> None:
    assert run("explain", "-no-").exit_code == 2
    assert run("records", "a b").exit_code == 2
