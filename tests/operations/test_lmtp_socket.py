"""LMTP at a Unix socket: bound with its group and mode, kept by a reload, replaced after a crash."""

import grp
import os
import smtplib
import socket
import stat
from pathlib import Path
from typing import Any

from tests.support.programs import needs, run
from tests.support.server import PATIENCE, Postroad, letter

BOB = "bob@example.org"


def settings(path: Path, **more: str) -> dict[str, Any]:
    return {
        "listen": {"lmtp": {"socket": str(path), **more}},
        "lane": {"handed_in": {"listen": ["lmtp"], "stages": ["lmtp_accept", "queue", "route"]}},
        "stage": {"lmtp_accept": {"use": "stages.accept", "protocol": "lmtp"}},
    }


def hand_in(path: Path, subject: str) -> None:
    with smtplib.LMTP(str(path), timeout=PATIENCE) as client:
        client.sendmail("ann@example.net", [BOB], letter(subject))


def subjects(server: Postroad, count: int) -> list[bytes]:
    return sorted(one.partition(b"Subject: ")[2].partition(b"\r\n")[0] for one in server.mail_for(BOB, count))


def test_mail_comes_in_through_a_socket_until_the_server_stops(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    group = grp.getgrgid(os.getgid()).gr_name
    with Postroad(tmp_path / "server", settings(path, mode="0606", group=group)).account(BOB) as server:
        about = path.stat()
        assert stat.S_ISSOCK(about.st_mode)
        assert (about.st_mode & 0o777, about.st_gid) == (0o606, os.getgid())
        hand_in(path, "one")
        server.change({"stage": {"lmtp_accept": {"max_recipients": 50}}})
        assert server.reload().returncode == 0
        assert path.stat().st_ino == about.st_ino
        hand_in(path, "two")
        assert subjects(server, 2) == [b"one", b"two"]
        assert b"with LMTP id " in server.mailbox(BOB)[0]
        moved = tmp_path / "moved"
        server.change({"listen": {"lmtp": {"socket": str(moved)}}})
        assert server.reload().returncode == 0
        assert not path.exists()
        hand_in(moved, "three")
        server.mail_for(BOB, 3)
        assert server.stop() == 0
    assert not moved.exists()


def test_what_a_killed_server_left_is_replaced_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    server = Postroad(tmp_path / "server", settings(path)).account(BOB)
    with server:
        server.kill()
        assert path.exists()
        server.start()
        hand_in(path, "after the crash")
        server.mail_for(BOB)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert f"another program listens on {path}" in server.command("run").stderr
    path.unlink()
    path.write_text("dear to somebody")
    assert "there is a file of that name" in server.command("run").stderr
    assert path.read_text() == "dear to somebody"


@needs("smtp-source")
def test_postfix_hands_in_many(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with Postroad(tmp_path / "server", settings(path)).account(BOB) as server:
        run("smtp-source", "-L", "-m", "20", "-s", "4", "-f", "ann@example.net", "-t", BOB, f"unix:{path}")
        server.mail_for(BOB, 20)


def test_everything_breaks_off_in_mid_command(tmp_path: Path) -> None:
    """A client that leaves is no more trouble than at a port."""
    path = tmp_path / "lmtp"
    with Postroad(tmp_path / "server", settings(path)).account(BOB) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"LHLO x\r\nMAIL FR")
        hand_in(path, "the next one")
        server.mail_for(BOB)
        assert server.all("bug") == []
