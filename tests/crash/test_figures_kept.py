"""Figures over time of a real server: each message counts once, whoever is killed meanwhile."""

import os
import signal
from pathlib import Path

from tests.support.server import Postroad, letter, until

ANN = "ann@example.org"


def counted(server: Postroad, chart: str, *more: str) -> int:
    """All that a chart has in its last day."""
    told = server.command("figures", "--chart", chart, "--csv", *more)
    lines = [line.split(",") for line in told.stdout.splitlines()[1:]]
    return sum(int(cell) for line in lines for cell in line[1:] if cell)


def send(server: Postroad, count: int, name: str) -> None:
    for number in range(count):
        server.send(letter(f"{name} {number}"), ANN)
    until(lambda: len(server.all("delivered", to=ANN)) >= count, f"{count} deliveries")
    server.forget()


def test_each_message_counts_once_whoever_is_killed(tmp_path: Path) -> None:
    server = Postroad(tmp_path, {"listen": {"metrics": "127.0.0.1:0"}}).account(ANN)
    with server:
        send(server, 5, "before")
        until(lambda: counted(server, "handed-on") == 5, "five that are counted", seconds=200)
        os.kill(server.worker("web"), signal.SIGKILL)
        send(server, 4, "while nobody looks")
        until(lambda: counted(server, "handed-on") == 9, "nine that are counted", seconds=200)
        server.kill()
        server.start()
        send(server, 3, "after a new start")
        until(lambda: counted(server, "handed-on") == 12, "twelve that are counted", seconds=200)
        until(lambda: counted(server, "taken") == 12, "twelve that were taken", seconds=200)
        until(lambda: counted(server, "received", "--domain", "example.org") == 12, "twelve received", seconds=200)
        assert counted(server, "trouble") == 0
