"""Bans: shared by all processes, seen and lifted by the command, and still there after everything was killed."""

import json
from pathlib import Path

from tests.support.server import PASSWORD, Dialogue, Postroad

BOB = "bob@example.org"
GUESSER = "127.0.0.9"


def attempt(server: Postroad, password: str, source: str) -> Dialogue:
    """A login by POP3, whose reply is still to come."""
    dialogue = Dialogue(server.ports["pop3"], source, "+OK")
    dialogue.ask(f"USER {BOB}", "+OK")
    dialogue.send(f"PASS {password}\r\n".encode())
    return dialogue


def bans(server: Postroad) -> list[dict[str, object]]:
    done = server.command("ban", "list", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_a_guesser_is_kept_out_until_an_operator_lets_it_in(tmp_path: Path) -> None:
    with Postroad(tmp_path, {"login": {"network_guesses": 1}}) as server:
        server.account(BOB)
        assert bans(server) == []
        attempt(server, "guess", GUESSER).expect("-ERR [AUTH]")
        assert server.wait_for("banned")["network"] == f"{GUESSER}/32"
        server.kill()
        server.start()
        assert [(ban["kind"], ban["name"]) for ban in bans(server)] == [("network", f"{GUESSER}/32")]
        with attempt(server, PASSWORD, GUESSER):
            server.wait_for("login", peer=GUESSER, ok=False, why="the network is banned")
        attempt(server, PASSWORD, "127.0.0.1").expect("+OK")

        done = server.command("ban", "lift", GUESSER)
        assert (done.returncode, done.stdout) == (0, f"Lifted the ban of the network {GUESSER}/32.\n"), done.stderr
        attempt(server, PASSWORD, GUESSER).expect("+OK")
        done = server.command("ban", "lift", GUESSER)
        assert (done.returncode, done.stderr) == (1, f"{GUESSER} is not banned; postroad ban list shows who is\n")


def test_somebody_is_kept_out_by_hand(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        done = server.command("ban", "add", f"{GUESSER}/31", "--for", "1h")
        assert done.stdout.startswith(f"{GUESSER}/31 is kept out until "), done.stderr
        assert {(ban["name"], ban["guesses"]) for ban in bans(server)} == {("127.0.0.8/32", 0), (f"{GUESSER}/32", 0)}
        with attempt(server, PASSWORD, GUESSER):
            server.wait_for("login", peer=GUESSER, ok=False, why="the network is banned")
        assert server.wait_for("ban-set")["who"] == f"{GUESSER}/31"
        assert server.command("ban", "lift", f"{GUESSER}/31").returncode == 0
        assert server.wait_for("ban-lifted")["who"] == f"{GUESSER}/31"
        attempt(server, PASSWORD, GUESSER).expect("+OK")
        for wrong in ("127.0.0.0/8", "nobody"):
            assert server.command("ban", "add", wrong).returncode == 2
