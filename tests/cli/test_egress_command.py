"""`postroad egress`, and what `postroad check` says of addresses that are not ours."""

import datetime
import json
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from engine.abuse import Tables
from engine.cli import main
from engine.config import WarmUp
from engine.egress.days import Days

TODAY = datetime.datetime.now(datetime.UTC).date()
START = TODAY - datetime.timedelta(days=2)

CONFIG = f"""
[server]
hostname = "mx.example.org"
[domains]
local = ["example.org"]
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = ["accept", "queue", "route"]
[lane.remote]
stages = ["resolve", "relay"]
[[route]]
to = "*"
lane = "remote"
[stage.relay]
pool = "bulk"
[egress.source.old]
ipv4 = "127.0.0.2"
ehlo = "mx2.example.org"
[egress.source.new]
ipv4 = "127.0.0.3"
warm_up = {{ start = {START}, plan = [50, 100, 500], days = 2 }}
[egress.source.far]
socks5 = "proxy.example.org:1080"
[egress.pool.bulk]
sources = {{ old = 3, new = 1 }}
[egress.pool.other]
sources = {{ new = 2, far = 1 }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    return tmp_path


def postroad(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "pipeline.toml"), *arguments])


def sent(folder: Path, count: int) -> None:
    with Tables.open(folder / "var" / "abuse") as tables:
        days = Days(tables)

        async def take() -> None:
            for _ in range(count):
                await days.take("new", "", WarmUp(START, (50, 100, 500), days=2))

        trio.run(take)


def test_all_sources(folder: Path) -> None:
    sent(folder, 7)
    done = postroad(folder, "egress", "list")
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [
            "old\t127.0.0.2\tmx2.example.org\t\tbulk=3\t",
            "new\t127.0.0.3\tmx.example.org\t\tbulk=1, other=2\t7 of 100",
            "far\t\tmx.example.org\tsocks5 proxy.example.org:1080\tother=1\t",
        ],
    )
    found = json.loads(postroad(folder, "egress", "list", "--json").output)
    assert [(row["source"], row["sent"]) for row in found] == [("old", 0), ("new", 7), ("far", 0)]


def test_the_plan_of_one(folder: Path) -> None:
    sent(folder, 7)
    rows = json.loads(postroad(folder, "egress", "show", "new", "--json").output)
    assert [(row["ceiling"], row["state"]) for row in rows] == [
        (50, "done"),
        (100, "today: 7 sent"),
        (500, "to come"),
        (None, "to come"),
    ]
    assert rows[0]["from"] == START.isoformat()
    assert rows[1]["from"] == TODAY.isoformat()


@pytest.mark.parametrize(
    ("name", "text"), [("nwe", "there is no source nwe; did you mean new?"), ("old", "old has no warm_up")]
)
def test_what_has_no_plan(folder: Path, name: str, text: str) -> None:
    done = postroad(folder, "egress", "show", name)
    assert done.exit_code == 1
    assert text in done.output


def test_an_address_that_is_not_ours(folder: Path) -> None:
    assert postroad(folder, "check").exit_code == 0
    config = folder / "pipeline.toml"
    config.write_text(config.read_text().replace("127.0.0.2", "198.51.100.99"))
    done = postroad(folder, "check")
    assert done.exit_code == 1
    assert "[egress.source.old] ipv4: this machine does not have 198.51.100.99" in done.output


@pytest.mark.parametrize("content", ["", "name only\n", "name\npassword\nmore\n", "\npassword\n"])
def test_a_file_that_is_no_login(folder: Path, content: str) -> None:
    (folder / "secret").write_text(content)
    config = folder / "pipeline.toml"
    config.write_text(config.read_text() + '[smart_host.there]\nhost = "smtp.example.org"\nlogin_file = "secret"\n')
    done = postroad(folder, "check")
    assert done.exit_code == 2
    assert "[smart_host.there] login_file: " in done.output
    assert "must have two lines: the name, and the password" in done.output
    assert "password\n" not in done.output.replace("the password\n", "")
