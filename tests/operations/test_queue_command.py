"""`postroad queue`: what is parked can be seen, let go on, and deleted, beside the running server."""

import base64
import json
import subprocess
import sys
from pathlib import Path

from engine.message import MessageId
from tests.support.load import subjects
from tests.support.server import ROOT, Postroad, letter, until

BOB = "bob@example.org"

PARK = """
'''Parks what calls itself odd.'''
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("it calls itself odd") if "odd" in message.header("Subject") else message
"""


def settings(*stages: str) -> dict[str, object]:
    return {"lane": {"inbound": {"stages": ["accept", *stages]}}, "stage": {"park": {"use": "filters/park.py"}}}


def parked(server: Postroad) -> dict[str, dict[str, object]]:
    done = server.command("queue", "list", "state == 'quarantined'", "--json")
    assert done.returncode == 0, done.stderr
    return {row["id"]: row for row in json.loads(done.stdout)}


def test_parked_before_the_queue_then_released_and_deleted(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("park", "queue", "route"), park=PARK) as server:
        server.account(BOB)
        large = letter("odd and large", "x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 5000)
        server.send(letter("odd"), BOB)
        server.send(large, BOB)
        server.send(letter("even"), BOB)
        assert subjects(server.mail_for(BOB)) == ["even"]
        rows = parked(server)
        assert {(row["reason"], tuple(row["to"]), row["state"]) for row in rows.values()} == {  # type: ignore[arg-type]
            ("it calls itself odd", (BOB,), "quarantined")
        }
        small, big = sorted(rows, key=lambda id_: int(rows[id_]["size"]))  # type: ignore[call-overload]
        assert (tmp_path / "var" / "content" / big).exists()

        done = server.command("queue", "release", small)
        assert (done.returncode, done.stdout) == (0, "1 message released.\n"), done.stderr
        assert sorted(subjects(server.mail_for(BOB, 2))) == ["even", "odd"]
        done = server.command("queue", "delete", big)
        assert (done.returncode, done.stdout) == (0, "1 message deleted.\n"), done.stderr
        assert parked(server) == {}
        assert not (tmp_path / "var" / "content" / big).exists()

        done = server.command("queue", "release", small)
        assert (done.returncode, done.stderr) == (1, f"{small}: there is no such message\n")


def test_what_is_parked_outlives_a_restart_and_a_killed_worker(tmp_path: Path) -> None:
    with Postroad(tmp_path, settings("queue", "park", "route"), park=PARK) as server:
        server.account(BOB)
        server.send(letter("odd"), BOB)
        server.wait_for("quarantined", to=BOB)
        (identity,) = until(lambda: parked(server), "the message to be parked")
        server.kill()
        server.start()
        assert list(parked(server)) == [identity]
        done = server.command("queue", "release", identity)
        assert done.returncode == 0, done.stderr
        assert subjects(server.mail_for(BOB)) == ["odd"]


def test_what_waits_is_listed_and_cannot_be_released(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"queue": {"in_flight": 0}}) as server:
        server.account(BOB)
        server.send(letter("waits"), BOB)
        done = server.command("queue", "list")
        identity, state, sender, to, *_ = done.stdout.split("\t")
        assert (state, sender, to) == ("waiting", "ann@example.net", BOB)
        done = server.command("queue", "release", identity)
        assert (done.returncode, done.stderr) == (1, f"{identity}: it waits\n")


def test_wrong_words(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    done = server.command("queue", "release", "nonsense")
    assert done.returncode == 2
    assert "'nonsense' is no message id; `postroad queue list` shows them" in done.stderr
    identity = MessageId.new()
    done = server.command("queue", "release", str(identity))
    assert (done.returncode, done.stderr) == (1, f"{identity}: there is no such message\n")
    assert server.command("queue", "list").stdout == ""


def test_a_snapshot_of_a_running_server_goes_on_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "queue.tar.gz"
    large = letter("large", ("y" * 70 + "\r\n") * 5000)
    with Postroad(tmp_path / "here", {"queue": {"in_flight": 0}}) as here:
        here.account(BOB)
        for content in (letter("small"), large):
            here.send(content, BOB)
        done = here.command("queue", "verify")
        assert (done.returncode, done.stdout) == (0, "2 messages in 2 shards: no contradiction.\n"), done.stderr
        done = here.command("queue", "snapshot", str(file))
        assert (done.returncode, done.stdout) == (0, f"2 messages in {file}.\n"), done.stderr
        done = here.command("queue", "verify", "--json")
        assert json.loads(done.stdout) == {"messages": 2, "shards": 2, "problems": []}
        done = here.command("queue", "snapshot", str(file))
        assert (done.returncode, done.stderr) == (1, f"postroad: {file} exists already\n")
        done = here.command("queue", "restore", str(file))
        assert done.returncode == 1
        assert "stop it first" in done.stderr
    there = Postroad(tmp_path / "there")
    done = there.command("queue", "restore", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"messages": 2, "file": str(file)}
    there.account(BOB)
    with there:
        assert sorted(subjects(there.mail_for(BOB, 2))) == ["large", "small"]
        assert there.command("queue", "verify").returncode == 0


def test_what_contradicts_itself_is_said_and_is_no_success(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"queue": {"in_flight": 0}, "server": {"workers": 1}}) as server:
        server.account(BOB)
        server.send(letter("large", ("y" * 70 + "\r\n") * 5000), BOB)
        [file] = (tmp_path / "var" / "content").iterdir()
        file.unlink()
        done = server.command("queue", "verify")
        assert done.returncode == 1
        assert done.stderr.startswith(f"shard 0: {file.name} has lost its file\n")
        assert "1 message in 1 shard: 1 contradiction" in done.stderr
        done = server.command("queue", "verify", "--json")
        assert done.returncode == 1
        [found] = json.loads(done.stdout)["problems"]
        assert found == {"shard": 0, "problem": f"{file.name} has lost its file"}
        shown = server.command("queue", "show", file.name)
        assert (shown.returncode, f"cannot read {file}: " in shown.stdout) == (0, True)


WITH_A_FILE = (
    b"From: ann@example.net\r\nSubject: report\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9\r\n--b\r\nContent-Type: image/png\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename*=UTF-8''%C3%A9.png\r\n\r\n"
    + base64.encodebytes(bytes(range(256)) * 900).replace(b"\n", b"\r\n")
    + b"--b--\r\n"
)


def test_a_part_of_a_message_by_itself(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"queue": {"in_flight": 0, "inline": "1 KiB"}}) as server:
        server.account(BOB)
        server.send(WITH_A_FILE, BOB)
        (row,) = json.loads(server.command("queue", "list", "--json").stdout)

        def octets(*arguments: str) -> bytes:
            command = [sys.executable, "-m", "engine", "--config", str(server.config), "queue", "show", row["id"]]
            return subprocess.run([*command, *arguments], capture_output=True, check=True, cwd=ROOT).stdout

        assert octets("--part", "1") == "café".encode()
        assert octets("--part", "2") == bytes(range(256)) * 900
        assert base64.decodebytes(octets("--part", "2", "--raw")) == bytes(range(256)) * 900
        about = json.loads(octets("--json"))
        assert [(part["number"], part["type"], part["name"]) for part in about["parts"]] == [
            ("1", "text/plain", ""), ("2", "image/png", "é.png"),
        ]  # fmt: skip
        assert "\n  2 image/png é.png " in octets().decode()
        done = server.command("queue", "show", row["id"], "--part", "3")
        assert (done.returncode, done.stderr) == (1, f"postroad: {row['id']} has no part 3; there are 1, 2\n")
        assert server.command("queue", "show", row["id"], "--part", "1.TEXT").returncode == 1
        assert server.command("queue", "show", row["id"], "--raw").returncode == 2
        gone = str(MessageId.new())
        done = server.command("queue", "show", gone, "--part", "1")
        assert (done.returncode, done.stderr) == (1, f"postroad: {gone}: there is no such message\n")
