"""What commands change, and who gave them, comes into the server's log, whether it ran then or not."""

from pathlib import Path

from engine.operations.operator import user
from tests.support.server import PASSWORD, Postroad

BOB = "bob@example.org"


def test_changes_come_into_the_log(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    assert server.command("account", "add", BOB, "--password-stdin", stdin=PASSWORD).returncode == 0
    with server:
        assert server.wait_for("account-added", address=BOB)["by"] == user()
        assert server.command("quota", "set", BOB, "--size", "5GB").returncode == 0
        assert server.wait_for("quota-set", name=BOB, octets=5_000_000_000)["by"] == user()
        assert server.command("domain", "add", "example.net").returncode == 0
        assert server.command("lists", "block", "example.com", "--domain", "example.net").returncode == 0
        assert server.command("mailbox", "share", BOB, "INBOX", "anyone", "lr").returncode == 0
        assert server.wait_for("rights-set", address=BOB)["rights"] == "lr"
        told = [(one["event"], one["process"]) for one in server.events if "by" in one]
    assert told == [
        ("account-added", "command"),
        ("quota-set", "command"),
        ("domain-added", "command"),
        ("list-changed", "command"),
        ("rights-set", "command"),
    ]
    assert not any(PASSWORD in str(one) for one in server.events)
