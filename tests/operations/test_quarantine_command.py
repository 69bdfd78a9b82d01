"""`postroad quarantine`: parked mail is found, looked at, let go on, deleted; by its recipients too."""

import json
from pathlib import Path
from typing import Any

from tests.support.load import subjects
from tests.support.server import Postroad, letter, until

BOB, CAT = "bob@example.org", "cat@example.org"

SCORE = """
'''Says how odd something is.'''
from engine import Message

async def score(message: Message):
    return message.with_facts({"scan.score": 7.5 if "odd" in message.header("Subject") else 1.0, "spf.result": "fail"})
"""

PARK = """
'''Parks what calls itself odd, or a virus.'''
from engine import Message, Quarantine

async def park(message: Message):
    subject = message.header("Subject")
    if "virus" in subject:
        return message.with_fact("quarantine.reason", "virus EICAR")
    return Quarantine("spam by its words") if "odd" in subject else message
"""


FILTERS = {"score": SCORE, "park": PARK}


def settings(*stages: str, **changes: Any) -> dict[str, Any]:
    return {
        "lane": {"inbound": {"stages": ["accept", *stages]}},
        "stage": {"score": {"use": "filters/score.py"}, "park": {"use": "filters/park.py"}},
        **changes,
    }


def rows(server: Postroad, *options: str) -> list[dict[str, Any]]:
    done = server.command("quarantine", "list", "--json", *options)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def listed(server: Postroad, *options: str) -> list[str]:
    return [row["subject"] for row in rows(server, *options)]


def test_what_is_parked_is_found_by_what_is_known_of_it(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("score", "park", "queue", "route"), **FILTERS) as server:
        server.account(BOB, CAT)
        server.send(letter("odd one"), BOB)
        server.send(letter("a virus"), BOB, CAT, sender="eve@sub.example.com")
        server.send(letter("even"), BOB)
        odd, virus = rows(server)
        assert {key: odd[key] for key in odd.keys() - {"id", "parked", "size"}} == {
            "from": "ann@example.net", "to": [BOB], "subject": "odd one", "score": 7.5, "stage": "park",
            "reason": "spam by its words",
        }  # fmt: skip
        assert (virus["stage"], virus["reason"], virus["to"]) == ("park", "virus EICAR", [BOB, CAT])
        for options, expected in (
            (["--to", "CAT@example.org"], ["a virus"]),
            (["--to", "example.org"], ["odd one", "a virus"]),
            (["--from", "ann@example.net"], ["odd one"]),
            (["--from", "example.com"], []),
            (["--reason", "eicar"], ["a virus"]),
            (["--stage", "park", "--score", "5"], ["odd one"]),
            (["--stage", "scan"], []),
            (["--older", "1h"], []),
            (["--newer", "1h"], ["odd one", "a virus"]),
        ):
            assert listed(server, *options) == expected, options
        done = server.command("quarantine", "list", "--older", "soon")
        assert done.returncode == 2
        assert "is no duration" in done.stderr


def test_one_of_several_recipients_is_let_go(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("queue", "score", "park", "route"), **FILTERS) as server:
        server.account(BOB, CAT)
        server.send(letter("odd"), BOB, CAT)
        server.wait_for("quarantined", to=CAT)
        (row,) = until(lambda: [row for row in rows(server) if sorted(row["to"]) == [BOB, CAT]], "both to be parked")
        assert (row["score"], row["stage"]) == (7.5, "park")
        assert server.command("quarantine", "delete", "--to", "example.com").returncode == 0  # nobody is there
        assert server.command("quarantine", "release", row["id"], "--to", "example.com").returncode == 1
        done = server.command("quarantine", "release", row["id"], "--to", BOB)
        assert (done.returncode, done.stdout) == (0, f"Released {row['id']}.\n"), done.stderr
        assert subjects(server.mail_for(BOB)) == ["odd"]
        assert [row["to"] for row in rows(server)] == [[CAT]]
        done = server.command("quarantine", "release", row["id"], "--to", BOB)
        assert (done.returncode, done.stderr) == (1, f"{row['id']}: it is not parked\n")
        assert server.command("quarantine", "delete", "--to", CAT).stdout == f"Deleted {row['id']}.\n"
        assert rows(server) == []
        assert subjects(server.mail_for(BOB)) == ["odd"]
        assert server.mailbox(CAT) == []


def test_a_message_is_shown_and_no_terminal_obeys_it(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("score", "park", "queue", "route"), **FILTERS) as server:
        server.account(BOB)
        server.send(letter("odd \x1b]0;mine\x07", "Hello \x1b[31mred\r\nand more\r\n"), BOB)
        (row,) = rows(server)
        done = server.command("quarantine", "show", row["id"])
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        for part in (
            "reason: spam by its words",
            "  scan.score = 7.5",
            "  spf.result = fail",
            "\nheader:\n",
            "and more",
        ):
            assert part in done.stdout, done.stdout
        found = json.loads(server.command("quarantine", "show", "--json", row["id"]).stdout)
        assert found["facts"]["quarantine.stage"] == "park"
        assert found["text"] == "Hello [31mred and more"


def test_what_is_decided_is_learnt(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("score", "park", "queue", "route"), **FILTERS) as server:
        server.account(BOB)
        for number in range(3):
            server.send(letter(f"odd {number}", f"words of number {number}"), BOB)
        one, two, three = (row["id"] for row in rows(server))
        done = server.command("quarantine", "train", "--spam", one)
        assert (done.returncode, "Learnt as spam: 1 message" in done.stdout) == (0, True), done.stderr
        done = server.command("quarantine", "release", "--train", two)
        assert (done.returncode, "Learnt as ham: 1 message" in done.stdout) == (0, True), done.stderr
        done = server.command("quarantine", "delete", "--train", three, two)
        assert (done.returncode, "Learnt as spam: 1 message" in done.stdout) == (1, True), done.stderr
        assert [row["id"] for row in rows(server)] == [one]


def test_wrong_words(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    for command in ("release", "delete"):
        done = server.command("quarantine", command)
        assert done.returncode == 2
        assert "name the IDs of messages" in done.stderr
    done = server.command("quarantine", "show", "nonsense")
    assert done.returncode == 2
    assert "'nonsense' is no message id; `postroad quarantine list` shows them" in done.stderr
    assert server.command("quarantine", "list").stdout == ""


def test_what_is_old_is_deleted(tmp_path: Path) -> None:
    kept = settings("score", "park", "queue", "route", quarantine={"expire": "1s"}, server={"workers": 1})
    with Postroad(tmp_path, kept, **FILTERS) as server:
        server.account(BOB)
        server.send(letter("odd", "line\r\n" * 50_000), BOB)
        told = server.wait_for("expired")
        assert (told["to"], told["reason"]) == ([BOB], "spam by its words")
        assert rows(server) == []
        until(lambda: not list((tmp_path / "var" / "content").iterdir()), "its content to be gone")
