"""`postroad dkim`: a pair of keys from its making to its removal, with the DNS looking on."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.net.zone import Zone
from tests.support.background import dns
from tests.support.keys import put_keys
from tests.support.server import BASE, toml

Run = Callable[..., Result]
DOMAIN = "example.org"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = tmp_path / "pipeline.toml"
    config.write_text(toml({**BASE, "dns": {"servers": ["127.0.0.1:1"], "timeout": "1s"}}))
    return lambda *arguments: CliRunner().invoke(main, ["-c", str(config), "dkim", *arguments])


def standings(run: Run) -> dict[str, str]:
    return {row["selector"]: row["standing"] for row in json.loads(run("list", "--json").stdout)}


def test_from_the_first_pair_to_the_next(run: Run) -> None:
    made = run("new", "EXAMPLE.org", "--selector", "a")
    assert (made.exit_code, len(made.stdout.splitlines())) == (0, 2)
    assert "postroad dkim publish example.org" in made.stderr
    assert run("new", DOMAIN).exit_code == 1
    with dns(Zone(DOMAIN)) as nothing:
        lacking = run("publish", DOMAIN, "--dns", nothing)
        assert lacking.exit_code == 1
        assert "; a-rsa: waiting; there is no key a-rsa._domainkey.example.org\n" in lacking.stdout
        assert run("rotate", DOMAIN, "--dns", nothing).exit_code == 1
    with dns(Zone.parse(f"$ORIGIN {DOMAIN}.\n$TTL 60\n{lacking.stdout}")) as published:
        there = run("publish", DOMAIN, "--dns", published)
        assert there.exit_code == 0
        assert "; a-rsa: waiting; published\n" in there.stdout
        assert standings(run) == {"a-rsa": "waiting", "a-ed25519": "waiting"}
        assert run("rotate", DOMAIN, "--dns", published).exit_code == 0
        assert standings(run) == {"a-rsa": "signing", "a-ed25519": "signing"}
        assert run("rotate", DOMAIN, "--selector", "b").exit_code == 0
        assert run("rotate", DOMAIN, "--dns", published).exit_code == 1
        assert run("rotate", DOMAIN, "--selector", "c").exit_code == 1
        assert run("rotate", DOMAIN, "--force").exit_code == 0
        assert standings(run) == {
            "b-rsa": "signing",
            "b-ed25519": "signing",
            "a-rsa": "retired",
            "a-ed25519": "retired",
        }
        assert "; a-rsa: retired; published; needed until 2" in run("publish", DOMAIN, "--dns", published).stdout


def test_what_has_been_retired_for_long_is_not_needed(run: Run, tmp_path: Path) -> None:
    put_keys(tmp_path / "var", DOMAIN)
    assert run("remove", DOMAIN, "rsa").exit_code == 1
    store = put_keys(tmp_path / "var", "example.net", standing="retired")
    assert run("remove", "example.net", "rsa").exit_code == 1
    for key in store.find("example.net"):
        os.utime(key.path, (0, 0))
    with dns(Zone("example.net")) as nothing:
        told = run("publish", "example.net", "--dns", nothing)
    assert "; may be removed\n" in told.stdout
    assert told.exit_code == 0
    assert run("remove", "example.net", "rsa").exit_code == 0
    assert run("remove", "example.net", "ed").exit_code == 0
    assert store.find("example.net") == []


def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "dkim").write_text("a file")
    done = run("new", DOMAIN)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "dkim" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["new", "no domain"], 2),
        (["new", DOMAIN, "--selector", "a_b"], 1),
        (["publish", DOMAIN], 1),
        (["remove", DOMAIN, "a"], 1),
    ],
)
def test_mistakes(run: Run, arguments: list[str], code: int) -> None:
    assert run(*arguments).exit_code == code
