"""What a reload would open, close and restart, by the two files alone."""

from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, load
from engine.operations.previewing import differences
from tests.support.server import BASE, merged, toml


def configured(folder: Path, name: str, changes: dict[str, Any]) -> Config:
    path = folder / f"{name}.toml"
    path.write_text(toml(merged(BASE, changes)))
    return load(path)


EVERY = ["accept", "route", "enqueue", "resolve", "relay"]

CHANGES: list[tuple[str, dict[str, Any], str, dict[str, list[str]]]] = [
    ("nothing", {}, "stages", {"the same": EVERY}),
    (
        "a setting", {"stage": {"relay": {"retry": ["2s"]}}}, "stages",
        {"changed": ["relay"], "the same": ["accept", "route", "enqueue", "resolve"]},
    ),
    (
        "a condition", {"stage": {"resolve": {"when": "size > 1"}}}, "stages",
        {"changed": ["resolve"], "the same": ["accept", "route", "enqueue", "relay"]},
    ),
    ("the host's name", {"server": {"hostname": "mx2.example.org"}}, "stages", {"changed": EVERY}),
    (
        "another stage", {"lane": {"local": {"stages": ["sign", "enqueue"]}}}, "stages",
        {"new": ["sign"], "the same": EVERY},
    ),
    ("its lane", {"lane": {"local": {"stages": ["sign", "enqueue"]}}}, "lanes",
     {"changed": ["local"], "the same": ["inbound", "remote"]}),
    ("a listener moved", {"listen": {"pop3": "127.0.0.2:0"}}, "listeners", {"changed": ["pop3"], "the same": ["smtp"]}),
    ("a listener closed", {"listen": {"pop3": None}}, "listeners", {"gone": ["pop3"], "the same": ["smtp"]}),
    ("its workers", {"listen": {"pop3": None}}, "workers",
     {"gone": ["readers-0", "readers-1"], "the same": ["mailboxes", "mail-0", "mail-1"]}),
    ("workers of a stage", {"stage": {"resolve": {"workers": 2}}}, "workers",
     {"new": ["resolve-0", "resolve-1"],
      "the same": ["mailboxes", "readers-0", "readers-1", "mail-0", "mail-1"]}),
    ("a restart", {"server": {"workers": 3, "user": "nobody"}}, "restart",
     {"needed": ["[server] workers", "[server] user"]}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "what", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_would_change(tmp_path: Path, changes: dict[str, Any], what: str, expected: dict[str, list[str]]) -> None:
    found = differences(configured(tmp_path, "old", {}), configured(tmp_path, "new", changes))[what]
    said = {how: names for how, names in found.items() if names}
    assert {how: sorted(names) for how, names in said.items()} == {how: sorted(n) for how, n in expected.items()}
