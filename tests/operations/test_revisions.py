"""`postroad revision` on a running server: what is kept, what changed, and the way back."""

import json
import os
import signal
import socket
from pathlib import Path

from tests.support.server import Postroad, free_port, letter, refuses, until

BOB = "bob@example.org"
MARK = '''
"""Marks each message."""
from engine import Message

async def mark(message: Message, *, text: str = "one") -> Message:
    return message.with_header("X-Mark", f"{text} code %d")
'''
MARKED = {
    "lane": {"inbound": {"stages": ["accept", "mark", "queue", "route"]}},
    "stage": {"mark": {"use": "filters/mark.py"}},
}


def rows(server: Postroad) -> list[dict[str, str]]:
    done = server.command("revision", "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def marks(server: Postroad, count: int) -> list[str]:
    """What stands in the messages, in the order in which they came."""
    server.send(letter(f"number {count}"), BOB)
    found = server.mail_for(BOB, count)
    return [one.partition(b"X-Mark: ")[2].partition(b"\r\n")[0].decode() for one in found]


def test_back_brings_the_text_and_the_old_code_of_a_filter(tmp_path: Path) -> None:
    with Postroad(tmp_path, MARKED, mark=MARK % 1) as server:
        server.account(BOB)
        server.filter("mark", MARK % 2)
        assert server.reload().stdout == "revision 2 is in force\n"
        server.change({"stage": {"mark": {"text": "two"}}})
        assert server.reload().stdout == "revision 3 is in force\n"
        assert marks(server, 1) == ["two code 2"]
        assert [(row["revision"], row["became"], row["changed"]) for row in rows(server)] == [
            (1, "was in force", ""),
            (2, "was in force", "file filters/mark.py: changed"),
            (3, "in force", "stage mark: text"),
        ]
        assert [row["before"] for row in rows(server)] == [None, 1, 2]
        assert rows(server)[0]["by"] == "a start"
        edited = server.config.read_text()

        done = server.command("revision", "back", "1")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("revision 1 is in force\n")
        assert marks(server, 2)[1] == "one code 1"
        assert "code 1" in (tmp_path / "filters" / "mark.py").read_text()
        (copies,) = (tmp_path / "pipeline.toml.replaced").iterdir()
        assert (copies / "pipeline.toml").read_text() == edited
        assert "code 2" in (copies / "filters" / "mark.py").read_text()
        assert [row["became"] for row in rows(server)] == ["in force", "was in force", "was in force"]

        assert server.stop() == 0
        server.start()
        assert marks(server, 3)[2] == "one code 1"
        assert len(rows(server)) == 3  # the same has kept its number
        assert server.all("accepted")[-1]["revision"] == 1
        assert "there was none before revision 1" in server.command("revision", "back").stderr


def test_back_without_a_number_from_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with Postroad(tmp_path, MARKED, mark=MARK % 1) as server:
        server.account(BOB)
        server.change({"stage": {"mark": {"text": "two"}}})
        assert server.reload().returncode == 0
        server.write("[server\n")
        done = server.command("revision", "back")
        assert done.returncode == 0, done.stderr
        assert marks(server, 1) == ["one code 1"]


def test_what_was_refused_is_kept_with_its_reason(tmp_path: Path) -> None:
    with Postroad(tmp_path, MARKED, mark=MARK % 1) as server:
        server.write("[server]\nhostname = 1\n")
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for("reload-refused")
        refused = until(lambda: rows(server)[1:], "it to be kept")[0]
        assert refused["became"].startswith("refused: ")
        assert "hostname" in refused["became"]
        assert refused["by"] == "a signal"
        done = server.command("revision", "back", "2")
        assert done.returncode == 1
        assert "hostname" in done.stderr
        assert "revision 2 cannot be used any more; nothing was changed" in done.stderr
        assert server.command("revision", "show", "2").stdout == "[server]\nhostname = 1\n"


def test_back_to_what_the_server_refuses_leaves_the_files(tmp_path: Path) -> None:
    port = free_port()
    settings = {**MARKED, "listen": {"pop3": f"127.0.0.1:{port}"}}
    with Postroad(tmp_path, settings, mark=MARK % 1) as server, socket.socket() as taken:
        server.change({"listen": {"pop3": "127.0.0.1:0"}})
        server.filter("mark", MARK % 2)
        assert server.reload().returncode == 0
        until(lambda: refuses(port), "the former port to be free")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        before = server.config.read_text()
        done = server.command("revision", "back", "1")
        assert done.returncode == 1
        assert f"cannot bind 127.0.0.1:{port}: the port is in use" in done.stderr
        assert server.config.read_text() == before
        assert (tmp_path / "filters" / "mark.py").read_text() == MARK % 2


def test_show_and_diff(tmp_path: Path) -> None:
    with Postroad(tmp_path, MARKED, mark=MARK % 1) as server:
        first = server.config.read_text()
        server.change({"stage": {"mark": {"text": "two"}}})
        server.filter("mark", MARK % 2)
        assert server.reload().returncode == 0
        assert server.command("revision", "show", "1").stdout == first
        assert (MARK % 1).strip() in server.command("revision", "show", "1", "--files").stdout
        shown = json.loads(server.command("revision", "show", "1", "--json").stdout)
        assert (shown["text"], shown["files"]) == (first, {"filters/mark.py": MARK % 1})
        done = server.command("revision", "diff", "1")
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        assert lines[:2] == ["# stage mark: text", "# file filters/mark.py: changed"]
        assert '+text = "two"' in lines
        assert "--- filters/mark.py (revision 1)" in lines
        found = json.loads(server.command("revision", "diff", "2", "1", "--json").stdout)
        assert found["changes"][0] == {"what": "stage", "name": "mark", "how": "text"}
        assert server.command("revision", "diff", "2").returncode == 0
        assert "there is no revision 9; kept are 1 to 2" in server.command("revision", "show", "9").stderr


def test_a_worker_that_is_restarted_has_the_code_that_is_in_force_and_not_what_was_edited_since(tmp_path: Path) -> None:
    with Postroad(tmp_path, MARKED, mark=MARK % 1) as server:
        server.account(BOB)
        server.filter("mark", MARK % 2)
        for name in ("mail-0", "mail-1"):
            os.kill(server.worker(name), signal.SIGKILL)
            server.wait_for("worker-restarted", worker=name)
        assert marks(server, 1) == ["one code 1"]


def test_as_many_are_kept_as_is_said(tmp_path: Path) -> None:
    with Postroad(tmp_path, {**MARKED, "server": {"keep_revisions": 3}}, mark=MARK % 1) as server:
        for number in range(5):
            server.change({"stage": {"mark": {"text": f"number {number}"}}})
            assert server.reload().returncode == 0
        assert [row["revision"] for row in rows(server)] == [4, 5, 6]


def test_a_lane_can_be_renamed_while_a_connection_is_open(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server, server.dialogue() as old:
        server.account(BOB)
        old.start(BOB).content(letter("before"))
        stages = server.settings["lane"]["inbound"]["stages"]
        server.change({"lane": {"inbound": None, "incoming": {"stages": stages}}})
        assert server.reload().returncode == 0
        old.start(BOB).content(letter("on the open connection"))
        server.send(letter("on a new one"), BOB)
        assert len(server.mail_for(BOB, 3)) == 3
        assert server.all("bug") == []
