"""What is made of each recipient who did not get a message: an entry, and where it goes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine import Defer, Reject
from engine.bounces import usual
from engine.bounces.journal import FOLDER, Entry, entries
from engine.config import Config, parse
from engine.delivery_status import Status
from engine.message import CAMPAIGN, TENANT, Fact, MessageId, Recipient
from engine.return_path.hearing import Bounce, Complaint
from engine.runtime.undelivered import Outcome, Undelivered, entry_of, entry_of_complaint, entry_of_return
from engine.suppression import Suppressions
from engine.webhooks import Outbox

SETTINGS = """
[server]
hostname = "mx.test"
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = ["accept", "suppress", "queue", "resolve", "relay"]
[webhook.crm]
url = "https://hooks.example.org/"
secret_file = "secret"
[suppression.invalid-recipient]
after = 1
"""
GONE = Entry(time=1e9, event="failed", to="b@example.net", which="invalid-recipient", permanent=True, id="X")
LATER = Entry(time=1e9, event="deferred", to="c@example.net", which="invalid-recipient")


def outcome(verdict: Reject | Defer, facts: dict[str, Fact] | None = None) -> Outcome:
    return Outcome(
        MessageId.new(), "a@example.org", Recipient("b@Example.net"), verdict, facts or {}, "mx", 2, 900.0, 1000.0
    )


def test_a_refusal() -> None:
    refused = Reject("No", "5.1.1", reply="550 5.1.1 User unknown", remote="mx.example.net", source="one")
    found = entry_of(outcome(refused, {TENANT: "acme", CAMPAIGN: "spring"}), usual())
    assert (found.event, found.which, found.permanent) == ("failed", "invalid-recipient", True)
    assert (found.to, found.domain, found.remote, found.source) == (
        "b@Example.net", "example.net", "mx.example.net", "one",
    )  # fmt: skip
    assert (found.tenant, found.campaign, found.attempts, found.arrived, found.again) == (
        "acme",
        "spring",
        2,
        900.0,
        0.0,
    )


def test_what_waits_says_when_it_is_tried_again() -> None:
    found = entry_of(outcome(Defer("No", reply="450 4.2.2 Mailbox full", retry_after=60.0)), usual())
    assert (found.event, found.which, found.permanent, found.again) == ("deferred", "mailbox-full", False, 1060.0)


def test_a_message_that_was_given_up_does_not_say_that_the_server_refuses_for_good() -> None:
    """It must put nobody onto the suppression list."""
    found = entry_of(outcome(Reject("It waited", "5.4.7", reply="450 4.1.1 User unknown")), usual())
    assert (found.event, found.which, found.permanent) == ("failed", "invalid-recipient", False)


def test_our_own_list_is_no_reply() -> None:
    found = entry_of(outcome(Reject("b is on the list", "5.1.1", log="suppressed: complaint b@example.net")), usual())
    assert (found.event, found.which, found.permanent) == ("suppressed", "suppressed", True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("a secret\n")
    (tmp_path / "var").mkdir()
    return tmp_path


@pytest.fixture
def suppressions(folder: Path) -> Iterator[Suppressions]:
    with Suppressions.open(folder / "var") as opened:
        yield opened


def config(folder: Path, more: str = "") -> Config:
    return parse(SETTINGS + more, folder / "pipeline.toml")


def test_it_goes_to_the_log_to_webhooks_and_onto_the_list(folder: Path, suppressions: Suppressions) -> None:
    undelivered = Undelivered(config(folder), suppressions)
    undelivered.note(GONE)
    undelivered.note(LATER)
    undelivered.close()
    assert list(entries(folder / "var" / FOLDER)) == [GONE, LATER]
    with Outbox.open(folder / "var") as outbox:
        assert [msgspec.json.decode(one.json, type=Entry) for one in outbox.first("crm", 9)] == [GONE, LATER]
    assert [row.entry for row in suppressions.rows()] == ["b@example.net"]


def test_attempts_that_are_made_again_may_be_left_out_of_the_log(folder: Path, suppressions: Suppressions) -> None:
    undelivered = Undelivered(config(folder, "[bounces]\ndeferrals = false\n"), suppressions)
    undelivered.note(LATER)
    undelivered.note(GONE)
    undelivered.close()
    assert list(entries(folder / "var" / FOLDER)) == [GONE]


def test_trouble_with_webhooks_is_none_of_the_log(
    folder: Path, suppressions: Suppressions, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "var" / "webhooks").write_text("no folder")
    undelivered = Undelivered(config(folder), suppressions)
    undelivered.note(GONE)
    undelivered.close()
    assert list(entries(folder / "var" / FOLDER)) == [GONE]
    assert '"bounces-not-noted"' in capfd.readouterr().err


def test_patterns_that_have_gone_bad_leave_those_in_force(
    folder: Path, suppressions: Suppressions, capfd: pytest.CaptureFixture[str]
) -> None:
    patterns = folder / "patterns.toml"
    patterns.write_text('[[pattern]]\nclass = "rate"\ntexts = ["user unknown"]\n')
    found = config(folder, '[bounces]\npatterns = "patterns.toml"\n')
    undelivered = Undelivered(found, suppressions)
    patterns.write_text("[[pattern]]\n")
    undelivered.use(found)
    assert "the old patterns stay" in capfd.readouterr().err
    assert undelivered._terms.classifier.classify("550 user unknown").name == "rate"
    undelivered.close()


def test_what_comes_back_later_is_classified_too() -> None:
    status = Status("bob@remote.test", "failed", "5.1.1", "smtp; 550 5.1.1 No such user here", "mx.remote.test")
    found = entry_of_return(Bounce("bob@remote.test", "01ABCDEF", 1.0, status), usual(), 2.0)
    assert (found.event, found.which, found.permanent) == ("returned", "invalid-recipient", True)
    late = Bounce("bob@remote.test", "01ABCDEF", 1.0, Status("bob@remote.test", "delayed", "4.4.1"))
    assert not entry_of_return(late, usual(), 2.0).permanent


@pytest.mark.parametrize(
    ("complaint", "which", "permanent"),
    [
        (Complaint("abuse", "b@example.net", True), "complaint", True),
        (Complaint("abuse", "b@example.net", False), "complaint", False),
        (Complaint("abuse", "", True), "complaint", False),
        (Complaint("fraud", "b@example.net", True), "complaint", True),
        (Complaint("opt-out-list", "b@example.net", True), "unsubscribe", True),
        (Complaint("virus", "b@example.net", True), "virus", True),
    ],
)
def test_a_complaint(complaint: Complaint, which: str, permanent: bool) -> None:
    found = entry_of_complaint(complaint, 1000.0)
    assert (found.event, found.which, found.permanent) == ("complaint", which, permanent)
    assert (found.to, found.time) == (complaint.recipient, 1000.0)


async def test_who_complains_goes_onto_the_list_once_it_is_proven(folder: Path, suppressions: Suppressions) -> None:
    undelivered = Undelivered(config(folder), suppressions)
    await undelivered.complained(Complaint("abuse", "b@example.net", False, agent="Far/1", message_id="<1@x>"))
    await undelivered.complained(Complaint("abuse", "c@example.net", True))
    undelivered.close()
    assert [row.entry for row in suppressions.rows()] == ["c@example.net"]
    assert [(one.to, one.text) for one in entries(folder / "var" / FOLDER)] == [
        ("b@example.net", "abuse: Far/1 <1@x>"),
        ("c@example.net", "abuse"),
    ]
