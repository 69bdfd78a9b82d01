"""`postroad shaping explain`: what it finds, by the DNS and by hand, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.net.zone import Zone
from tests.shaping.test_shapes import PIPELINE
from tests.support.background import dns

RULES = """
[site."*.example.net"]
connections = 3
messages = ["10/1s", "500/1h"]

[domain."example.com".source.bulk]
pause = 2026-03-01T08:00:00Z

[provider.net]
mx = ["*.example.net"]
provider_connections = 7
provider_messages = ["20/1s"]

[provider.net.source.bulk]
provider_messages = ["3/1s", "50/1h"]
"""


@pytest.fixture(scope="module")
def server():
    zone = Zone(
        "com",
        {
            "example": {"MX": ["20 mx2.example.net.", "10 mx1.example.net."]},
            "none": {"MX": "0 ."},
            "plain": {"A": "192.0.2.1"},
            "google": {"MX": "10 alt1.aspmx.l.google.com."},
        },
    )
    with dns(zone) as address:
        yield address


@pytest.fixture
def explain(tmp_path: Path, server: str):
    (tmp_path / "shaping.toml").write_text(RULES)
    config = tmp_path / "pipeline.toml"
    config.write_text(PIPELINE.format(more="") + "\n[stage.relay]\nidle = '9s'\n")

    def explain(*arguments: str) -> Result:
        asked = arguments if "--mx" in arguments else (*arguments, "--dns", server)
        return CliRunner().invoke(main, ["shaping", "explain", *asked, "--config", str(config)])

    return explain


def values(result: Result) -> dict[str, tuple[object, str, str]]:
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output)["values"]
    return {row["name"]: (row["value"], row["rule"], row["place"].rpartition("/")[2]) for row in rows}


def test_each_value_with_its_rule(explain) -> None:
    found = values(explain("example.com", "--json"))
    assert found["connections"] == (3, '[site."*.example.net"]', "shaping.toml:3")
    assert found["messages"] == (["10/1s", "500/1h"], '[site."*.example.net"]', "shaping.toml:4")
    assert found["idle"] == (9.0, "[stage.relay]", "pipeline.toml")
    assert found["messages_per_connection"] == (1000, "default", "")
    assert found["pause"] == (0.0, "default", "")


def test_by_source(explain) -> None:
    found = values(explain("example.com", "--source", "bulk", "--json"))
    assert found["pause"] == (1772352000.0, '[domain."example.com".source.bulk]', "shaping.toml:7")


def test_what_a_provider_takes_on_all_its_sites(explain) -> None:
    found = values(explain("example.com", "--json"))
    assert found["provider_connections"] == (7, "[provider.net]", "shaping.toml:11")
    assert found["provider_messages"] == (["20/1s"], "[provider.net]", "shaping.toml:12")
    assert values(explain("example.com", "--source", "bulk", "--json"))["provider_messages"] == (
        ["3/1s", "50/1h"], "[provider.net.source.bulk]", "shaping.toml:15",
    )  # fmt: skip
    assert "provider_messages" not in values(explain("plain.com", "--json"))
    assert (
        "provider_messages\t3/1s, 50/1h\t[provider.net.source.bulk]"
        in explain("example.com", "--source", "bulk").output
    )


def test_a_provider_by_its_hosts(explain) -> None:
    answer = json.loads(explain("google.com", "--json").output)
    assert (answer["hosts"], answer["providers"]) == (["alt1.aspmx.l.google.com"], ["google"])


def test_hosts_by_hand(explain) -> None:
    found = values(explain("anything.example", "--mx", "A.example.net", "--mx", "b.example.net.", "--json"))
    assert found["connections"][0] == 3


def test_for_people(explain) -> None:
    lines = explain("example.com", "--source", "bulk").output.splitlines()
    assert lines[0] == "example.com, by mx1.example.net, mx2.example.net; provider: net"
    assert any(line.startswith('connections\t3\t[site."*.example.net"]\t') for line in lines)
    assert any(line.startswith("pause\tuntil 2026-03-01T08:00:00Z\t") for line in lines)


def test_a_domain_without_mx_is_its_own_host(explain) -> None:
    assert json.loads(explain("plain.com", "--json").output)["hosts"] == ["plain.com"]


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        ("none.com", "does not accept mail"),
        ("nothing.com", "there is no domain nothing.com"),
        ("a..b", "there is no domain a..b"),
    ],
)
def test_where_there_is_nothing_to_explain(explain, domain: str, told: str) -> None:
    result = explain(domain)
    assert result.exit_code in (1, 2)
    assert told in result.output
