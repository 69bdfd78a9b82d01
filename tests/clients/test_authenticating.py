"""A running server that checks who its mail is from, with swaks as the client, and a DNS of our own."""

import email
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.authentication.results import parse
from engine.net.zone import Zone
from tests.support.background import dns
from tests.support.programs import needs, run
from tests.support.server import Postroad, until

BOB = "bob@example.org"
FORGED = "Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example"
MARK = """
from engine import Message

async def mark(message: Message) -> Message:
    return message.with_header("X-Mark", str(message.fact("dmarc.disposition")))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    zone = Zone(
        ".",
        {
            "ann.example.": {"TXT": '"v=spf1 ip4:127.0.0.1 -all"'},
            "_dmarc.ann.example.": {"TXT": '"v=DMARC1; p=reject"'},
            "_dmarc.bank.example.": {"TXT": '"v=DMARC1; p=reject"'},
            "_dmarc.shop.example.": {"TXT": '"v=DMARC1; p=quarantine"'},
            "localhost.": {"A": "127.0.0.1"},
            "1.0.0.127.in-addr.arpa.": {"PTR": "localhost."},
        },
    )
    with dns(zone) as address:
        settings = {
            "dns": {"servers": [address]},
            "lane": {"inbound": {"stages": ["accept", "authenticate", "mark", "queue", "route"]}},
            "stage": {
                "accept": {"relay_networks": []},
                "mark": {"use": "filters/mark.py", "when": "dmarc.result == 'fail' and dkim[0].result != 'pass'"},
            },
        }
        with Postroad(tmp_path, settings, mark=MARK) as server:
            yield server.account(BOB)


def swaks(server: Postroad, author: str, *options: str, good: bool = True) -> str:
    return run(
        "swaks", "--server", f"127.0.0.1:{server.ports['smtp']}", "--helo", "client.ann.example",
        "--from", "ann@ann.example", "--to", BOB, "--h-From", author, *options, good=good,
    )  # fmt: skip


@needs("swaks")
@pytest.mark.parametrize("size", [100, 300_000])
def test_a_forged_field_is_gone_and_ours_is_on_top(server: Postroad, tmp_path: Path, size: int) -> None:
    (tmp_path / "body").write_bytes(b"x" * 70 + (b"\n" + b"y" * 70) * (size // 71))
    swaks(server, "ann@ann.example", "--header", FORGED, "--body", f"@{tmp_path / 'body'}")
    (octets,) = server.mail_for(BOB)
    message = email.message_from_bytes(octets)
    (written,) = message.get_all("Authentication-Results", [])
    parsed = parse(written)
    assert parsed is not None
    assert [f"{finding.method}={finding.result}" for finding in parsed.findings] == [
        "spf=pass", "dkim=none", "dmarc=pass", "arc=none", "iprev=pass",
    ]  # fmt: skip
    assert list(message)[:4] == ["Return-Path", "Delivered-To", "Authentication-Results", "Received"]
    assert message["Subject"].startswith("test")
    assert message["X-Mark"] is None
    assert octets.rstrip().endswith(b"y" * 70)


@needs("swaks")
def test_a_policy_is_noted_and_after_a_reload_applied(server: Postroad) -> None:
    swaks(server, "boss@bank.example")
    (octets,) = server.mail_for(BOB)
    assert email.message_from_bytes(octets)["X-Mark"] == "reject"
    server.change({"stage": {"authenticate": {"dmarc": "apply"}}})
    assert server.reload().returncode == 0
    assert "550 5.7.26 Rejected by the DMARC policy of bank.example" in swaks(server, "boss@bank.example", good=False)
    swaks(server, "ann@ann.example")
    assert len(server.mail_for(BOB, 2)) == 2


@needs("swaks")
@pytest.mark.parametrize(
    "stages",
    [
        ["accept", "authenticate", "mark", "queue", "route"],
        ["accept", "queue", "authenticate", "mark", "route"],
    ],
)
def test_what_was_parked_goes_on_as_any_other_once_it_is_released(server: Postroad, stages: list[str]) -> None:
    server.change({"stage": {"authenticate": {"dmarc": "apply"}}, "lane": {"inbound": {"stages": stages}}})
    assert server.reload().returncode == 0
    swaks(server, "sale@shop.example", "--header", FORGED)
    (row,) = until(
        lambda: json.loads(server.command("queue", "list", "state == 'quarantined'", "--json").stdout),
        "it to be parked",
    )
    assert row["reason"] == "the DMARC policy of shop.example for mail from shop.example"
    assert server.command("queue", "release", row["id"]).returncode == 0
    (octets,) = server.mail_for(BOB)
    message = email.message_from_bytes(octets)
    (written,) = message.get_all("Authentication-Results", [])
    assert "dmarc=fail" in written
    assert message["X-Mark"] == "quarantine"
