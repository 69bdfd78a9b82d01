"""A change that does harm: what cannot be opened everywhere is refused, and what workers die of is taken back."""

import contextlib
import json
from pathlib import Path

import pytest

from tests.support.load import Load, subjects
from tests.support.server import Postroad, Settings, letter, until

BOB = "bob@example.org"

OPENS = '''
"""Opens in its own way; TAKEN is made by the first that is opened."""
import os
import time
from dataclasses import dataclass
from pathlib import Path

import trio
from engine import Message

def first(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

@dataclass
class Model:
    async def __aenter__(self) -> "Model":
        %s
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __call__(self, message: Message) -> Message:
        return message
'''

BAD: dict[str, tuple[str, str]] = {
    "it opens in one worker and not in the others": (
        'if not first(Path(__file__).with_name("opened")): raise OSError("one was enough")', "one was enough"
    ),
    "it hangs": ("await trio.sleep_forever()", "the stage model was not open after 2 s ([server] opening)"),
    "it hangs in one worker": (
        'if first(Path(__file__).with_name("opened")): await trio.sleep_forever()', "was not open after 2 s"
    ),
    "its process ends": ("os._exit(3)", "the worker died (exit 3)"),
    "its process crashes in one worker": (
        'if first(Path(__file__).with_name("opened")): os.abort()', "the worker died (SIGABRT)"
    ),
}  # fmt: skip


def with_model(workers: int) -> Settings:
    return {
        "lane": {"inbound": {"stages": ["accept", "model", "queue", "route"]}},
        "stage": {"model": {"use": "filters/model.py", "workers": workers}},
    }


def revisions(server: Postroad) -> list[tuple[int, str]]:
    rows = json.loads(server.command("revision", "list", "--json").stdout)
    return [(row["revision"], row["became"]) for row in rows]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_opened_everywhere_is_in_force_nowhere(tmp_path: Path, name: str, workers: int) -> None:
    how, why = BAD[name]
    # Where nothing hangs, nothing is to be late on a busy machine.
    with Postroad(tmp_path, {"server": {"opening": "2s"}} if "hangs" in name else {}, model=OPENS % how) as server:
        server.account(BOB)
        good = server.settings
        server.change(with_model(workers))
        done = server.reload()
        assert done.returncode == 1
        assert why in done.stderr
        assert [became.partition(":")[0] for _, became in revisions(server)] == ["in force", "refused"]
        until(lambda: len(server.workers()) == 5, "those to be back who died of it, and nobody else")
        with Load(server, BOB) as load:
            load.flows()
            server.settings = good
            server.change({"queue": {"delay_warning": "3h"}})
            assert server.reload().stdout == "revision 3 is in force\n"
            load.flows()
        assert (load.broken, load.put_off) == ([], [])
        until(lambda: len(server.mailbox(BOB)) == len(load.accepted), "what was accepted")
        assert {event["revision"] for event in server.all("accepted")} == {1, 3}
        assert server.all("went-back") == []


@pytest.mark.slow
def test_one_that_hangs_where_nothing_can_cancel_it_is_given_up(tmp_path: Path) -> None:
    how = "await trio.to_thread.run_sync(time.sleep, 3600)"
    with Postroad(tmp_path, {"server": {"opening": "1s"}}, model=OPENS % how) as server:
        server.account(BOB)
        server.change(with_model(0))
        done = server.reload()
        assert done.returncode == 1
        assert "not open after 17 s ([server] opening)" in done.stderr
        assert "mail-0, mail-1: " in done.stderr
        for name in ("mail-0", "mail-1"):
            server.wait_for("worker-restarted", worker=name)
        server.send(letter("still here"), BOB)
        assert len(server.mail_for(BOB)) == 1
        assert server.all("went-back") == []


CRASHES = '''
"""Ends its process at the first message."""
import os
from engine import Message

async def model(message: Message) -> Message:
    os.abort()
'''


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("behind", [False, True])
def test_what_workers_die_of_is_taken_back(tmp_path: Path, workers: int, behind: bool) -> None:
    with Postroad(tmp_path, model=CRASHES) as server:
        server.account(BOB)
        server.change(with_model(workers))
        if behind:
            server.change({"lane": {"inbound": {"stages": ["accept", "queue", "model", "route"]}}})
        assert server.reload().returncode == 0
        taken: list[str] = []
        for number in range(60):  # until it is taken back, clients come again and again
            subject = f"token {number}"
            try:
                server.send(letter(subject), BOB)
                taken.append(subject)
            except OSError:
                pass
            if server.all("went-back"):
                break
        back = server.wait_for("went-back")
        assert (back["revision"], back["withdrawn"]) == (1, 2)
        assert back["why"].startswith("workers died: ")
        until(lambda: server.smtp().quit(), "the workers to be back")
        server.send(letter("after"), BOB)
        server.command("queue", "retry", "--all", "--yes")
        wanted = {*taken, "after"}  # others may have been stored, and the worker died before it could say so
        until(lambda: wanted <= set(subjects(server.mailbox(BOB))), "all that was accepted")
        found = list(subjects(server.mailbox(BOB)))
        assert len(found) == len(set(found))
        assert server.all("quarantined") == []
        assert server.all("accepted")[-1]["revision"] == 1
        assert revisions(server) == [(1, "in force"), (2, f"withdrawn: {back['why']}")]
        until(lambda: not [name for name in server.workers() if name.startswith("model")], "the filter's own workers")


def test_two_bad_changes_in_a_row_are_both_taken_back(tmp_path: Path) -> None:
    with Postroad(tmp_path, model=CRASHES) as server:
        server.account(BOB)
        server.change(with_model(0))
        assert server.reload().returncode == 0
        server.filter("model", CRASHES + "# perhaps so?\n")
        assert server.reload().returncode == 0

        def taken_back() -> bool:
            with contextlib.suppress(OSError):
                server.send(letter("a client that comes again"), BOB)
            return len(server.all("went-back")) == 2

        until(taken_back, "the first revision to be in force again")
        assert [event["revision"] for event in server.all("went-back")] == [2, 1]
        assert [number for number, became in revisions(server) if became == "in force"] == [1]
