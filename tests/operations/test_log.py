"""The log, as an operator reads it: from its file, by message, as it grows, with nobody's address in it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.server import PATIENCE, Postroad, until, whole_lines

ANN, BOB, EVE = "ann@example.net", "bob@example.org", "eve@example.net"


def letter(subject: str) -> bytes:
    return f"From: {ANN}\r\nTo: {BOB}\r\nSubject: {subject}\r\n\r\ntext\r\n".encode()


def kept(server: Postroad) -> list[dict[str, object]]:
    return [json.loads(line) for line in whole_lines(server.folder / "log" / "events.jsonl")]


def test_events_are_in_the_file_and_found(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"log": {"file": "log/events.jsonl"}}) as server:
        server.account(BOB)
        server.send(letter("one"), BOB, sender=ANN)
        server.send(letter("two"), BOB, sender=EVE)
        first = server.wait_for("delivered", **{"from": ANN})
        until(lambda: sum(one["event"] == "delivered" for one in kept(server)) == 2, "both in the file")
        found = server.command("log", str(first["id"]), "--json")
        assert {json.loads(line)["event"] for line in found.stdout.splitlines()} >= {"accepted", "delivered"}
        assert "eve@" not in found.stdout
        assert len(server.command("log", "EVE@example.net", "--event", "accept*").stdout.splitlines()) == 1
        assert "worker-started" in server.command("log", "--process", "supervisor", "--last", "1h").stdout
        assert len(server.command("log", "-n", "3").stdout.splitlines()) == 3
        assert (tmp_path / "log" / "events.jsonl").stat().st_mode & 0o777 == 0o600
        until(lambda: all(one in server.events for one in kept(server)), "the same on standard error")


def test_it_is_followed(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"log": {"file": "log/events.jsonl"}}) as server:
        server.account(BOB)
        command = [sys.executable, "-m", "engine", "--config", str(server.config), "log", "-f", "--event", "accepted"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as follower:
            try:
                assert follower.stdout is not None
                server.send(letter("one"), BOB, sender=ANN)
                assert f"from={ANN}" in follower.stdout.readline()
                (tmp_path / "log" / "events.jsonl").rename(tmp_path / "log" / "events.jsonl.1")  # as logrotate does
                until(lambda: server.send(letter("more"), BOB, sender=EVE) or _exists(server), "a new file")
                assert f"from={EVE}" in follower.stdout.readline()
            finally:
                follower.terminate()


def _exists(server: Postroad) -> bool:
    return (server.folder / "log" / "events.jsonl").exists()


def test_nobody_can_tell_whose_mail_it_was(tmp_path: Path) -> None:
    settings = {"log": {"file": "log/events.jsonl", "addresses": "hashed"}}
    with Postroad(tmp_path, settings) as server:
        server.account(BOB)
        server.send(letter("one"), BOB, sender=ANN)
        with server.dialogue() as dialogue:
            dialogue.ask("EHLO client.example.net", "250")
            dialogue.ask(f"MAIL FROM:<{ANN}>", "250")
            dialogue.ask("RCPT TO:<nobody.at.all@example.org>", "550")
        server.wait_for("delivered")
        until(lambda: any(one["event"] == "delivered" for one in kept(server)), "it in the file")
        everything = json.dumps(server.events) + "".join(server.noise) + json.dumps(kept(server))
        for person in ("ann@", "bob@", "nobody.at.all"):
            assert person not in everything
        (sender,) = {one["from"] for one in kept(server) if one["event"] == "delivered"}
        assert str(sender).endswith("@example.net")
        found = server.command("log", ANN, "--event", "delivered", "--json").stdout.splitlines()
        assert [json.loads(line)["from"] for line in found] == [sender]
        assert (tmp_path / "var" / "log.key").stat().st_mode & 0o777 == 0o600


def test_a_reload_sends_it_elsewhere(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.settimeout(PATIENCE)
        refused = server.command("log")
        assert refused.returncode == 1
        assert "[log] names no file" in refused.stderr
        server.account(BOB)
        server.change({"log": {"syslog": f"udp:127.0.0.1:{syslog.getsockname()[1]}", "file": "log/events.jsonl"}})
        assert server.reload().returncode == 0
        server.send(letter("one"), BOB, sender=ANN)
        while b" accepted - " not in syslog.recv(65536):
            pass
        until(lambda: any(one["event"] == "delivered" for one in kept(server)), "it in the file")


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        (tmp_path / "file").write_text("")
        server.change({"log": {"file": "file/events.jsonl"}})
        done = server.reload()
        assert done.returncode == 1
        assert "[log] cannot be written to" in done.stderr
        server.account(BOB)
        server.send(letter("one"), BOB, sender=ANN)
        server.wait_for("delivered")
