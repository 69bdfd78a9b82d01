"""`postroad demo`: what it shows, what it ends with, and that nothing is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
import trio

from engine.cli.demo.letters import ANNA, BERT, CARL, LETTERS, as_sent
from engine.cli.demo.ways import DELIVERED, OTHER, REFUSED, RETURNED, Journal, follow
from engine.message import MessageId

ROOT = Path(__file__).resolve().parents[2]
HERE, THERE = "a.example", "b.example"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The running command. All that it writes goes to a folder of its own."""
    with subprocess.Popen(
        # In the background of a shell Ctrl-C is ignored, by all that is started there: `env` makes it heard.
        ["env", "--default-signal=INT", sys.executable, "-m", "engine", "demo"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as popen:  # fmt: skip
        yield popen
        if popen.poll() is None:
            popen.terminate()


def servers(folder: Path) -> list[str]:
    """Command lines of processes that were started for the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.system
def test_every_ending_is_seen(demo: "subprocess.Popen[str]", tmp_path: Path) -> None:
    shown, complaint = demo.communicate(timeout=300)
    assert (demo.returncode, complaint) == (0, ""), shown
    assert "\x1b" not in shown  # plain, for this is no terminal
    assert "✘" not in shown
    parts = re.split(r"^\d  ", shown, flags=re.MULTILINE)[1:]
    assert [part.partition("\n")[0] for part in parts] == [letter.title for letter in LETTERS]
    stages = [re.findall(r"^   (?:[ab]\.example)? +(\w+)  ", part, re.MULTILINE) for part in parts]
    sent, kept, returned = ["tag_external", "queue", "route"], ["route", "enqueue"], ["RCPT", "queue"]
    assert stages[0] == [*sent, "resolve", "relay", *sent, "enqueue"]
    assert stages[1] == [*sent, "enqueue"]
    assert sorted(stages[2]) == sorted([*sent, "enqueue", "resolve", "relay", *sent, "enqueue"])
    assert stages[3] == ["RCPT"]
    assert stages[4] == [*sent, "resolve", "relay", *returned, *kept]
    assert re.search(rf"✔ {BERT}: in the mailbox after \d+ ms", parts[0])
    assert "64 KiB attached, X-External: yes" in shown
    assert not any(tmp_path.iterdir())
    assert servers(tmp_path) == []


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_stopped(demo: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals) -> None:
    assert demo.stdout is not None
    while "1  To the other domain" not in demo.stdout.readline():
        assert demo.poll() is None
    assert servers(tmp_path)
    demo.send_signal(number)
    _, complaint = demo.communicate(timeout=300)
    assert (demo.returncode, complaint) == (130, "Stopped; nothing is left behind.\n")
    assert not any(tmp_path.iterdir())
    assert servers(tmp_path) == []


def test_the_letters_have_every_ending() -> None:
    assert {end for letter in LETTERS for end in letter.ends.values()} == {DELIVERED, REFUSED, RETURNED}


# -- what must not pass for a good end


def delivered(address: str) -> list[EmailMessage]:
    return [letter.content() for letter in LETTERS if letter.ends.get(address) == DELIVERED]


def test_a_mailbox_with_what_was_sent_is_good() -> None:
    assert as_sent(BERT, delivered(BERT))
    assert as_sent(CARL, delivered(CARL))


def test_a_mailbox_with_other_mail_is_not() -> None:
    assert not as_sent(BERT, delivered(BERT)[:1])
    assert not as_sent(BERT, delivered(CARL))
    assert not as_sent(BERT, delivered(BERT) * 2)
    assert not as_sent(ANNA, [])  # the report is missing
    assert not as_sent(ANNA, delivered(CARL)[:1])


def test_a_changed_attachment_is_seen() -> None:
    changed = delivered(BERT)
    part = next(changed[0].iter_attachments())
    part.set_content(part.get_content()[:-1], maintype="image", subtype="x-test", filename="photo")
    assert not as_sent(BERT, changed)


IDENTITY, ONWARD = str(MessageId.new(1_700_000_000.0)), str(MessageId.new(1_700_000_000.01))


def journal(*events: tuple[str, dict[str, object]]) -> Journal:
    found = Journal()
    for domain, event in events:
        found.note(domain, json.dumps({"time": 1_700_000_000.02, "way": [], "from": ANNA, **event}).encode())
    return found


ACCEPTED = (HERE, {"event": "accepted", "id": IDENTITY, "way": [["tag_external", "pass", 0.1]]})
HANDED_ON = (
    HERE,
    {"event": "delivered", "id": IDENTITY, "to": BERT, "remote": "mx.b.example", "reply": f"250 queued as {ONWARD}"},
)
TAKEN = (THERE, {"event": "accepted", "id": ONWARD})


@pytest.mark.parametrize("outcome", ["deferred", "failed", "quarantined", "discarded", "delivered"])
async def test_what_the_next_server_did_counts(outcome: str) -> None:
    last = (THERE, {"event": outcome, "id": ONWARD, "to": BERT, "text": "why"})
    way = await follow(journal(ACCEPTED, HANDED_ON, TAKEN, last), (HERE, THERE), IDENTITY, (BERT,))
    assert [(end.recipient, end.kind) for end in way.ends] == [(BERT, DELIVERED if outcome == "delivered" else OTHER)]
    assert [(step.domain, step.stage) for step in way.steps] == [
        (HERE, "tag_external"),
        (HERE, "queue"),
        (THERE, "queue"),
    ]


async def test_a_message_that_has_not_ended_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(60) as waiting:
        await follow(journal(ACCEPTED, HANDED_ON, TAKEN), (HERE, THERE), IDENTITY, (BERT,))
    assert waiting.cancelled_caught


def test_bugs_are_trouble() -> None:
    assert journal(ACCEPTED).trouble() == []
    assert journal(ACCEPTED, (THERE, {"event": "bug"})).trouble() != []
