"""A command starts at once: it imports what it needs, and nothing heavy by the way of others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.queued import fill
from tests.support.server import ROOT, Postroad

HEAVY = {
    "trio", "zmq", "dns", "rich", "textual", "starlette", "jinja2", "email_validator", "cryptography", "argon2",
    "stages", "engine.runtime", "engine.mailbox", "engine.directory", "engine.sieve", "engine.net",
}  # fmt: skip
"""What costs tens of milliseconds."""

_SAY = """
import json, sys
sys.argv[0] = "postroad"
from engine.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Postroad:
    found = Postroad(tmp_path_factory.mktemp("start"))
    fill(found.folder / "var", 10)
    return found


def imported(folder: Path, *arguments: str) -> set[str]:
    """The modules that the command has imported, of those in ``HEAVY``."""
    done = subprocess.run(
        [sys.executable, "-c", _SAY, *arguments], capture_output=True, text=True, cwd=folder, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, timeout=120,
    )  # fmt: skip
    return HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "command",
    [
        "--version", "--help", "queue --help", "queue list", "queue list --count True", "queue list --json --limit 3",
        "queue top --by reply --json",
    ],
)  # fmt: skip
def test_nothing_heavy_is_imported(server: Postroad, command: str) -> None:
    if command == "queue --help":  # it tells what each of its commands does, so that all are loaded
        assert "stages" not in imported(server.folder, *command.split())
    else:
        assert imported(server.folder, *command.split()) == set()


def test_what_is_heavy_is_found(server: Postroad) -> None:
    """Else a name in the list that nobody has would be a test that cannot fail."""
    assert {"stages", "trio", "engine.runtime"} <= imported(server.folder, "check")


def test_the_queue_can_be_seen_while_a_stage_is_being_edited(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    fill(tmp_path / "var", 10)
    server.change({"stage": {"relay": {"retry": ["soon"]}}, "webhook": [{"nonsense": 1}]})
    done = server.command("queue", "list", "--count")
    assert (done.returncode, done.stdout, done.stderr) == (0, "10 messages\n", "")
    assert server.command("check").returncode == 2


def test_all_mistakes_are_told_where_one_of_them_matters(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    server.change({"stage": {"relay": {"retry": ["soon"]}}, "queue": {"map_size": "much"}})
    done = server.command("queue", "list", "--count")
    assert done.returncode == 2
    assert "[stage.relay] retry" in done.stderr
    assert "[queue] map_size" in done.stderr
    assert done.stderr == server.command("check").stderr
