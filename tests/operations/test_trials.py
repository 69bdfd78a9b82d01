"""A revision on trial beside the one in force: a share of what comes in, figures of both, and how it ends."""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.load import subjects
from tests.support.server import Postroad, Settings, letter, until

BOB, EVE = "bob@example.org", "eve@example.org"

STAMP = '''
"""Says which code a message met, before `queue` and behind it."""
from dataclasses import KW_ONLY, dataclass
from engine import Message, Reject

CODE = %d

@dataclass
class Stamp:
    _: KW_ONLY
    field: str = "X-Before"

    async def at_recipient(self, session, sender, recipient):
        if CODE == 2 and recipient == "eve@example.org":
            return Reject("Not for Eve any more")

    async def __call__(self, message: Message) -> Message:
        return message.with_header(self.field, f"code {CODE}")
'''

LANES: Settings = {
    "lane": {"inbound": {"stages": ["accept", "before", "queue", "behind", "route"]}},
    "stage": {
        "before": {"use": "filters/stamp.py:Stamp"},
        "behind": {"use": "filters/stamp.py:Stamp", "field": "X-Behind", "workers": 1},
    },
}


def trial(server: Postroad) -> dict[str, Any]:
    done = server.command("revision", "trial", "--json")
    return json.loads(done.stdout) if done.returncode == 0 else {}  # type: ignore[no-any-return]


def send(server: Postroad, count: int, *recipients: str) -> None:
    """Each on a connection of its own."""
    for number in range(count):
        server.send(letter(f"number {number}"), *(recipients or (BOB,)))


def codes(server: Postroad, count: int) -> list[tuple[str, str]]:
    found = server.mail_for(BOB, count)
    return [(_field(one, b"X-Before"), _field(one, b"X-Behind")) for one in found]


def _field(message: bytes, name: bytes) -> str:
    return message.partition(name + b": code ")[2].partition(b"\r\n")[0].decode()


def became(server: Postroad) -> list[str]:
    rows = json.loads(server.command("revision", "list", "--json").stdout)
    return [row["became"].partition(":")[0] for row in rows]


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]
    with Postroad(tmp_path, LANES, stamp=STAMP % 1) as server:
        yield server.account(BOB, EVE)


def test_a_share_goes_by_it_through_the_whole_lane_until_it_is_in_force(server: Postroad) -> None:
    server.filter("stamp", STAMP % 2)
    done = server.command("reload", "--canary", "50")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "revision 2 is on trial, with 50 % of what comes in\nrevision 1 is in force\n"
    assert became(server) == ["in force", "on trial"]
    send(server, 60)
    met = codes(server, 60)
    assert set(met) == {("1", "1"), ("2", "2")}
    assert 10 < met.count(("2", "2")) < 50
    assert {event["revision"] for event in server.all("accepted")} == {1, 2}

    tried = met.count(("2", "2"))
    until(lambda: trial(server)["counts"].get("delivered") == tried, "the figures")
    found = trial(server)
    assert (found["revision"], found["share"], found["in_force"]) == (2, 50.0, 1)
    assert found["counts"] == {"accepted": tried, "delivered": tried}
    assert found["beside"] == {"accepted": 60 - tried, "delivered": 60 - tried}

    refused = server.reload()
    assert refused.returncode == 1
    assert "revision 2 is on trial: first `postroad reload --promote`" in refused.stderr
    assert server.command("reload", "--promote").stdout == "revision 2 is in force\n"
    assert became(server) == ["was in force", "in force"]
    assert server.wait_for("trial-ended")["counts"]["accepted"] == tried
    send(server, 10)
    assert codes(server, 70)[60:] == [("2", "2")] * 10
    server.wait_for("revision-retired", revision=1)
    assert trial(server) == {}
    assert server.all("bug") == []


def test_who_is_refused_at_the_door_counts_and_an_end_leaves_all_as_it_was(server: Postroad) -> None:
    server.filter("stamp", STAMP % 2)
    assert server.command("reload", "--canary", "100").returncode == 0
    with server.dialogue() as client:
        client.start(BOB).ask(f"RCPT TO:<{EVE}>", "550 5.7.1 Not for Eve any more")
        client.content(letter("on the connection that it was drawn for"))
        until(lambda: trial(server)["counts"].get("turned away") == 1, "the figures")
        assert server.command("reload", "--abort").stdout == "revision 1 is in force\n"
        client.start(EVE).content(letter("on the same connection, by the revision in force"))
    assert became(server) == ["in force", "withdrawn"]
    server.wait_for("revision-retired", revision=2)
    assert len(server.mail_for(EVE)) == 1
    assert [before for before, _ in codes(server, 1)] == ["2"]
    assert server.command("reload", "--abort").returncode == 1
    assert server.command("reload", "--promote").returncode == 1
    assert server.reload().stdout == "revision 2 is in force\n"


def test_it_goes_on_when_a_worker_is_restarted(server: Postroad) -> None:
    server.filter("stamp", STAMP % 2)
    assert server.command("reload", "--canary", "100").returncode == 0
    for name in ("mail-0", "mail-1", "behind-0"):
        os.kill(server.worker(name), signal.SIGKILL)
        server.wait_for("worker-restarted", worker=name)
    send(server, 5)
    assert set(codes(server, 5)) == {("2", "2")}
    until(lambda: trial(server)["counts"].get("delivered") == 5, "the figures")


def test_what_the_file_says_is_tried_at_every_reload_and_can_be_passed_over(server: Postroad) -> None:
    server.change({"server": {"canary": 100}, "stage": {"before": {"field": "X-Other"}}})
    assert server.reload().stdout == (
        "revision 2 is on trial, with 100 % of what comes in\n"
        "only --promote brings: table server: canary\n"
        "revision 1 is in force\n"
    )
    done = server.command("revision", "back", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("revision 1 is in force\n")
    assert "X-Other" not in server.config.read_text()
    assert trial(server) == {}
    server.change({"stage": {"before": {"field": "X-Third"}}})
    assert server.command("reload", "--canary", "0").stdout == "revision 3 is in force\n"
    assert server.reload().stdout == "revision 3 is in force\n"  # nothing has changed that could be tried


BREAKS = '''
"""Has a mistake."""
from dataclasses import KW_ONLY, dataclass
from engine import Message

@dataclass
class Stamp:
    _: KW_ONLY
    field: str = "X-Before"

    async def __call__(self, message: Message) -> Message:
        return message.with_header(self.feild, "")
'''


def test_one_whose_stages_break_ends_by_itself(server: Postroad) -> None:
    server.filter("stamp", BREAKS)
    assert server.command("reload", "--canary", "50").returncode == 0
    taken = 0
    for number in range(200):
        with server.smtp() as client:
            client.ehlo()
            client.mail("ann@example.net")
            client.rcpt(BOB)
            taken += client.data(letter(f"number {number}"))[0] == 250
        if server.all("trial-ended"):
            break
    ended = server.wait_for("trial-ended")
    assert ended["why"].startswith("stages failed ")
    assert ended["counts"]["errors"] >= 5
    assert became(server) == ["in force", "withdrawn"]
    send(server, 5)
    server.command("queue", "retry", "--all", "--yes")
    assert len(server.mail_for(BOB, taken + 5)) == taken + 5
    assert server.all("quarantined") == []


def test_one_that_workers_die_of_ends_by_itself(server: Postroad) -> None:
    server.filter("stamp", BREAKS.replace("return message", "import os; os.abort()"))
    assert server.command("reload", "--canary", "100").returncode == 0
    taken = []
    for number in range(60):
        try:
            server.send(letter(f"token {number}"), BOB)
            taken.append(f"token {number}")
        except OSError:
            pass
        if server.all("trial-ended"):
            break
    assert server.wait_for("trial-ended")["why"].startswith("workers died: ")
    until(lambda: greets(server), "the workers to be back")
    server.send(letter("after"), BOB)
    wanted = sorted([*taken, "after"])
    until(lambda: sorted(subjects(server.mailbox(BOB))) == wanted, "what was accepted")
    assert became(server) == ["in force", "withdrawn"]


def greets(server: Postroad) -> bool:
    with contextlib.suppress(OSError), server.smtp():
        return True
    return False


def test_new_processes_are_there_for_the_trial_alone(server: Postroad) -> None:
    before = set(server.workers())
    server.change({"stage": {"before": {"workers": 2}}})
    assert server.command("reload", "--canary", "50").returncode == 0
    assert set(server.workers()) - before == {"before-0", "before-1"}
    send(server, 10)
    assert server.command("reload", "--abort").returncode == 0
    until(lambda: set(server.workers()) == before, "those to end that only the trial had")
    assert server.command("reload", "--canary", "50").returncode == 0
    assert server.command("reload", "--promote").returncode == 0
    assert set(server.workers()) - before == {"before-0", "before-1"}
    send(server, 10)
    assert set(codes(server, 20)) == {("1", "1")}


CLOSES = """
    def __exit__(self, *_: object) -> None:
        pass
"""


def test_one_that_cannot_be_opened_is_refused(server: Postroad) -> None:
    server.filter("stamp", BREAKS + '\n    def __enter__(self):\n        raise OSError("no model")\n\n' + CLOSES)
    done = server.command("reload", "--canary", "5")
    assert done.returncode == 1
    assert "no model" in done.stderr
    assert became(server) == ["in force", "refused"]
    send(server, 1)
    assert codes(server, 1) == [("1", "1")]
