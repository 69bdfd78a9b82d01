"""What is no mistake in pipeline.toml, but hardly meant, is told with its line and what to do."""

import socket
from pathlib import Path
from typing import Any

import pytest

from engine.config import load
from engine.config.advice import facts_in
from engine.operations.advising import warnings
from engine.signing.store import KeyStore
from tests.support.server import BASE, ROOT, merged, toml

MARK = """
from engine import Message

async def mark(message: Message):
    return message.with_fact("mark.seen", True)
"""
DYNAMIC = """
from engine import Message

async def mark(message: Message, *, name: str = "a.b"):
    return message.with_fact(name, True)
"""
PICKS = """
from engine import Message, Route

async def mark(message: Message):
    return Route("other")
"""


def advised(folder: Path, changes: dict[str, Any], mark: str = MARK) -> list[tuple[str, str]]:
    """The places and texts of all warnings; each has a line."""
    (folder / "mark.py").write_text(mark)
    path = folder / "pipeline.toml"
    path.write_text(toml(merged(BASE, changes)))
    found = warnings(load(path))
    assert all(problem.line > 0 for problem in found)
    return [(problem.place, problem.text) for problem in found]


def inbound(*stages: str) -> dict[str, Any]:
    return {"lane": {"inbound": {"stages": ["accept", *stages]}}}


MARKED = {"stage": {"mark": {"use": "mark.py"}}}
PARTNERS = {"lane": {"partners": {"stages": ["resolve", "relay"]}}}
EVERYBODY = [{"to": "local", "lane": "local"}, {"to": "*", "lane": "remote"}]

WARNINGS: list[tuple[str, dict[str, Any], str, str]] = [
    ("lane", PARTNERS, "[lane.partners]", "nothing leads here"),
    (
        "chain",
        {"lane": {"a": {"stages": ["pick", "enqueue"]}, "b": {"stages": ["enqueue"]}},
         "stage": {"pick": {"use": "stages.route"}}},
        "[lane.a]", "nothing leads here",
    ),
    (
        "source",
        {"lane": {"sent": {"stages": ["submit", "queue", "route"], "listen": []}},
         "stage": {"submit": {"use": "stages.accept"}}},
        "[lane.sent]", "none of its listeners (none) is in [listen]",
    ),
    (
        "shadowed",
        {"route": [{"to": "*.far.test", "lane": "remote"}, {"to": "a@b.far.test", "lane": "local"}, *EVERYBODY]},
        "[route]", "rule 2 is never reached: rule 1 takes all that it would",
    ),
    (
        "twice",
        {"route": [{"to": "far.test", "from": "a.test", "lane": "remote"}, {"to": "@far.test", "from": "a.test",
         "lane": "local"}, *EVERYBODY]},
        "[route]", "rule 1 takes all",
    ),
    (
        "behind an effect",
        {"lane": {"local": {"stages": ["enqueue", "sign"]}}},
        "[lane.local] stages", "sign stands behind enqueue, where the way ends",
    ),
    ("no end", {"lane": {"local": {"stages": ["sign"]}}}, "[lane.local] stages", "ends without an effect"),
    (
        "too early",
        merged(inbound("mark", "scan", "queue", "route"),
               {"stage": {"mark": {"use": "mark.py", "when": "scan.score > 5"}, "scan": {"spam": {}}}}),
        "[stage.mark] when", "scan.score is not there yet: scan leaves it",
    ),
    (
        "later lane",
        merged(inbound("mark", "queue", "route"),
               {"stage": {"mark": {"use": "mark.py", "when": 'resolve.site == "x"'}}}),
        "[stage.mark] when", "resolve leaves it, which comes later",
    ),
    (
        "nobody",
        merged(inbound("dnsbl", "mark", "queue", "route"),
               {"stage": {"mark": {"use": "mark.py", "when": "door.dnsbl_scor > 5"},
                          "dnsbl": {"lists": [{"zone": "list.test"}]}}}),
        "[stage.mark] when", "no stage leaves the fact door.dnsbl_scor; did you mean door.dnsbl_score?",
    ),
    ("public", {"listen": {"smtp": "*:2525"}}, "[listen] smtp", "mail comes in unencrypted"),
    ("logins", {"listen": {"imap": "192.0.2.1:2143"}}, "[listen] imap", "nobody can log in safely"),
    (
        "same port",
        {"listen": {"smtp": "127.0.0.1:2525", "pop3": "0.0.0.0:2525"}},
        "[listen] smtp", "pop3 has this port too",
    ),
    ("empty", {"sieve": {"before": ["empty"]}}, "[sieve] before", "is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "place", "text"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS])
def test_what_is_hardly_meant(tmp_path: Path, changes: dict[str, Any], place: str, text: str) -> None:
    (tmp_path / "empty").touch()
    found = advised(tmp_path, changes)
    assert any(where.startswith(place) and text in what for where, what in found), found


FINE: list[tuple[str, dict[str, Any], str]] = [
    ("base", {}, MARK),
    ("rule", {**PARTNERS, "route": [{"to": "far.test", "lane": "partners"}, *EVERYBODY]}, MARK),
    (
        "narrow first",
        {"route": [{"to": "a@far.test", "lane": "local"}, {"to": "far.test", "lane": "remote"}, *EVERYBODY]},
        MARK,
    ),
    (
        "another sender",
        {"route": [{"to": "far.test", "from": "a.test", "lane": "local"}, {"to": "far.test", "lane": "remote"},
                   *EVERYBODY]},
        MARK,
    ),
    (
        "picked",
        merged(merged(inbound("mark", "queue", "route"), MARKED), {"lane": {"other": {"stages": ["enqueue"]}}}),
        PICKS,
    ),
    (
        "in time",
        merged(inbound("authenticate", "mark", "queue", "route"),
               {"stage": {"mark": {"use": "mark.py", "when": 'spf.result == "fail" and dkim[0].result != "pass"'}}}),
        MARK,
    ),
    (
        "lane before",
        {"lane": {"inbound": {"stages": ["accept", "mark", "queue", "route"]}, "local": {"stages": ["tag", "enqueue"]}},
         "stage": {"mark": {"use": "mark.py"}, "tag": {"use": "mark.py:mark", "when": "mark.seen and size > 1"}}},
        MARK,
    ),
    (
        "who knows",
        merged(inbound("mark", "tag", "queue", "route"),
               {"stage": {"mark": {"use": "mark.py"}, "tag": {"use": "mark.py:mark", "when": "x.y == 1"}}}),
        DYNAMIC,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "mark"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_what_is_meant(tmp_path: Path, changes: dict[str, Any], mark: str) -> None:
    assert advised(tmp_path, changes, mark) == []


def test_the_worked_example_needs_no_advice() -> None:
    assert [one for one in warnings(load(ROOT / "pipeline.toml")) if "port" not in one.text] == []


def test_keys(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "var")
    assert advised(tmp_path, {}) == []
    (tmp_path / "var").mkdir()
    store.make("example.net")
    store.put_in_force("example.net")
    assert sorted(advised(tmp_path, {})) == [
        ("[domains] local", "mail of example.org is not signed: postroad dkim new example.org"),
        ("[lane]", f"{tmp_path}/var has keys for DKIM, but no lane has a stage that signs by them"),
    ]
    signed = {"lane": {"remote": {"stages": ["sign", "resolve", "relay"]}}}
    assert [place for place, _ in advised(tmp_path, signed)] == ["[domains] local"]
    store.make("example.org")
    store.put_in_force("example.org")
    assert advised(tmp_path, signed) == []


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = advised(tmp_path, {"listen": {"smtp": f"127.0.0.1:{port}"}})
    assert found == [("[listen] smtp", f"another program has port {port}; `ss -ltnp` says which")]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("scan.score >= 5 and not session.login", ["scan.score"]),
        ('dkim[0].domain in ["a.test", spf.domain] or size > 3', ["dkim[0].domain", "spf.domain"]),
        ("sender == 'x' or 'a.b' == \"it's c.d\"", []),
        ("(scan.spam.score)>5.5", ["scan.spam.score"]),
        ("a.b and not a.b", ["a.b"]),
    ],
)
def test_the_facts_of_a_condition(text: str, facts: list[str]) -> None:
    assert facts_in(text) == facts
